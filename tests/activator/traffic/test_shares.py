from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activator.catalog.model import Canary, Catalog, RevisionPlan
from activator.traffic.rollout import Phase, Rollout, begin
from activator.traffic.shares import Have, Need, caps, effective, shared
from router.split import by_draw
from router.table import Revision, Service, Share, Table
from tests.activator.stage import plan
from tests.activator.traffic.canaries import canary

if TYPE_CHECKING:
    from collections.abc import Iterable

OLD, NEW, OTHER = (Revision(f"m-{number}", "m", compared=7 if number < 3 else 0) for number in (1, 2, 3))


def service(*shares: Share) -> Service:
    return Service("m", ("m.example",), shares or (Share(OLD, 0), Share(NEW, 100)))


def put(
    of: Canary, rollout: Rollout, *shares: Share, need: Need | None = None
) -> tuple[Service, dict[str, RevisionPlan]]:
    plans = {each.name: plan(each.name) for each in (OLD, NEW, OTHER)}
    catalog = Catalog(Table((service(*shares),)), plans, {"m": of})
    found = effective(catalog, {"m": rollout}, {"m": need} if need else {}, {"m": 7})
    return found.table.services[0], dict(found.plans)


def told(shares: Iterable[Share]) -> list[tuple[str, int]]:
    return [(share.revision.name, share.percent) for share in shares]


class TestShares:
    def test_the_canary_gets_its_step_and_the_stable_revision_the_rest(self) -> None:
        found, _ = put(canary(), begin(canary(), 1))
        assert told(found.shares) == [("m-1", 99), ("m-2", 1)]

    def test_other_revisions_keep_theirs_and_the_canary_stands_beside_the_stable_one(self) -> None:
        of, shares = canary(40), (Share(NEW, 40), Share(OTHER, 30), Share(OLD, 30))
        found, _ = put(of, begin(of, 1), *shares)
        assert told(found.shares) == [("m-3", 30), ("m-1", 69), ("m-2", 1)]

    def test_both_are_compared_under_a_number_and_nobody_else(self) -> None:
        of = canary(40)
        plain = [Share(Revision(f"m-{number}", "m"), percent) for number, percent in ((1, 30), (2, 40), (3, 30))]
        found, _ = put(of, begin(of, 1), *plain)
        assert [share.revision.compared for share in found.shares] == [7, 7, 0]
        assert found.shares[1].fallback == found.shares[0].revision

    def test_tags_stay_where_they_were(self) -> None:
        of = canary(40)
        found, _ = put(of, begin(of, 1), Share(OLD, 60, "now"), Share(NEW, 10), Share(NEW, 30, "next"))
        assert [(share.tag, share.percent) for share in found.shares] == [("now", 99), (None, 1), ("next", 0)]

    def test_services_without_a_canary_are_left_alone(self) -> None:
        other = Service("n", ("n.example",), (Share(OTHER, 100),))
        catalog = Catalog(Table((other,)), {})
        assert effective(catalog, {}, {}, {}) == catalog

    @given(st.integers(0, 100), st.integers(0, 100), st.floats(0, 1, exclude_max=True))
    def test_only_the_share_that_must_move_moves(self, before: int, after: int, draw: float) -> None:
        of, shares = canary(100, steps=()), (Share(OTHER, 20), Share(OLD, 80), Share(NEW, 0))
        names = []
        for percent in (before * 80 // 100, after * 80 // 100):
            of = canary(0, steps=())
            rollout = replace(begin(of, 1), percent=percent)
            names.append(by_draw(shared(service(*shares), of, rollout, 7), draw).revision.name)
        if before <= after:
            assert names in (["m-1", "m-1"], ["m-1", "m-2"], ["m-2", "m-2"], ["m-3", "m-3"])
        else:
            assert names in (["m-1", "m-1"], ["m-2", "m-1"], ["m-2", "m-2"], ["m-3", "m-3"])


class TestFallback:
    def fallback(self, of: Canary, **changes: Any) -> Revision | None:
        found, _ = put(of, replace(begin(of, 1), **changes))
        return next(share for share in found.shares if share.revision == NEW).fallback

    def test_the_stable_revision_answers_until_the_first_replica(self) -> None:
        assert self.fallback(canary(hold=True)) == OLD
        assert self.fallback(canary(hold=True), warm=True) is None

    def test_and_later_where_nobody_is_held(self) -> None:
        assert self.fallback(canary(), warm=True) == OLD

    def test_a_canary_that_need_not_be_warm_first_may_hold_its_first_requests(self) -> None:
        assert self.fallback(canary(hold=True, warm_first=False)) is None
        assert self.fallback(canary(warm_first=False)) == OLD

    def test_nobody_answers_for_one_that_has_taken_the_place_of_the_stable_revision(self) -> None:
        for phase in (Phase.COMPLETE, Phase.PROMOTED):
            assert self.fallback(canary(), warm=True, phase=phase, percent=100) is None
            assert self.fallback(canary(), warm=False, phase=phase, percent=100) == OLD

    def test_requests_held_for_one_that_was_rolled_back_go_to_the_stable_revision(self) -> None:
        assert self.fallback(canary(hold=True), warm=True, phase=Phase.ROLLED_BACK) == OLD

    def test_the_stable_revision_has_none(self) -> None:
        found, _ = put(canary(), begin(canary(), 1))
        assert found.shares[0].fallback is None


class TestPlans:
    def plans(self, of: Canary, **changes: Any) -> tuple[RevisionPlan, RevisionPlan]:
        _, plans = put(of, replace(begin(of, 1), **changes))
        return plans["m-2"], plans["m-1"]

    def test_a_canary_is_started_before_it_gets_its_share(self) -> None:
        mine, other = self.plans(canary())
        assert (mine.bounds.pre_warm, mine.spec.reachable) == (1, True)
        assert (other.bounds.pre_warm, other.spec.reachable) == (0, True)

    def test_once_it_was_warm_it_may_sleep(self) -> None:
        assert self.plans(canary(), warm=True)[0].bounds.pre_warm == 0

    def test_one_that_need_not_be_warm_first_is_not_started(self) -> None:
        assert self.plans(canary(warm_first=False))[0].bounds.pre_warm == 0

    def test_one_without_a_share_is_not_kept(self) -> None:
        mine, _ = self.plans(canary(), phase=Phase.ROLLED_BACK)
        assert (mine.bounds.pre_warm, mine.spec.reachable) == (0, False)

    def test_the_stable_revision_stays_until_the_rollout_is_complete(self) -> None:
        assert self.plans(canary(), percent=100)[1].spec.reachable
        assert not self.plans(canary(), percent=100, phase=Phase.COMPLETE)[1].spec.reachable

    def test_there_are_no_caps_but_in_swap_mode(self) -> None:
        assert {each.bounds.cap for each in self.plans(canary())} == {None}
        _, plans = put(canary(), replace(begin(canary(), 1), percent=50), need=Need(Have(1), Have(3), wanted=2, room=3))
        assert (plans["m-2"].bounds.cap, plans["m-1"].bounds.cap, plans["m-3"].bounds.cap) == (1, 2, None)


class Rival:
    """A revision that does whatever its cap lets it do: it grows at once, and drains what it may no longer have."""

    def __init__(self, serving: int) -> None:
        self.have = Have(serving)

    def step(self, cap: int, wanted: int, gone: int) -> None:
        left = self.have.leaving - min(gone, self.have.leaving)
        target = min(wanted, cap)
        self.have = Have(target, left + max(0, self.have.serving - target))


turns = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 3), st.integers(0, 3)), max_size=40)


