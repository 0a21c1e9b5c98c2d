"""A canary in the file: what it may be, what its keys lead to, and what is said when something does not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from activator.catalog.file import build
from activator.catalog.model import Canary, GuardKeys
from activator.settings import canary as keys
from router.table import Key, Sticky
from tests.activator.settings.files import loaded, problems, small, written

if TYPE_CHECKING:
    from activator.catalog.model import Catalog

LABELS = "allowed: up to 63 of a-z, 0-9 and -, which begin and end with a letter or digit"


def tried(canary: Any = None, traffic: tuple[tuple[str, int], ...] = (("m-1", 95), ("m-2", 5)), **more: Any) -> str:
    data = small()
    service = data["services"][0]
    service["revisions"] = [{"name": name, "command": ["model", name]} for name in ("m-1", "m-2", "m-3")]
    service["traffic"] = [{"revision": name, "percent": percent} for name, percent in traffic]
    service["canary"] = {"revision": "m-2"} if canary is None else canary
    return written({**data, "services": [{**service, **more}]})


def built(text: str) -> Catalog:
    return build(loaded(text))


def canary(**changes: Any) -> Canary:
    return built(tried({"revision": "m-2", **changes})).canaries["m"]


def test_a_canary_needs_no_more_than_its_name() -> None:
    found = canary()
    assert (found.service, found.revision, found.stable, found.goal) == ("m", "m-2", "m-1", 5)
    assert (found.warm_first, found.hold, found.steps, found.swap) == (True, False, (), False)
    assert (found.step_seconds, found.step_requests, found.guard) == (300.0, 100, GuardKeys())


CHANGES: dict[str, tuple[Any, str, Any]] = {
    "warm-first": (False, "warm_first", False),
    "when-cold": ("hold", "hold", True),
    "steps": ([1, 2], "steps", (1, 2)),
    "step-min-time": ("1m", "step_seconds", 60.0),
    "step-min-requests": (7, "step_requests", 7),
    "guard": (False, "guard", None),
    "guard-false-alarm-percentage": (5, "guard", GuardKeys(risk=0.05)),
    "guard-window": ("1m", "guard", GuardKeys(window=60.0)),
    "guard-min-requests": (7, "guard", GuardKeys(min_requests=7)),
    "tolerated-error-percentage": (0, "guard", GuardKeys(tolerated_errors=0.0)),
    "max-slowdown": (0, "guard", GuardKeys(max_slowdown=0.0)),
    "swap": (True, "swap", True),
}


def test_the_table_of_changes_has_every_key() -> None:
    assert set(CHANGES) == set(keys.Canary.fields_by_key()) - {"revision", "stable"}


@pytest.mark.parametrize("key", CHANGES)
def test_every_key_has_its_effect_and_no_other(key: str) -> None:
    value, name, expected = CHANGES[key]
    before, after = canary(), canary(**{key: value})
    changed = {field for field in Canary.__slots__ if getattr(before, field) != getattr(after, field)}
    assert changed == {name}
    assert getattr(after, name) == expected


def test_a_service_without_a_canary_has_none() -> None:
    assert not built(tried({})).canaries


def test_the_goal_is_what_all_shares_of_the_canary_have() -> None:
    text = tried(traffic=(("m-1", 80),)).replace(
        "percent: 80\n", "percent: 80\n  - {revision: m-2, percent: 15}\n  - {revision: m-2, percent: 5, tag: next}\n"
    )
    assert built(text).canaries["m"].goal == 20


def test_another_command_is_another_rollout_and_another_goal_is_not() -> None:
    def identity(goal: int = 5, **commands: list[str]) -> str:
        revisions = [{"name": name, "command": commands.get(name[2:], ["model"])} for name in ("m-old", "m-new")]
        traffic = [{"revision": "m-old", "percent": 100 - goal}, {"revision": "m-new", "percent": goal}]
        data = small()
        data["services"][0] |= {"revisions": revisions, "traffic": traffic, "canary": {"revision": "m-new"}}
        return built(written(data)).canaries["m"].identity

    assert identity() == identity(goal=10) == identity(old=["model", "--better"])
    assert identity() != identity(new=["model", "--better"])


@pytest.mark.parametrize(
    ("text", "sticky"),
    [
        ("address", Sticky(Key.ADDRESS)),
        ("header:X-Client", Sticky(Key.HEADER, b"x-client")),
        ("cookie:Session", Sticky(Key.COOKIE, b"Session")),
    ],
)
def test_clients_are_told_apart_by_header_cookie_or_address(text: str, sticky: Sticky) -> None:
    assert built(tried(sticky=text)).table.services[0].sticky == sticky


def test_without_sticky_they_are_not() -> None:
    assert built(tried()).table.services[0].sticky is None


STICKY = "allowed: header:NAME, cookie:NAME or address"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (tried({"revision": "m-4"}), "services[0].canary.revision (m): must be in this service's traffic"),
        (tried({"revision": "m-3"}), "(got 'm-3'; allowed: m-1 or m-2; did you mean m-2?)"),
        (tried({"steps": [1]}), "services[0].canary.revision (m): is required: it says which revision is the canary"),
        (
            tried(traffic=(("m-1", 50), ("m-2", 5), ("m-3", 45))),
            "canary.stable (m): is required, since traffic names several other revisions (allowed: m-1 or m-3)",
        ),
        (tried(traffic=(("m-2", 100),)), "canary.stable (m): has nothing to stand for: traffic needs another revision"),
        (
            tried({"revision": "m-2", "stable": "m-2"}),
            "stable (m): must be another revision than the canary (got 'm-2')",
        ),
        (tried({"revision": "m-2", "stable": "m-3"}), "stable (m): must be in this service's traffic (got 'm-3'"),
        (
            tried({"revision": "m-2", "steps": [5, 1]}),
            "steps (m): must rise from one to the next (did you mean [1, 5]?)",
        ),
        (tried({"revision": "m-2", "steps": [0]}), "canary.steps[0] (m): is too small (got 0; allowed: 1 to 100)"),
        (tried({"revision": "m-2", "when-cold": "wait"}), "when-cold (m): must be stable or hold (got 'wait'"),
        (tried({"revision": "m-2", "max-slowdown": 0.5}), "is too small (got 0.5; allowed: 1 or more, or 0)"),
        (tried({"revision": "m-2", "stepMinTime": "1s"}), "unknown key (did you mean step-min-time?)"),
        (
            tried(sticky="x-client"),
            f"names no key of a client (got 'x-client'; {STICKY}; did you mean header:x-client?)",
        ),
        (tried(sticky="cookie:a b"), f"sticky (m): names no key of a client (got 'cookie:a b'; {STICKY})"),
        (tried(sticky=7), "sticky (m): must say where the key is (in quotes, if it is one)"),
    ],
)
def test_what_does_not_fit_is_told_with_its_place_and_what_would_be_right(text: str, told: str) -> None:
    (problem,) = problems(text)
    assert told in problem
