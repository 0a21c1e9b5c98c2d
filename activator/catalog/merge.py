"""The services of the file and those of the Deployments, as one: who belongs together, who wins, and who is told.

A mistake stays with the Deployment that has it. It goes on as it was when it last was good, or is left out if it never
was. Where two claim the same (a host and path, a name), the file wins over Deployments, and the older Deployment over
the younger. What has an obvious meaning is done and told: percentages that do not sum to 100 keep their proportions.

Every edge comes to the same result from the same Deployments. What was good earlier, one that has just started knows
from the leader, which saves it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from activator.catalog.annotations import CANARY, OWN, SHARED, name_at
from activator.catalog.deployments import born_of, fingerprint, inherited, is_ours, name_of, read
from activator.settings.canary import Canary
from activator.settings.checks import check_services
from activator.settings.problems import Problem, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from activator.catalog.deployments import Member
    from activator.settings.problems import Finding
    from activator.settings.schema import Service, Settings

WHOLE = 100


@dataclass(frozen=True, slots=True)
class Merged:
    """The file's settings with the services of the Deployments added; by Deployment, what is wrong with it, and which
    of them are not in force as they are written."""

    settings: Settings
    problems: Mapping[str, tuple[Problem, ...]]
    refused: frozenset[str]


@dataclass(slots=True)
class _Told:
    problems: dict[str, list[Problem]] = field(default_factory=lambda: defaultdict(list))
    refused: set[str] = field(default_factory=set)

    def refuse(self, name: str, problems: Iterable[Problem]) -> None:
        self.refused.add(name)
        self.problems[name] += problems


class Deployments:
    """Merges Deployments with a file again and again, and remembers each as it last was good."""

    def __init__(self) -> None:
        self._good: dict[str, Member] = {}
        self._read: dict[str, tuple[object, Member | SettingsError]] = {}
        self._refused: frozenset[str] = frozenset()
        self._saved: Mapping[str, Any] = {}

    def dump(self) -> dict[str, Any]:
        """Return those that are not in force as they are written, as they last were good, by name and in JSON's
        types."""
        good = self._good
        return {name: dict(good[name].written) for name in sorted(self._refused & good.keys())}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on with what `dump` gave at another edge, or in an earlier run, where nothing is known here."""
        self._saved = saved

    def merge(self, settings: Settings, deployments: Iterable[Mapping[str, Any]]) -> Merged:
        """Return what `settings` and all `deployments` (those without our label are left out) amount to."""
        told = _Told()
        ours = {name_of(each): each for each in deployments if is_ours(each)}
        defaults = inherited(settings)
        good = {**self._restored(ours, defaults), **self._good}
        members = self._candidates(ours, defaults, good, told)
        self._good, services = _admitted(settings, members, good, told)
        self._refused = frozenset(told.refused)
        merged = settings.model_copy(update={"services": (*settings.services, *services)})
        problems = {name: tuple(dict.fromkeys(each)) for name, each in told.problems.items()}
        return Merged(merged, problems, self._refused)

    def _restored(self, ours: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Member]:
        """Return those that nothing is known of here as they are saved, but none that was made anew since."""
        found = {}
        for name, saved in self._saved.items():
            if name in ours and name not in self._good and born_of(saved) == born_of(ours[name]):
                member = _read_or_error(saved, defaults)
                if not isinstance(member, SettingsError):
                    found[name] = member
        return found

    def _candidates(
        self, ours: Mapping[str, Any], defaults: Mapping[str, Any], good: Mapping[str, Member], told: _Told
    ) -> dict[str, Member]:
        members = {}
        earlier, self._read = self._read, {}
        for name, deployment in ours.items():
            key = (fingerprint(deployment), defaults)
            known = earlier.get(name)
            result = known[1] if known and known[0] == key else _read_or_error(deployment, defaults)
            if not isinstance(result, SettingsError) or not result.files:  # a file may be another, or there, next time
                self._read[name] = (key, result)
            if isinstance(result, SettingsError):
                told.refuse(name, result.problems)
            member = good.get(name) if isinstance(result, SettingsError) else result
            if member is not None:
                members[name] = member
        return members


def _read_or_error(deployment: Mapping[str, Any], defaults: Mapping[str, Any]) -> Member | SettingsError:
    try:
        return read(deployment, defaults)
    except SettingsError as error:
        return error


def _admitted(
    settings: Settings, members: dict[str, Member], good: Mapping[str, Member], told: _Told
) -> tuple[dict[str, Member], list[Service]]:
    """Return who is left, and the services they form, once nobody claims what is another's."""
    while True:
        groups = _groups(members)
        warned: dict[str, list[Problem]] = defaultdict(list)
        services = [_service(group, warned) for group in groups]
        whole = settings.model_copy(update={"services": (*settings.services, *services)})
        blamed = _blamed(whole, groups, check_services(whole))
        for name, problem in blamed.items():
            told.refuse(name, [problem])
            earlier = good.get(name)
            if earlier is None or earlier == members[name]:
                del members[name]
            else:
                members[name] = earlier
        if not blamed:
            for name, problems in warned.items():
                told.problems[name] += problems
            return members, services


def _groups(members: Mapping[str, Member]) -> list[list[Member]]:
    """Return the members of each service, oldest first, the services by their oldest member."""
    groups: dict[str, list[Member]] = {}
    for member in sorted(members.values(), key=lambda each: each.born):
        groups.setdefault(member.service.name, []).append(member)
    return list(groups.values())


