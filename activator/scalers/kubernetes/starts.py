"""Which starts of a revision failed, and why: deaths of containers, images that cannot be pulled, evictions.

The kubelet restarts containers itself, and waits ever longer between attempts; here it is only counted and told, so
that those who wait learn it after a few attempts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from activator.scalers.backoff import Crash, History
from activator.scalers.kubernetes.pods import CRASH_LOOP, IN_VAIN, STUCK

if TYPE_CHECKING:
    from activator.scalers.kubernetes.member import Member
    from activator.scalers.kubernetes.pods import Pod

AGAIN = 10.0
"""Seconds after which a pod that is stuck counts as another attempt: the kubelet tries about as often, and says so only
when the reason changes."""


class Starts:
    """The history of a revision's starts. `edition` counts how often what is run has changed."""

    def __init__(self) -> None:
        self.history = History()
        self.edition = 0
        self._counted_at: dict[str, float] = {}

    def forget(self) -> None:
        """Begin anew: what is run has changed."""
        self.history = History()
        self.edition += 1

    def ready(self) -> None:
        """Note that a replica has become ready."""
        self.history = self.history.ready()

    def observe(self, member: Member, before: Pod | None, now: float) -> bool:
        """Compare a member's pod with what it was; note what failed. Tell whether a container died."""
        pod = member.pod
        died = pod.deaths - (before.deaths if before is not None else 0)
        if not member.going:
            for _ in range(max(0, died)):
                self._failed(member, self.sentence(member), now)
            if before is not None and before.active and not pod.active and died <= 0:
                self._failed(member, f"{pod.name}: {pod.message}", now)
            self.look(member, now)
        if died > 0:
            if member.going and member.ready_at is not None:
                self.history = self.history.steady()
            member.ready_at, member.answers, member.attempt = None, False, self.history.streak
        return died > 0

    def look(self, member: Member, now: float) -> float | None:
        """Count a stuck pod as a failed start, again and again; return when to look next, None when it is not stuck."""
        name, reason = member.pod.name, member.pod.stuck
        if reason not in STUCK or member.going:
            self._counted_at.pop(name, None)
            return None
        due = self._counted_at[name] + AGAIN if name in self._counted_at else now
        if now < due:
            return due
        self._counted_at[name] = now
        self._failed(member, f"{name}: {member.pod.message}", now, doomed=reason in IN_VAIN)
        return now + AGAIN

    def lost(self, member: Member) -> None:
        """Forget a pod that is gone."""
        self._counted_at.pop(member.pod.name, None)

    def sentence(self, member: Member) -> str:
        """Tell how a member's container ended."""
        death = member.pod.death
        return f"{member.pod.name} has ended" if death is None else death.sentence(member.pod.name, member.words)

    def reword(self, old: str, new: str) -> None:
        """Tell the last failure in better words."""
        if self.history.last == old:
            self.history = replace(self.history, last=new)

    def _failed(self, member: Member, sentence: str, now: float, *, doomed: bool = False) -> None:
        ready_for = None if member.ready_at is None else now - member.ready_at
        history = self.history.crashed(Crash(sentence, member.attempt, ready_for, doomed), now)
        waits = member.pod.back_off if member.pod.stuck == CRASH_LOOP else 0.0
        self.history = replace(history, not_before=max(history.not_before, now + waits))
        member.ready_at = None
