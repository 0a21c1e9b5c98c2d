from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activator.kpa.decide import Observation, State, decide, initial_state
from activator.kpa.explain import sentence
from activator.kpa.spec import Metric, Spec

SPEC = Spec(target=1.0, total=1.0)
CALM = State()


def told(spec: Spec, state: State, seen: Observation, now: float = 0.0) -> str:
    return sentence(decide(spec, state, seen, now)[1])


def load(average: float, want: int, window: str = "stable") -> str:
    return f"{average} requests on average over the {window} window ask for {want} at a target of 1 per replica"


@pytest.mark.parametrize(
    ("state", "seen", "expected"),
    [
        (CALM, Observation(2, 2.4, 2.4), f"Wants 3 because {load(2.4, 3)}."),
        (
            CALM,
            Observation(4, 6.5, 5),
            f"Wants 6 because {load(6.5, 7)}; the scale-up rate allows 6 with 4 ready.",
        ),
        (CALM, Observation(1, 0, 0), "Wants 0 because the stable window saw no requests."),
        (
            CALM,
            Observation(3, 0, 0),
            "Wants 2 because the stable window saw no requests; the scale-down rate keeps at least 2 of 3 ready.",
        ),
        (
            State(-50, 6),
            Observation(6, 2, 1),
            (
                f"Wants 6 because {load(2, 2)}; the scale-down rate keeps at least 5 of 6 ready; "
                "panic mode keeps 6 for at least 70 s more."
            ),
        ),
        (
            CALM,
            Observation(2, 1, 4),
            (
                f"Wants 3 because {load(4, 4, 'panic')}; the scale-up rate allows 3 with 2 ready; "
                "panic mode lets nothing go for at least 120 s more."
            ),
        ),
        (CALM, Observation(1, None, None), "Keeps what was wanted last because nothing was measured lately."),
        (
            State(-120, 4),
            Observation(4, None, None),
            (
                "Keeps what was wanted last because nothing was measured lately; "
                "panic mode lets nothing go until the next decision."
            ),
        ),
    ],
)
def test_the_sentence_tells_what_decided(state: State, seen: Observation, expected: str) -> None:
    assert told(SPEC, state, seen) == expected


def test_one_request_asks_in_the_singular() -> None:
    assert told(SPEC, CALM, Observation(1, 1, 1)) == (
        "Wants 1 because 1 request on average over the stable window asks for 1 at a target of 1 per replica."
    )


def test_requests_per_second_and_the_activation_scale_are_named() -> None:
    spec = replace(SPEC, activation_scale=3, metric=Metric.RPS, target=200.0)
    assert told(spec, CALM, Observation(0, 123.4, 100)) == (
        "Wants 3 because 123 requests per second on average over the stable window ask for 1 at a target of 200 "
        "per replica; the activation scale asks for at least 3."
    )


def test_the_delay_tells_how_long_it_holds() -> None:
    spec = replace(SPEC, scale_down_delay=60.0)
    state, _ = decide(spec, initial_state(1, 0.0), Observation(1, 1, 1), 0.0)
    assert told(spec, state, Observation(1, 0, 0), 20.0) == (
        "Wants 1 because the stable window saw no requests; the scale-down delay keeps 1 for at least 40 s more."
    )


@given(st.integers(0, 50), st.floats(0, 1e6), st.floats(0, 1e6), st.booleans(), st.integers(0, 5))
def test_every_decision_has_exactly_one_sentence(
    ready: int, stable: float, panic: float, reachable: bool, activation: int
) -> None:
    spec = replace(SPEC, reachable=reachable, activation_scale=activation, scale_down_delay=30.0)
    text = told(spec, initial_state(ready, 0.0), Observation(ready, stable, panic), 5.0)
    assert text.startswith("Wants ")
    assert text.endswith(".")
    assert "None" not in text
    assert "{" not in text
    assert ". " not in text