def _service(group: Sequence[Member], warned: dict[str, list[Problem]]) -> Service:
    """Return one service of all its Deployments. What is common to them is said by the oldest that says it."""
    update: dict[str, Any] = {}
    for key, name in SHARED.items():
        sayers = [member for member in group if name in member.service.model_fields_set]
        if sayers:
            update[name] = getattr(sayers[0].service, name)
        for other in sayers[1:]:
            if getattr(other.service, name) != update[name]:
                message = f"differs from that of {sayers[0].name}, an older Deployment of this service, which counts"
                warned[other.name].append(Problem("", OWN + key, message))
    _without_lonely_canary(update, group, warned)
    shares = zip(group, _percents(group, warned), strict=True)
    update["revisions"] = tuple(member.service.revisions[0] for member in group)
    update["traffic"] = tuple(
        member.service.traffic[0].model_copy(update={"percent": percent}) for member, percent in shares
    )
    return group[0].service.model_copy(update=update)


def _without_lonely_canary(update: dict[str, Any], group: Sequence[Member], warned: dict[str, list[Problem]]) -> None:
    """Forget the canary of a service while its Deployment, or that of the revision it is compared with, is not there:
    one of the two comes first, and one goes first. What is there serves."""
    canary, here = update.get(CANARY), {member.name for member in group}
    if canary is None or canary.revision is None:
        return
    missing = sorted({canary.revision, canary.stable or canary.revision} - here)
    if missing or len(here) == 1:
        update[CANARY] = Canary()
        sayer = next(member for member in group if CANARY in member.service.model_fields_set)
        told = f"{missing[0]} is no Deployment of this service" if missing else "no other Deployment is beside it"
        near = "".join(get_close_matches(missing[0], here - {sayer.name}, 1)) if missing else ""
        warned[sayer.name].append(Problem("", f"{OWN}{CANARY}-revision", f"has no effect: {told}", suggestion=near))


def _percents(group: Sequence[Member], warned: dict[str, list[Problem]]) -> list[int]:
    """Return who gets which part. The one that does not say gets the rest; the sum is made 100."""
    silent = [member for member in group if member.percent is None]
    written = [member.percent or 0 for member in group]
    if silent:
        written[group.index(silent[0])] = max(0, WHOLE - sum(written))
    for other in silent[1:]:
        message = f"is left out by {silent[0].name}, too, which is older and gets the rest; this one gets nothing"
        warned[other.name].append(Problem("", f"{OWN}percent", message))
    total = sum(written)
    if total == WHOLE:
        return written
    shares = _in_proportion(written) if total else [WHOLE, *(0 for _ in group[1:])]
    for member, share in zip(group, shares, strict=True):
        if member.percent is not None:
            message = f"the percentages of this service sum to {total}, not to 100; this one gets {share}"
            warned[member.name].append(Problem("", f"{OWN}percent", message))
    return shares


def _in_proportion(parts: Sequence[int]) -> list[int]:
    """Return whole percentages in the proportions of `parts` that sum to 100 (largest remainders first)."""
    total = sum(parts)
    shares = [part * WHOLE // total for part in parts]
    by_remainder = sorted(range(len(parts)), key=lambda index: -(parts[index] * WHOLE % total))
    for index in by_remainder[: WHOLE - sum(shares)]:
        shares[index] += 1
    return shares


def _blamed(whole: Settings, groups: Sequence[Sequence[Member]], findings: Iterable[Finding]) -> dict[str, Problem]:
    """Return the Deployments that must give way, one of each service at a time: the youngest that is involved."""
    first = len(whole.services) - len(groups)
    blamed: dict[int, tuple[int, Problem]] = {}
    for finding in findings:
        index = max(int(at[1]) for at in (finding.at, *finding.needs) if len(at) > 1 and at[0] == "services")
        if index >= first:
            place = _youngest(groups[index - first], finding, index)
            if place >= blamed.get(index, (0,))[0]:
                blamed[index] = place, _problem(whole, finding, index)
    return {groups[index - first][place].name: problem for index, (place, problem) in blamed.items()}


def _youngest(group: Sequence[Member], finding: Finding, index: int) -> int:
    """Return the place in its group of the youngest member that a finding is about."""
    part = finding.at[2:4] if finding.at[1] == index else ("hosts",)
    if len(part) > 1 and isinstance(part[1], int) and part[0] in {"revisions", "traffic"}:
        return part[1]
    name = SHARED.get(str(part[0]), "")
    sayers = [place for place, member in enumerate(group) if name in member.service.model_fields_set]
    return sayers[0] if sayers else len(group) - 1


def _problem(whole: Settings, finding: Finding, index: int) -> Problem:
    own = finding.at[1] == index
    message = re.sub(r"services\[(\d+)\](\.revisions\[(\d+)\])?", lambda found: _named(whole, found), finding.message)
    if not own:
        message = f"clashes with service {whole.services[int(finding.at[1])].name}, where {message}"
    return Problem(
        "",
        name_at(finding.at[2:]) if own else f"{OWN}hosts",
        message,
        value=finding.value,
        allowed=finding.allowed,
        suggestion=finding.suggestion,
    )


def _named(whole: Settings, found: re.Match[str]) -> str:
    service = whole.services[int(found[1])]
    return f"service {service.name}" if not found[3] else f"revision {service.revisions[int(found[3])].name}"
