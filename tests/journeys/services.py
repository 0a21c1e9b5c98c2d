"""Configurations for journeys, as a user would write them; the times in them are short."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

MODELS = Path(__file__).parents[1] / "models"
OBEDIENT = [sys.executable, "-S", "-E", str(MODELS / "obedient.py")]

Keys = dict[str, Any]


def configuration(*services: Keys, **changes: Any) -> Keys:
    """Return a configuration file's data. Ports are free ones; a revision without a share is at zero at once."""
    return {
        "listen": "127.0.0.1:0",
        "admin": "127.0.0.1:0",
        "state-dir": "state",
        "drain-timeout": "5s",
        "autoscaling": {"tick": "100ms", "stable-window": "6s", "scale-to-zero-grace-period": "50ms"},
        "requests": {"hold-timeout": "20s"},
        "process": {"readiness-path": "/ready", "termination-grace-period": "1s"},
        "services": list(services),
        **changes,
    }


def service(name: str, *revisions: Keys, **changes: Any) -> Keys:
    """Return a service at NAME.localhost; without `revisions` it has one, NAME-1, of the obedient model."""
    described = {"name": name, "hosts": [f"{name}.localhost"], "revisions": list(revisions) or [revision(f"{name}-1")]}
    return {**described, **changes}


def revision(name: str, command: list[str] | None = None, **changes: Any) -> Keys:
    """Return a revision; without `command` it runs the obedient model."""
    return {"name": name, "command": command or OBEDIENT, **changes}


def slow(name: str, seconds: float) -> Keys:
    """Return a revision whose replicas take `seconds` to start."""
    return revision(name, env={"START_SECONDS": str(seconds)})


def gated(name: str) -> Keys:
    """Return a revision whose replicas start until the gate of its name is open."""
    return revision(name, env={"GATE": name})


def by_tag_only(name: str, *, first: Keys, second: Keys) -> Keys:
    """Return a service whose second revision has no share of the traffic and is reached by the tag `next`."""
    traffic = [{"revision": first["name"], "percent": 100}, {"revision": second["name"], "percent": 0, "tag": "next"}]
    return service(name, first, second, traffic=traffic)
