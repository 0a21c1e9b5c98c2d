"""The pods of one Deployment as members of a revision: found by its selector, asked whether they are ready, lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from activator.kube.errors import ApiError, UnreachableError
from activator.kube.resources import labels_of, name_of, uid_of
from activator.scalers.base import Phase
from activator.scalers.kubernetes.labels import selects
from activator.scalers.kubernetes.member import Ask, Member, follow
from activator.scalers.kubernetes.pods import Wish, read
from activator.scalers.kubernetes.starts import Starts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from activator.kube.resources import Object
    from activator.scalers.base import ReplicaSpec
    from activator.scalers.kubernetes.api import Api
    from activator.scalers.kubernetes.pods import Pod
    from router.tasks import Tasks


class Help(NamedTuple):
    """What a crew needs of others: `hurried` tells whether requests wait, `changed` hears of what was found out."""

    api: Api
    tasks: Tasks
    clock: Callable[[], float]
    ask: Ask
    hurried: Callable[[], bool]
    changed: Callable[[], None]


class Crew:
    """The members of one revision, the oldest first."""

    def __init__(self, spec: ReplicaSpec, help_: Help) -> None:
        self.starts = Starts()
        self._members: dict[str, Member] = {}
        self._selector: Object = {}
        self._spec = spec
        self._help = help_

    def all(self) -> list[Member]:
        """Return all members, the oldest first."""
        return sorted(self._members.values(), key=lambda member: (member.pod.created, member.pod.name))

    def declare(self, spec: ReplicaSpec) -> None:
        """Reach and probe pods by `spec` from now on."""
        self._spec = spec
        for member in self._members.values():
            self._stop_probing(member)
            self._take(member, member.item)

    def select(self, selector: Object, pods: Iterable[Object]) -> None:
        """Have those of `pods` for members that `selector` selects."""
        if selector == self._selector:
            return
        self._selector = selector
        for name in list(self._members):
            self._lose(name)
        for pod in pods:
            self.saw(None, pod)

    def saw(self, old: Object | None, new: Object | None) -> bool:
        """Take a pod as it was and is; tell whether it is one of ours."""
        if old is not None and name_of(old) in self._members and (new is None or not self._is_ours(new)):
            self._lose(name_of(old))
            return True
        if new is None or not self._is_ours(new):
            return False
        member = self._members.get(name_of(new))
        if member is not None and member.pod.uid == uid_of(new):
            self._take(member, new)
        else:
            self._meet(new)
        return True

    def refresh(self, now: float) -> float | None:
        """Note the phases that members are in at `now`; return when to do it again even if nothing happens."""
        again = []
        for member in self._members.values():
            before = member.phase
            member.enter(now)
            if member.phase is Phase.READY and before is not Phase.READY:
                self.starts.ready()
            again.append(self.starts.look(member, now))
        return min((at for at in again if at is not None), default=None)

    def close(self) -> None:
        """Let go of all."""
        for name in list(self._members):
            self._lose(name)

    def _is_ours(self, pod: Object) -> bool:
        return selects(self._selector, labels_of(pod))

    def _meet(self, item: Object) -> None:
        now = self._help.clock()
        pod = read(item, self._wish())
        member = Member(pod, item, Phase.STARTING, now, attempt=self.starts.history.streak)
        self._members[pod.name] = member
        member.enter(now)
        self._observe(member, None)

    def _take(self, member: Member, item: Object) -> None:
        before = member.pod
        member.pod, member.item = read(item, self._wish()), item
        self._observe(member, before)

    def _observe(self, member: Member, before: Pod | None) -> None:
        pod = member.pod
        died = self.starts.observe(member, before, self._help.clock())
        if died and pod.death is not None and not pod.death.told:
            self._help.tasks.spawn(self._learn_words(member), f"last words of {pod.name}")
        if before is not None and (before.ip, before.probe, before.stuck) != (pod.ip, pod.probe, pod.stuck):
            self._stop_probing(member)
            member.answers, member.complaint = False, ""
        askable = pod.probe is not None and pod.ip and not member.out and not pod.ending
        if askable and member.probing is None:
            probing = follow(member, self._spec, self._help.hurried, self._help.changed, self._help.ask)
            member.probing = self._help.tasks.spawn(probing, f"probe of {pod.name}")
        elif not askable:
            self._stop_probing(member)

    async def _learn_words(self, member: Member) -> None:
        death = member.pod.death
        if death is None:
            return
        before = self.starts.sentence(member)
        try:
            member.words = await self._help.api.last_output(member.pod.name, death.container)
        except (ApiError, UnreachableError):
            return
        self.starts.reword(before, self.starts.sentence(member))
        self._help.changed()

    def _stop_probing(self, member: Member) -> None:
        if member.probing is not None:
            member.probing.cancel()
            member.probing = None

    def _lose(self, name: str) -> None:
        member = self._members.pop(name)
        member.close()
        self.starts.lost(member)

    def _wish(self) -> Wish:
        return Wish(self._spec.port, self._spec.readiness_path)
