"""The keys about a canary: how a revision comes to its share of the traffic, and what takes it back."""

from __future__ import annotations

from typing import Annotated

from activator.settings.group import Group
from activator.settings.numbers import Duration, Number, Whole
from activator.settings.rules import Choice, Flag
from activator.settings.texts import Label


class Canary(Group):
    """A revision that is tried beside another one. Its percentage in `traffic` is what it shall end with."""

    revision: Annotated[str | None, Label()] = None
    """Name of the revision that is tried; it must be in `traffic`. Not set = there is none."""
    stable: Annotated[str | None, Label()] = None
    """Name of the revision that it is compared with; not set = the only other one in `traffic`."""
    warm_first: Annotated[bool, Flag()] = True
    """Whether its share goes to the stable revision until it has its first replica, which is started at once."""
    when_cold: Annotated[str, Choice(("stable", "hold"))] = "stable"
    """Who serves its requests while it sleeps later: the stable revision, or nobody until it has been woken."""
    steps: tuple[Annotated[int, Whole(1, 100)], ...] = ()
    """Percentages on the way to its share, rising; none = it gets its share at once."""
    step_min_time: Annotated[float, Duration()] = 300.0
    """Time that a step lasts at least, while the canary has a ready replica."""
    step_min_requests: Annotated[int, Whole(0)] = 100
    """Requests that the canary has answered at least in a step."""
    guard: Annotated[bool, Flag()] = True
    """Whether it is rolled back to 0 % when it is worse than the stable revision."""
    guard_false_alarm_percentage: Annotated[float, Number(0, 50, above=True)] = 1.0
    """Probability that a canary that is no worse is ever rolled back."""
    guard_window: Annotated[float, Duration(1)] = 300.0
    """Time that the guard remembers, once to twice."""
    guard_min_requests: Annotated[int, Whole(1)] = 20
    """Requests of the canary without which there is no verdict."""
    tolerated_error_percentage: Annotated[float, Number(0, 100)] = 1.0
    """Part of its requests that may fail in any case."""
    max_slowdown: Annotated[float, Number(1, other=0.0)] = 1.5
    """Factor on the stable revision's 95th percentile of durations that it must not exceed; 0 = not judged."""
    swap: Annotated[bool, Flag()] = False
    """Whether both revisions together have at most one replica more than the stable one had."""
