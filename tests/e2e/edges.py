"""What the tests see of an edge, whether it is a pod or a process, and the configuration that all of them have: short
times, so that a model is at zero some seconds after its last use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

AUTOSCALING = {
    "tick": "1s",
    "stable-window": "6s",
    "scale-to-zero-grace-period": "50ms",
    "max-scale-down-rate": 10,
    "initial-scale": 0,
}


class Edge(Protocol):
    """One edge. `listen` and `admin` are HOST:PORT."""

    name: str
    listen: str
    admin: str

    async def kill(self) -> None:
        """End it without a word."""


class Fleet(Protocol):
    """Starts edges of one configuration."""

    async def start(self, count: int, changes: Mapping[str, Any]) -> Sequence[Edge]:
        """Start so many; return once they serve."""

    async def stop(self) -> None:
        """End all, which must end well."""


def configuration(listen: str, admin: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration file's data; `changes` have underscores for hyphens."""
    return {
        "listen": listen,
        "admin": admin,
        "scaler": "kubernetes",
        "drain-timeout": "10s",
        "autoscaling": AUTOSCALING,
        "services": [],
        **{key.replace("_", "-"): value for key, value in changes.items()},
    }
