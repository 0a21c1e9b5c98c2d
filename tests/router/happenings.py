"""What happens in a history of admission on every stage: callers leave and are done, replicas come and go."""

from __future__ import annotations

from typing import Any

REPLICAS = 3
Events = list[list[tuple[str, int]]]
"""The turns of a history: events that happen without the loop running between them, each a method and its argument."""


class Happenings:
    """Events of a history that are the same on every `stage`; `count` replicas are there."""

    count: int
    stage: Any

    def leave(self, argument: int) -> None:
        for caller in self.pick(argument, "waiting", "running"):
            caller.leave()

    def finish(self, argument: int) -> None:
        for caller in self.pick(argument, "running"):
            caller.finish()

    def grow(self, _: int) -> None:
        self.resize(min(self.count + 1, REPLICAS))

    def shrink(self, _: int) -> None:
        self.resize(max(self.count - 1, 0))

    def resize(self, count: int) -> None:
        self.count = count
        self.stage.grow(count)

    def pick(self, argument: int, *states: str) -> list[Any]:
        """Return one of those in `states`, if there is one."""
        found = [caller for caller in self.stage.present if caller.state in states]
        return [found[argument % len(found)]] if found else []
