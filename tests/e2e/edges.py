"""What the tests see of an edge, whether it is a pod or a process, and the configuration that all of them have: short
times, so that a model is at zero some seconds after its last use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from tests.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

AUTOSCALING = {
    "tick": "1s",
    "stable-window": "6s",
    "scale-to-zero-grace-period": "50ms",
    "max-scale-down-rate": 10,
    "initial-scale": 0,
}
SECRET = "what only these edges know"


class Edge(Protocol):
    """One edge. `listen` and `admin` are HOST:PORT."""

    name: str
    listen: str
    admin: str

    async def kill(self) -> None:
        """End it without a word."""

    async def restart(self) -> None:
        """End it without a word and have another one in its place, whose name and addresses may be others."""


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


def peers(count: int, home: Path) -> list[dict[str, Any]]:
    """Return the `peers` settings of so many edges on this machine, which find each other by a list of addresses."""
    secret = home / "secret"
    secret.write_text(SECRET)
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    return [{"listen": address, "addresses": addresses, "secret-file": str(secret)} for address in addresses]
