"""From a file to `Settings`, or to a list of everything that is wrong with it.

What pydantic refuses is cut out of the data (and remembered as damaged), so that the rest of the file can still be
checked as a whole. Nothing is half-applied: any problem means no settings.
"""

from __future__ import annotations

from copy import deepcopy
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from activator.settings import preset
from activator.settings.checks import check
from activator.settings.places import context
from activator.settings.problems import Finding, Location, Problem, SettingsError, shown
from activator.settings.schema import DEFAULT_PRESET, Settings
from activator.settings.source import Source, read
from activator.settings.suggest import group_at, nearest
from activator.settings.tls_checks import files_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from pydantic_core import ErrorDetails

MOST_PROBLEMS = 100
UNKNOWN = "unknown key"
SECRET = {"env", "command"}
MESSAGES = {
    "model_type": "must be a mapping of keys",
    "dict_type": "must be a mapping of names to values",
    "tuple_type": "must be a list",
    "string_type": "must be text",
}


def load(path: Path) -> Settings:
    """Return the settings in the file `path`. SettingsError with every problem, in the order of the file."""
    return settings_of(read(path), path.absolute().parent)


def settings_of(source: Source, base: Path, checked: Callable[[Settings], Iterable[Finding]] = check) -> Settings:
    """Return the settings in `source`; its paths are relative to `base`, and `checked` tells what must fit together.
    SettingsError as for `load`."""
    if not isinstance(source.data, dict):
        message = "must be a mapping of keys, such as listen: and services:"
        raise SettingsError([Problem(source.file, "", message, 1, value=shown(source.data))])
    data = dict(source.data)
    findings = [*source.findings, *_lay_over_preset(data)]
    _put_logs_into_state(data)
    settings, refused = _validated(data, base)
    told = [_finding(each) for each in refused[:MOST_PROBLEMS]]
    if settings is None:
        data = deepcopy(data)
        for at in reversed(dict.fromkeys(map(_location, refused))):
            _cut(data, at)
        settings, _ = _validated(data, base)
    if settings is not None:
        meant = [(*finding.at[:-1], finding.suggestion) for finding in told if finding.message == UNKNOWN]
        findings += _sound(checked(settings), {*source.damaged, *map(_location, refused), *meant})
    if settings is None or told or findings:
        named = () if settings is None else files_of(settings)
        raise SettingsError(_problems(source, [*told, *findings], len(refused) - len(told)), named)
    return settings


def _validated(data: dict[str, Any], base: Path) -> tuple[Settings | None, list[ErrorDetails]]:
    try:
        return Settings.model_validate(data, context=context(base)), []
    except ValidationError as error:
        return None, error.errors(include_url=False)


def _lay_over_preset(data: dict[str, Any]) -> list[Finding]:
    name = DEFAULT_PRESET if data.get("preset") is None else data["preset"]
    own = {} if data.get("autoscaling") is None else data["autoscaling"]
    if not isinstance(name, str) or not isinstance(own, dict):
        return []
    known = preset.names()
    if name not in known:
        near = get_close_matches(name[:64], known, 1)
        return [Finding(("preset",), "is no preset", shown(name), " or ".join(known), "".join(near))]
    written = {key: value for key, value in own.items() if value is not None}
    data["autoscaling"] = {**own, **preset.keys(name), **written}
    return []


def _put_logs_into_state(data: dict[str, Any]) -> None:
    state = data.get("state-dir")
    if isinstance(state, str) and state and data.get("log-dir") is None:
        data["log-dir"] = f"{state}/logs"


def _location(error: ErrorDetails) -> Location:
    at = error["loc"]
    return at[:-1] if at[-1] == "[key]" and "env" in at[:-1] else at


def _finding(error: ErrorDetails) -> Finding:
    at, notes = _location(error), error.get("ctx", {})
    if error["type"] == "extra_forbidden":
        return _unknown(at)
    value = "" if SECRET & set(at) else shown(error["input"])
    message = notes.get("message") or MESSAGES.get(error["type"], error["msg"])
    meant = f"[{error['input']}]" if error["type"] == "tuple_type" and _is_entry(at, error["input"]) else ""
    return Finding(at, message, value, notes.get("allowed", ""), notes.get("suggestion", meant))


def _is_entry(at: Location, value: object) -> bool:
    """Tell whether a value is text that may be the only entry of the list at `at`."""
    return isinstance(value, str) and value.strip() != "" and group_at(Settings, at) is None


def _unknown(at: Location) -> Finding:
    """Tell which key was meant or, when that cannot be guessed, which there are."""
    group = group_at(Settings, at[:-1])
    meant = nearest(group, str(at[-1])) if group else ""
    return Finding(
        at, UNKNOWN, allowed=", ".join(group.fields_by_key()) if group and not meant else "", suggestion=meant
    )


def _cut(data: Any, at: Location) -> None:
    """Take the value at `at` out of `data`. In a list of groups an empty one stays, to keep the others' places."""
    for part in at[:-1]:
        inside = part in data if isinstance(data, dict) else isinstance(part, int) and part < len(data)
        if not inside:
            return
        data = data[part]
    if isinstance(data, dict):
        data.pop(at[-1], None)
    elif group_at(Settings, at):
        data[int(at[-1])] = {}
    else:
        del data[int(at[-1])]


def _sound(findings: Iterable[Finding], damaged: set[Location]) -> list[Finding]:
    """Return the findings that rest on nothing damaged: neither a part of it, nor something around it."""
    around = {hole[:length] for hole in damaged for length in range(len(hole))}

    def is_damaged(at: Location) -> bool:
        return at in around or any(at[:length] in damaged for length in range(len(at) + 1))

    return [finding for finding in findings if not any(map(is_damaged, (finding.at, *finding.needs)))]


def _problems(source: Source, findings: list[Finding], hidden: int) -> list[Problem]:
    found = sorted(map(source.problem, findings), key=lambda problem: problem.line or 0)
    hidden += len(found[MOST_PROBLEMS:])
    more = [Problem(source.file, "", f"... and {hidden} more problems")] if hidden else []
    return found[:MOST_PROBLEMS] + more
