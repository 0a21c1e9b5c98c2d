"""What a path of the inference protocols asks for, of which model, and what the edge can tell of models by itself.

Sources: OpenAI's API reference (models); the V1 protocol, which is TensorFlow Serving's; the Open Inference Protocol
(V2). A list or a card of a model is both OpenAI's and V1's, since both have it at the same path.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

from router.errors import Reason, Told
from router.match import known
from router.table import Probes

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from router.match import Models, Route

    Phase = Callable[[Route], str]

READY, FAILING = "ready", "failing"
_OPENAI = "/openai"
_V1 = "/v1/models"
_V2 = "/v2/models/"
_TAIL = 5  # parts of a path behind a model's name, such as /versions/1/trace/setting
_VERSION = re.compile("^/versions/[^/]+")
_VERBS = (":predict", ":explain", "/infer", "/ready")


class Asked(Enum):
    """What a path asks for."""

    LIST = auto()
    CARD = auto()
    METADATA = auto()
    READINESS = auto()
    SERVER_LIVENESS = auto()
    SERVER_READINESS = auto()
    OTHER = auto()


_HEALTH = {"/v2/health/live": Asked.SERVER_LIVENESS, "/v2/health/ready": Asked.SERVER_READINESS}
_OF_V2 = {"": Asked.METADATA, "/ready": Asked.READINESS}


class Subject(NamedTuple):
    """What is asked for, and of which model if the path names one."""

    asked: Asked
    model: str | None = None


def subject_of(path: bytes, names: Container[str]) -> Subject:
    """Return what a normal path (`match.normal_path`) asks for; a name may have slashes and colons if it is known."""
    text = path.decode("utf-8", "backslashreplace")
    openai = text.startswith(f"{_OPENAI}/")
    text = text.removeprefix(_OPENAI) if openai else text
    if text == _V1:
        return Subject(Asked.LIST)
    if text.startswith(f"{_V1}/"):
        model, tail = _cut(text.removeprefix(f"{_V1}/"), names)
        return Subject(Asked.OTHER if tail else Asked.CARD, model)
    if text.startswith(_V2) and not openai:
        model, tail = _cut(text.removeprefix(_V2), names)
        return Subject(_OF_V2.get(_VERSION.sub("", tail), Asked.OTHER), model)
    return Subject(Asked.OTHER if openai else _HEALTH.get(text, Asked.OTHER))


def _cut(text: str, names: Container[str]) -> tuple[str, str]:
    """Cut a path's end into a model's name and what is asked of it: behind the longest name that is known, else before
    a verb."""
    name = text
    for _ in range(_TAIL):
        if name in names:
            return name, text[len(name) :]
        name = name[: max(name.rfind("/"), name.rfind(":"), 0)]
    tail = next((verb for verb in _VERBS if text.endswith(verb)), "")
    return text.removesuffix(tail), tail


def told(subject: Subject, models: Models, phase: Phase) -> Told | None:
    """Return the edge's own answer to a GET for `subject`; None when it is for the model to answer. EdgeError (404) for
    a model that does not exist."""
    if subject.asked is Asked.LIST:
        return _list(models, phase)
    if subject.asked in {Asked.SERVER_LIVENESS, Asked.SERVER_READINESS}:
        return _health(subject.asked, models, phase)
    if subject.model is None or subject.asked is Asked.OTHER:
        return None
    if models.any and subject.model not in models.listed:
        return None
    route = known(models.listed, subject.model)
    state, probes = phase(route), route.service.sleeping_probes
    if probes is Probes.WAKE or (state == READY and subject.asked is not Asked.CARD):
        return None
    ready = _is_ready(route, state)
    if subject.asked is Asked.CARD:
        return Told(Reason.MODELS, {**_card(subject.model, route, state), "name": subject.model, "ready": ready})
    if subject.asked is Asked.READINESS:
        return _readiness(ready, {"name": subject.model, "ready": ready, "state": state})
    unknown: dict[str, object] = {"versions": [], "platform": "", "inputs": [], "outputs": []}
    return Told(Reason.MODELS, {"name": subject.model, **unknown, "state": state})


def _list(models: Models, phase: Phase) -> Told:
    cards = [_card(model, route, phase(route)) for model, route in models.listed.items()]
    return Told(Reason.MODELS, {"object": "list", "data": cards, "models": list(models.listed)})


def _card(model: str, route: Route, state: str) -> dict[str, object]:
    return {"id": model, "object": "model", "created": 0, "owned_by": route.service.name, "state": state}


def _health(asked: Asked, models: Models, phase: Phase) -> Told | None:
    """Return the health of the server, which is the edge unless there is but one service and that is awake. It is ready
    as soon as one of its models is: a model that sleeps is no reason to take it out of service."""
    only = models.only
    if only is not None and (only.service.sleeping_probes is Probes.WAKE or phase(only) == READY):
        return None
    if asked is Asked.SERVER_LIVENESS:
        return Told(Reason.MODELS, {"live": True})
    ready = any(_is_ready(route, phase(route)) for route in models.routes.values())
    return _readiness(ready, {"ready": ready})


def _is_ready(route: Route, state: str) -> bool:
    return state == READY or (route.service.sleeping_probes is not Probes.NOT_READY and state != FAILING)


def _readiness(ready: bool, document: dict[str, object]) -> Told:
    return Told(Reason.MODELS if ready else Reason.MODEL_NOT_READY, document)
