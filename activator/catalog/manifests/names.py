"""By which names the requests for a component call its model: what `models` of a service is.

KServe tells its servers the manifest's name (`--model_name`), and clients write that into paths and bodies. Who starts
a server of their own may have named the model otherwise; the arguments tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from activator.catalog.annotations import OWN
from activator.catalog.manifests.annotations import SERVICE
from activator.settings.texts import Model

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from activator.catalog.manifests.model import Revision
    from activator.catalog.manifests.notes import Notes
    from activator.settings.problems import Location

SERVED = ("--served-model-name", "--served_model_name")  # of vLLM, which takes several
NAMED = ("--model_name", "--model-name")
VARIABLE = "MLSERVER_MODEL_NAME"
MODELS, PROBES, OTHERS = "models", "sleeping-probes", "other-models"
PASS = "pass"  # noqa: S105


def entry_keys(name: str, revisions: Sequence[Revision]) -> dict[str, Any]:
    """Return the service's keys of the component that the hosts of the manifest `name` lead to. Names that are only
    taken from a manifest are no reason to refuse a request for another one."""
    own: Mapping[str, Any] = next(each.keys.get(SERVICE, {}) for each in revisions)
    if MODELS in own:
        return dict(own) if own[MODELS] else _without_models(own)
    found = dict.fromkeys(each for revision in revisions for each in _names(revision, name))
    return {MODELS: list(found), OTHERS: PASS, **own}


def keys_behind(*revisions: Revision) -> dict[str, Any]:
    """Return the service's keys of a component that other components call: nobody chooses it by a model's name."""
    return next((_without_models(each.keys.get(SERVICE, {})) for each in revisions), {})


def keys_alone(revision: Revision, notes: Notes, at: Location) -> dict[str, Any]:
    """Return the service's keys of a revision, whose models nobody names unless it does itself."""
    own: Mapping[str, Any] = revision.keys.get(SERVICE, {})
    if own.get(MODELS):
        return dict(own)
    for key in (PROBES, OTHERS):
        if key in own:
            notes.warn(at, f"{OWN}{key} has no effect: name the {OWN}{MODELS} that it is about")
    return _without_models(own)


def _without_models(keys: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in keys.items() if key not in {MODELS, PROBES, OTHERS}}


def served_name(container: Mapping[str, Any], name: str) -> str:
    """Return by which name the server in `container`, one of KServe's, has its model; `name` where nothing tells."""
    told = _values(list(_words(container.get("args", ()))), NAMED, several=False) or _variable(container)
    return told[-1] if told else name


def _names(revision: Revision, name: str) -> list[str]:
    """Return what a revision's model is called: as the server that is asked is told, or the one behind it, else as the
    manifest."""
    told = _told(revision.front) or _told(revision.container)
    return [each for each in told if Model().takes(each)] or [name]


def _told(container: Mapping[str, Any]) -> list[str]:
    words = list(_words((*container.get("command", ()), *container.get("args", ()))))
    return _values(words, SERVED, several=True) or _values(words, NAMED, several=False) or _variable(container)


def _variable(container: Mapping[str, Any]) -> list[str]:
    return [each["value"] for each in container.get("env", ()) if each.get("name") == VARIABLE and "value" in each]


def _words(arguments: Iterable[str]) -> Iterator[str]:
    """Yield arguments, and those within the line of a shell."""
    for each in arguments:
        yield from (word.strip("'\"") for word in each.split())


def _values(words: list[str], flags: tuple[str, ...], *, several: bool) -> list[str]:
    """Return what is given to the last of some flags: `--flag=value` or `--flag value`."""
    found: list[str] = []
    for number, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if flag not in flags:
            continue
        rest = [value] if equals else words[number + 1 :]
        end = next((index for index, each in enumerate(rest) if each.startswith("-")), len(rest))
        found = rest[: end if several else min(end, 1)]
    return found
