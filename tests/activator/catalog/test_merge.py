"""File and Deployments together: a mistake stays with the Deployment that has it, and who wins is always the same."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activator.catalog.annotations import BY_NAME, KNATIVE, LABEL, OWN
from activator.catalog.file import build
from activator.catalog.merge import Deployments, Merged
from tests.activator.catalog.deployed import SETTINGS, annotated, deployment
from tests.activator.settings.files import loaded, written
from tests.certificates import CA

if TYPE_CHECKING:
    from pathlib import Path

    from activator.settings.schema import Service

OLD, NEW, NEWER = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"


def merged(*deployments: dict[str, Any]) -> Merged:
    return Deployments().merge(SETTINGS, deployments)


def services(found: Merged) -> dict[str, Service]:
    build(found.settings)
    return {service.name: service for service in found.settings.services}


def shares(found: Merged, name: str) -> dict[str, int]:
    return {share.revision: share.percent for share in services(found)[name].traffic}


def told(found: Merged) -> dict[str, list[str]]:
    return {name: [str(problem) for problem in problems] for name, problems in found.problems.items()}


def test_the_services_of_the_file_and_of_deployments_are_served_together() -> None:
    found = merged(deployment("m-1", "m", hosts="m.example"))
    assert list(services(found)) == ["filed", "m"]
    assert (told(found), found.refused) == ({}, frozenset())


def test_deployments_of_one_service_are_its_revisions_and_share_what_the_oldest_says() -> None:
    found = merged(
        deployment("m-2", "m", NEW, percent="10", tag="next"),
        deployment("m-1", "m", OLD, hosts="m.example", show_revision="true"),
    )
    service = services(found)["m"]
    assert [revision.name for revision in service.revisions] == ["m-1", "m-2"]
    assert (service.hosts, service.show_revision) == (("m.example",), True)
    assert [(share.revision, share.percent, share.tag) for share in service.traffic] == [
        ("m-1", 90, None),
        ("m-2", 10, "next"),
    ]
    assert not found.problems


@pytest.mark.parametrize(
    ("written", "given", "warned"),
    [
        ((None,), (100,), ()),
        (("100",), (100,), ()),
        (("30",), (100,), (0,)),
        ((None, "10"), (90, 10), ()),
        (("50", "50"), (50, 50), ()),
        (("90", "20"), (82, 18), (0, 1)),
        (("1", "1", "1"), (34, 33, 33), (0, 1, 2)),
        ((None, None), (100, 0), (1,)),
        ((None, "60", "60"), (0, 50, 50), (1, 2)),
        (("0", "0"), (100, 0), (0, 1)),
    ],
)
def test_percentages_are_made_to_sum_to_100(
    written: tuple[str | None, ...], given: tuple[int, ...], warned: tuple[int, ...]
) -> None:
    found = merged(
        *(
            deployment(
                f"m-{number}", "m", f"2026-01-0{number}", hosts="m.example", **({"percent": each} if each else {})
            )
            for number, each in enumerate(written, 1)
        )
    )
    assert tuple(shares(found, "m").values()) == given
    assert set(found.problems) == {f"m-{number + 1}" for number in warned}
    assert not found.refused


@pytest.mark.parametrize("saved", [{"m-1": deployment("m-1", "m", NEW, hosts="m.example")}, {"m-1": 1}, {"m-1": {}}])
def test_what_is_saved_of_another_one_of_the_same_name_or_makes_no_sense_is_not_used(saved: dict[str, Any]) -> None:
    several = Deployments()
    several.restore(saved)
    assert several.merge(SETTINGS, [deployment("m-1", "m", hosts="!")]).settings == SETTINGS


def test_a_canary_that_is_deleted_leaves_its_part_to_the_others() -> None:
    both = Deployments()
    stable = deployment("m-1", "m", OLD, hosts="m.example", percent="90")
    both.merge(SETTINGS, [stable, deployment("m-2", "m", NEW, percent="10")])
    assert shares(both.merge(SETTINGS, [stable]), "m") == {"m-1": 100}


def test_a_mistake_in_an_update_keeps_the_last_good_state_of_that_deployment_alone() -> None:
    source = Deployments()
    good, other = annotated("m-1", "m", {f"{KNATIVE}min-scale": "2"}), deployment("n-1", "n", hosts="n.example")
    source.merge(SETTINGS, [good, other])
    bad = annotated("m-1", "m", {f"{KNATIVE}min-scale": "many", f"{OWN}hold-timeout": "1s"})
    changed = deployment("n-1", "n", hosts="n2.example")
    found = source.merge(SETTINGS, [bad, changed])
    assert services(found)["m"].revisions[0].autoscaling.min_scale == 2
    assert services(found)["n"].hosts == ("n2.example",)
    assert told(found) == {
        "m-1": [f"{KNATIVE}min-scale: must be a whole number (got 'many'; allowed: 0 or more)"],
    }
    assert found.refused == {"m-1"}
    again = source.merge(SETTINGS, [annotated("m-1", "m", {f"{KNATIVE}min-scale": "3"}), changed])
    assert services(again)["m"].revisions[0].autoscaling.min_scale == 3
    assert not again.problems


def test_a_deployment_that_never_was_good_is_left_out() -> None:
    found = merged(annotated("m-1", "m", {f"{OWN}queue-depth": "0"}), deployment("n-1", "n", hosts="n.example"))
    assert list(services(found)) == ["filed", "n"]
    assert found.refused == {"m-1"}


def test_a_deployment_whose_file_was_missing_is_taken_once_it_is_there(tmp_path: Path) -> None:
    source, file = Deployments(), tmp_path / "ca.pem"
    tls = {"hosts": "m.example", "upstream-tls": "on", "upstream-ca": str(file)}
    item = deployment("m-1", "m", **tls)
    assert "m" not in services(source.merge(SETTINGS, [item]))
    file.write_bytes(CA.read_bytes())
    assert "m" in services(source.merge(SETTINGS, [item]))


def test_what_was_good_is_forgotten_with_its_deployment() -> None:
    source = Deployments()
    source.merge(SETTINGS, [deployment("m-1", "m", hosts="m.example")])
    assert "m" not in services(source.merge(SETTINGS, []))
    assert "m" not in services(source.merge(SETTINGS, [deployment("m-1", "m", hosts="*")]))


def test_a_service_without_hosts_is_refused() -> None:
    found = merged(deployment("m-1", "m"))
    assert told(found) == {"m-1": [f"{OWN}hosts: is required"]}
    assert list(services(found)) == ["filed"]


def test_the_file_wins_a_host() -> None:
    found = merged(deployment("m-1", "m", OLD, hosts="filed.example"))
    assert told(found) == {"m-1": [f"{OWN}hosts: host 'filed.example' leads to service filed already"]}
    assert list(services(found)) == ["filed"]


def test_the_file_wins_a_name() -> None:
    found = merged(deployment("m-1", "filed", hosts="a.example"), deployment("filed-1", "m", hosts="b.example"))
    assert told(found) == {
        "m-1": [f"{LABEL}: is the name of service filed already (got 'filed')"],
        "filed-1": ["metadata.name: is the name of revision filed-1 already (got 'filed-1')"],
    }


def test_a_host_that_is_an_older_services_host_by_tag_is_taken() -> None:
    found = merged(
        deployment("a-1", "a", OLD, hosts="m.example", tag="b"), deployment("b-1", "b", NEW, hosts="b-m.example")
    )
    assert list(services(found)) == ["filed", "a"]
    message = "clashes with service a, where host 'b-m.example' leads to service b already"
    assert told(found) == {"b-1": [f"{OWN}hosts: {message}"]}


def test_the_older_deployment_wins_a_host_whatever_the_order_they_come_in() -> None:
    old, new = deployment("z-1", "z", OLD, hosts="m.example"), deployment("a-1", "a", NEW, hosts="m.example")
    for order in ((old, new), (new, old)):
        found = merged(*order)
        assert list(services(found)) == ["filed", "z"]
        assert told(found) == {"a-1": [f"{OWN}hosts: host 'm.example' leads to service z already"]}


def test_one_that_takes_anothers_host_goes_on_with_its_own() -> None:
    source = Deployments()
    other = deployment("n-1", "n", OLD, hosts="n.example")
    source.merge(SETTINGS, [other, deployment("m-1", "m", NEW, hosts="m.example")])
    found = source.merge(SETTINGS, [other, deployment("m-1", "m", NEW, hosts="n.example")])
    assert services(found)["m"].hosts == ("m.example",)
    assert found.refused == {"m-1"}


def test_only_the_youngest_of_several_with_one_tag_gives_way() -> None:
    found = merged(
        deployment("m-1", "m", OLD, hosts="m.example", percent="50", tag="a"),
        deployment("m-2", "m", NEW, percent="50", tag="a"),
        deployment("m-3", "m", NEWER, percent="0", tag="b"),
    )
    assert shares(found, "m") == {"m-1": 100, "m-3": 0}
    assert told(found)["m-2"] == [f"{OWN}tag: is the tag of several entries (got 'a')"]
    assert found.refused == {"m-2"}


def test_hosts_that_differ_between_revisions_are_told_and_the_oldest_counts() -> None:
    found = merged(
        deployment("m-1", "m", OLD, hosts="m.example"), deployment("m-2", "m", NEW, hosts="n.example", percent="1")
    )
    assert services(found)["m"].hosts == ("m.example",)
    message = "differs from that of m-1, an older Deployment of this service, which counts"
    assert told(found) == {"m-2": [f"{OWN}hosts: {message}"]}
    assert not found.refused


def test_a_changed_file_is_heard_by_deployments_that_did_not_change() -> None:
    source, objects = Deployments(), [deployment("m-1", "m", hosts="m.example")]
    source.merge(SETTINGS, objects)
    changed = SETTINGS.model_copy(
        update={"autoscaling": SETTINGS.autoscaling.model_copy(update={"max_scale": 5})},
    )
    assert build(source.merge(changed, objects).settings).plans["m-1"].bounds.max_scale == 5


def test_a_changed_file_may_put_a_deployment_in_the_wrong_and_it_stays_as_it_was() -> None:
    source, objects = Deployments(), [annotated("m-1", "m", {f"{KNATIVE}min-scale": "3"})]
    assert not source.merge(SETTINGS, objects).problems
    limits = loaded(written({"autoscaling": {"max-scale": 2}, "services": []}))
    limited = SETTINGS.model_copy(update={"autoscaling": limits.autoscaling})
    found = source.merge(limited, objects)
    assert found.refused == {"m-1"}
    assert services(found)["m"].revisions[0].autoscaling.min_scale == 3


LETTERS = st.text("aZ0-_/.,:% \0\n\u0663\u00e9", max_size=8)
TEXTS = st.one_of(
    LETTERS,
    st.sampled_from(
        ["0", "1", "-1", "100", "10s", "a.example", "true", "", "/v1", "a,b", "1e999", "٣", "filed.example"]
    ),
)
NAMES = st.one_of(st.sampled_from(sorted(BY_NAME)), LETTERS.map(lambda text: OWN + text), LETTERS)
JUNK = st.recursive(st.none() | st.booleans() | st.integers() | TEXTS, lambda inner: st.lists(inner, max_size=2))


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """A Deployment whose label, annotations and anything else may be anything."""
    found = deployment(f"x-{draw(st.integers(1, 3))}", draw(st.sampled_from(["x", "y", "z"])), draw(LETTERS))
    found["metadata"]["annotations"] = draw(st.dictionaries(NAMES, TEXTS | JUNK, max_size=6))
    if draw(st.booleans()):
        found["metadata"]["annotations"][f"{OWN}hosts"] = "x.example"
    for _ in range(draw(st.integers(0, 2))):
        key = draw(st.sampled_from(["labels", "annotations", "creationTimestamp", "deletionTimestamp", "spec"]))
        (found if key == "spec" else found["metadata"])[key] = draw(JUNK)
    return found


@settings(deadline=None)
@given(st.lists(st.lists(mutated(), max_size=3, unique_by=lambda each: each["metadata"]["name"]), max_size=3))
def test_whatever_some_deployments_say_the_others_are_served_as_if_alone(updates: list[list[dict[str, Any]]]) -> None:
    sound = [
        deployment("m-1", "m", "", hosts="m.example", percent="75"),
        deployment("m-2", "m", "", percent="25", tag="next"),
    ]
    alone = services(merged(*sound))["m"]
    source = Deployments()
    for update in updates:
        before = copy.deepcopy(update)
        found = source.merge(SETTINGS, [*update, *sound])
        assert services(found)["m"] == alone
        assert services(found)["filed"] == SETTINGS.services[0]
        assert not {"m-1", "m-2"} & set(found.problems)
        assert set(build(found.settings).plans) >= {"m-1", "m-2", "filed-1"}
        assert update == before


@settings(deadline=None)
@given(st.lists(mutated(), max_size=4, unique_by=lambda each: each["metadata"]["name"]), st.randoms())
def test_the_order_in_which_deployments_come_changes_nothing(deployments: list[dict[str, Any]], chance: Any) -> None:
    shuffled = list(deployments)
    chance.shuffle(shuffled)
    assert merged(*deployments) == merged(*shuffled)


class TestCanaries:
    def canaried(self, **canary: str) -> Merged:
        stable = deployment("m-1", "m", OLD, hosts="m.example")
        return merged(stable, deployment("m-2", "m", NEW, percent="100", **canary))

    def test_a_deployment_may_be_tried_beside_another(self) -> None:
        found = self.canaried(canary_revision="m-2", canary_steps="1, 5, 25", canary_guard="false", sticky="address")
        assert told(found) == {}
        catalog = build(found.settings)
        canary = catalog.canaries["m"]
        assert (canary.revision, canary.stable, canary.ladder, canary.guard) == ("m-2", "m-1", (1, 5, 25, 100), None)
        assert catalog.table.services[1].sticky is not None

    def test_a_deployment_that_says_nothing_of_it_has_no_say(self) -> None:
        found = self.canaried(canary_revision="m-2")
        assert services(found)["m"].canary.revision == "m-2"
        assert "canary" not in services(merged(deployment("m-1", "m", hosts="m.example")))["m"].model_fields_set

    @pytest.mark.parametrize(
        ("canary", "missing"), [({"canary_revision": "m-3"}, "m-3"), ({"canary_stable": "m-0"}, "m-0")]
    )
    def test_a_canary_without_its_counterpart_is_served_as_it_is(self, canary: dict[str, str], missing: str) -> None:
        found = self.canaried(**{"canary_revision": "m-2", **canary})
        assert not found.refused
        [line] = told(found)["m-2"]
        assert f"gpu-activator/canary-revision: has no effect: {missing} is no Deployment of this service" in line
        assert build(found.settings).canaries == {}
        assert shares(found, "m") == {"m-1": 0, "m-2": 100}

    def test_one_whose_former_revision_has_a_mistake_is_none_the_less_a_canary_after_a_restart(self) -> None:
        stable = deployment("m-1", "m", hosts="m.example", percent="0")
        wrong = deployment("m-1", "m", hosts="m.example", percent="none")
        canary = deployment("m-2", "m", NEW, percent="100", canary_revision="m-2")
        first, second = Deployments(), Deployments()
        before = first.merge(SETTINGS, [stable, canary])
        assert first.dump() == {}
        assert first.merge(SETTINGS, [wrong, canary]).settings == before.settings
        second.restore(json.loads(json.dumps(first.dump())))
        found = second.merge(SETTINGS, [wrong, canary])
        assert (found.settings, sorted(found.refused)) == (before.settings, ["m-1"])
        assert second.dump() == first.dump()

    def test_a_canary_goes_on_serving_when_the_former_revision_is_deleted(self) -> None:
        both = Deployments()
        stable = deployment("m-1", "m", OLD, hosts="m.example")
        canary = deployment("m-2", "m", NEW, hosts="m.example", percent="100", canary_revision="m-2")
        assert build(both.merge(SETTINGS, [stable, canary]).settings).canaries["m"].stable == "m-1"
        found = both.merge(SETTINGS, [canary])
        assert shares(found, "m") == {"m-2": 100}
        assert "no other Deployment is beside it" in told(found)["m-2"][0]
        assert not found.refused

    @pytest.mark.parametrize(
        ("canary", "problem"),
        [
            ({"canary_revision": "m-2", "canary_steps": "5,x"}, "gpu-activator/canary-steps: must be a whole number"),
            ({"canary_revision": "m-2", "canary_steps": "5,1"}, "gpu-activator/canary-steps: must rise"),
            ({"canary_step": "5"}, "unknown annotation (did you mean gpu-activator/canary-steps?)"),
        ],
    )
    def test_a_mistake_stays_with_the_deployment_that_has_it(self, canary: dict[str, str], problem: str) -> None:
        found = self.canaried(**canary)
        (line,) = told(found)["m-2"]
        assert problem in line
        assert found.refused == {"m-2"}
        assert [revision.name for revision in services(found)["m"].revisions] == ["m-1"]
