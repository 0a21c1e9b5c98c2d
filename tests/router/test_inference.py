"""What paths ask for, and what the edge tells of models."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import EdgeError, Reason, Told
from router.inference import Asked, Subject, subject_of, told
from router.match import Models, compile_routes, match, normal_path
from router.table import Probes
from tests.router.fakes import service, table

KNOWN = {"sentiment", "org/name", "llama3:8b", "a", "a/b"}


@pytest.mark.parametrize(
    ("path", "asked", "model"),
    [
        ("/v1/models", Asked.LIST, None),
        ("/v1/models/", Asked.LIST, None),
        ("/openai/v1/models?x=1", Asked.LIST, None),
        ("/v1/models/sentiment", Asked.CARD, "sentiment"),
        ("/v1/models/org/name", Asked.CARD, "org/name"),
        ("/v1/models/org%2Fname", Asked.CARD, "org/name"),
        ("/openai/v1/models/llama3:8b", Asked.CARD, "llama3:8b"),
        ("/v1/models/none", Asked.CARD, "none"),
        ("/v1/models/other/name", Asked.CARD, "other/name"),
        ("/v1/models/sentiment:predict", Asked.OTHER, "sentiment"),
        ("/v1/models/org/name:explain", Asked.OTHER, "org/name"),
        ("/v1/models/llama3:8b:predict", Asked.OTHER, "llama3:8b"),
        ("/v1/models/sentiment/versions/1:predict", Asked.OTHER, "sentiment"),
        ("/v1/models/sentiment/metadata", Asked.OTHER, "sentiment"),
        ("/v1/models/none:predict", Asked.OTHER, "none"),
        ("/v1/models/a/b", Asked.CARD, "a/b"),
        ("/v2/models/sentiment", Asked.METADATA, "sentiment"),
        ("/v2/models/org/name/versions/2", Asked.METADATA, "org/name"),
        ("/v2/models/sentiment/ready", Asked.READINESS, "sentiment"),
        ("/v2/models/org/name/versions/2/ready", Asked.READINESS, "org/name"),
        ("/v2/models/none/ready", Asked.READINESS, "none"),
        ("/v2/models/none", Asked.METADATA, "none"),
        ("/v2/models/sentiment/infer", Asked.OTHER, "sentiment"),
        ("/v2/models/org/name/versions/2/infer", Asked.OTHER, "org/name"),
        ("/v2/models/a/versions/2/trace/setting", Asked.OTHER, "a"),
        ("/v2/models/none/infer", Asked.OTHER, "none"),
        ("/v2/health/live", Asked.SERVER_LIVENESS, None),
        ("/v2/health/ready", Asked.SERVER_READINESS, None),
        ("/v2/models", Asked.OTHER, None),
        ("/v2", Asked.OTHER, None),
        ("/openai/v2/health/live", Asked.OTHER, None),
        ("/openai/v2/models/sentiment", Asked.OTHER, None),
        ("/v1/chat/completions", Asked.OTHER, None),
        ("/v1/modelsX", Asked.OTHER, None),
        ("/", Asked.OTHER, None),
    ],
)
def test_a_path_asks_for_something_of_a_model(path: str, asked: Asked, model: str | None) -> None:
    assert subject_of(normal_path(path.encode()), KNOWN) == Subject(asked, model)


@given(st.text("/:v12.%modelsreadyinfer", max_size=30))
def test_any_path_is_understood_somehow(path: str) -> None:
    subject = subject_of(normal_path(b"/v1/models/" + path.encode()), KNOWN)
    assert subject.asked in {Asked.LIST, Asked.CARD, Asked.OTHER}


def models(*, probes: Probes = Probes.READY, shared: bool = True) -> Models:
    """Return the models of a host: `slow` of a service `s`, and `fast` of another if it is shared."""
    services = [service(name="s", models=("slow", "org/slow"), sleeping_probes=probes)]
    if shared:
        services.append(service(name="f", models=("fast",)))
    found = match(compile_routes(table(*services)), b"a.example", b"/").models
    assert found is not None
    return found


def ask(path: str, of: Models, *ready: str, phase: str = "asleep") -> Told | None:
    """Return the answer to a GET while the services `ready` are, and others are in `phase`."""
    subject = subject_of(path.encode(), of.listed)
    return told(subject, of, lambda route: "ready" if route.service.name in ready else phase)


def document(answer: Told | None, reason: Reason = Reason.MODELS) -> dict[str, object]:
    assert answer is not None
    assert answer.reason is reason
    return dict(answer.document)


def test_the_list_has_all_models_with_their_state() -> None:
    listed = document(ask("/v1/models", models(), "f", phase="starting"))
    assert listed == {
        "object": "list",
        "data": [
            {"id": "slow", "object": "model", "created": 0, "owned_by": "s", "state": "starting"},
            {"id": "org/slow", "object": "model", "created": 0, "owned_by": "s", "state": "starting"},
            {"id": "fast", "object": "model", "created": 0, "owned_by": "f", "state": "ready"},
        ],
        "models": ["slow", "org/slow", "fast"],
    }


@pytest.mark.parametrize(
    ("probes", "ready", "told_ready"),
    [
        (Probes.READY, (), True),
        (Probes.NOT_READY, (), False),
        (Probes.READY, ("s",), True),
        (Probes.NOT_READY, ("s",), True),
    ],
)
def test_a_models_card_tells_its_state_and_whether_it_is_ready(
    probes: Probes, ready: tuple[str, ...], told_ready: bool
) -> None:
    assert document(ask("/v1/models/slow", models(probes=probes), *ready)) == {
        "id": "slow",
        "object": "model",
        "created": 0,
        "owned_by": "s",
        "state": "ready" if ready else "asleep",
        "name": "slow",
        "ready": told_ready,
    }


def test_a_sleeping_models_metadata_is_its_name_and_no_guess_at_its_tensors() -> None:
    known = document(ask("/v2/models/slow", models(), phase="pending"))
    assert known == {"name": "slow", "versions": [], "platform": "", "inputs": [], "outputs": [], "state": "pending"}


def test_a_sleeping_models_readiness_is_as_the_service_says() -> None:
    path = "/v2/models/slow/ready"
    assert document(ask(path, models())) == {"name": "slow", "ready": True, "state": "asleep"}
    unready = ask(path, models(probes=Probes.NOT_READY))
    assert document(unready, Reason.MODEL_NOT_READY) == {"name": "slow", "ready": False, "state": "asleep"}
    assert unready is not None
    assert unready.status == 503


def test_a_model_whose_starts_keep_failing_is_not_ready_whatever_the_service_says() -> None:
    answer = ask("/v2/models/slow/ready", models(), phase="failing")
    assert document(answer, Reason.MODEL_NOT_READY) == {"name": "slow", "ready": False, "state": "failing"}
    assert document(ask("/v1/models/slow", models(), phase="failing"))["ready"] is False
    assert document(ask(READY, models(), phase="failing"), Reason.MODEL_NOT_READY) == {"ready": False}
    assert document(ask(READY, models(), "f", phase="failing")) == {"ready": True}


@pytest.mark.parametrize("path", ["/v2/models/slow", "/v2/models/slow/ready"])
def test_a_model_that_is_awake_answers_for_itself(path: str) -> None:
    assert ask(path, models(), "s") is None


@pytest.mark.parametrize("path", ["/v1/models/slow", "/v2/models/slow", "/v2/models/slow/ready"])
def test_a_service_whose_probes_wake_it_answers_for_itself(path: str) -> None:
    assert ask(path, models(probes=Probes.WAKE)) is None


@pytest.mark.parametrize("path", ["/v1/models/none", "/v2/models/none", "/v2/models/none/ready"])
def test_a_model_that_does_not_exist_is_not_found(path: str) -> None:
    with pytest.raises(EdgeError, match=r"'none' does not exist here\. There are: slow, org/slow, fast\.") as refusal:
        ask(path, models())
    assert (refusal.value.status, refusal.value.reason) == (404, Reason.MODEL_NOT_FOUND)


@pytest.mark.parametrize("path", ["/v1/models/slow:predict", "/v2/models/slow/infer", "/v1/completions", "/"])
def test_all_else_is_for_the_model(path: str) -> None:
    assert ask(path, models()) is None


LIVE, READY = "/v2/health/live", "/v2/health/ready"


def test_the_edge_is_live_and_ready_for_models_that_sleep() -> None:
    for shared in (True, False):
        assert document(ask(LIVE, models(shared=shared))) == {"live": True}
        assert document(ask(READY, models(shared=shared))) == {"ready": True}


def test_it_is_not_ready_only_when_all_models_are_said_not_to_be() -> None:
    unready = models(probes=Probes.NOT_READY, shared=False)
    assert document(ask(READY, unready), Reason.MODEL_NOT_READY) == {"ready": False}
    assert document(ask(LIVE, unready)) == {"live": True}
    assert document(ask(READY, models(probes=Probes.NOT_READY))) == {"ready": True}


def test_the_only_service_answers_for_its_health_when_it_is_awake_or_is_to_wake() -> None:
    for path in (LIVE, READY):
        assert ask(path, models(shared=False), "s") is None
        assert ask(path, models(probes=Probes.WAKE, shared=False)) is None
        assert ask(path, models(probes=Probes.WAKE), "s", "f") is not None
