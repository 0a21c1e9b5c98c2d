"""Who owns what, and when edges that see each other may act."""

from __future__ import annotations

from activator.peers.views import Announced, Views, owner

THREE = frozenset(("a:1", "b:1", "c:1"))
REVISIONS = [f"model-{number:05}" for number in range(300)]


def test_every_edge_owns_its_part() -> None:
    owners = [owner(name, THREE) for name in REVISIONS]
    assert all(70 <= owners.count(edge) <= 130 for edge in THREE)


def test_an_edge_that_leaves_moves_only_what_it_had() -> None:
    for name in REVISIONS:
        if owner(name, THREE) != "c:1":
            assert owner(name, THREE - {"c:1"}) == owner(name, THREE)


def test_one_alone_acts() -> None:
    assert Views("a:1").agreed


def pair() -> tuple[Views, Views]:
    both = frozenset(("a:1", "b:1"))
    one, other = Views("a:1"), Views("b:1")
    for each in (one, other):
        each.see(both, frozenset())
    return one, other


def tell(sender: Views, hearer: Views) -> Announced:
    told = Announced(sender.members, sender.lost, sender.epoch, sender.epoch_of(hearer.me))
    hearer.heard(sender.me, told)
    return told


def test_two_act_once_each_has_heard_that_the_other_has_heard() -> None:
    one, other = pair()
    tell(one, other)
    tell(other, one)
    assert [each.agreed for each in (one, other)] == [True, False]
    other.acknowledged(one.me, other.epoch)
    assert [each.agreed for each in (one, other)] == [True, True]


def test_an_acknowledgement_of_an_earlier_view_does_not_count() -> None:
    one, other = pair()
    tell(one, other)
    tell(other, one)
    earlier, acts = one.epoch, [one.agreed]
    one.see(one.members | {"c:1"}, frozenset())
    one.see(frozenset(("a:1", "b:1")), frozenset())
    acts.append(one.agreed)
    for epoch in (earlier, one.epoch):
        one.acknowledged(other.me, epoch)
        acts.append(one.agreed)
    assert acts == [True, False, False, True]


def test_two_that_lost_different_edges_do_not_act() -> None:
    one, other = pair()
    one.see(one.members, frozenset(("c:1",)))
    tell(one, other)
    tell(other, one)
    other.acknowledged(one.me, other.epoch)
    assert [each.agreed for each in (one, other)] == [False, False]


def test_one_that_is_lost_owns_what_it_owned() -> None:
    views = Views("a:1")
    views.see(frozenset(("b:1",)), frozenset(("c:1",)))
    assert [views.owner(name) for name in REVISIONS] == [owner(name, THREE) for name in REVISIONS]


def test_who_is_lost_is_gone_if_a_peer_that_knew_it_says_so() -> None:
    one, other = pair()
    one.see(one.members, frozenset(("c:1",)))
    other.see(other.members, frozenset(("c:1",)))
    tell(other, one)
    other.see(other.members, frozenset())
    told = Announced(other.members, other.lost, other.epoch, one.epoch)
    assert one.heard(other.me, told) == {"c:1"}
    assert one.heard(other.me, told) == frozenset()