class TestSwap:
    @given(st.integers(1, 6), turns, st.integers(0, 100), st.booleans())
    def test_over_a_whole_rollout_there_is_never_one_too_many(
        self, room: int, course: list[tuple[int, int, int, int]], own: int, keeps: bool
    ) -> None:
        mine, other = Rival(0), Rival(room)
        for wants, others_wants, gone, others_gone in course:
            most, others_most = caps(Need(mine.have, other.have, wants, room), own, 100 - own, keeps=keeps)
            mine.step(most, wants, gone)
            other.step(others_most, others_wants, others_gone)
            assert mine.have.all + other.have.all <= room + 1

    @given(st.integers(1, 6), st.integers(0, 6))
    def test_none_is_given_up_for_one_that_drains_already(self, serving: int, leaving: int) -> None:
        need = Need(Have(0), Have(serving, leaving), wanted=1, room=serving + leaving)
        assert caps(need, 50, 50, keeps=True)[1] >= serving

    def test_one_is_given_up_before_the_other_grows(self) -> None:
        mine, other, seen = Rival(0), Rival(3), []
        for _ in range(8):
            most, others_most = caps(Need(mine.have, other.have, wanted=3, room=3), 90, 10, keeps=True)
            mine.step(most, 3, 1)
            other.step(others_most, 3, 1)
            seen.append((mine.have.serving, other.have.serving))
        assert seen[0] == (1, 1)
        assert seen[-1] == (3, 1)

    @pytest.mark.parametrize(
        ("percent", "most"), [(1, (1, 4)), (25, (2, 3)), (50, (3, 2)), (90, (4, 1)), (100, (4, 1))]
    )
    def test_the_canary_never_gets_more_than_its_part_of_the_room(self, percent: int, most: tuple[int, int]) -> None:
        assert caps(Need(wanted=9, room=4), percent, 100 - percent, keeps=True) == most

    def test_after_a_rollback_the_stable_revision_grows_as_the_canary_goes(self) -> None:
        assert caps(Need(Have(0, 3), Have(1), room=3), 0, 100, keeps=True)[1] == 1
        assert caps(Need(Have(0), Have(1), room=3), 0, 100, keeps=True)[1] == 4
