"""The configuration of the suite's edges: short times, so that a model is at zero some seconds after its last use."""

from __future__ import annotations

from typing import Any


def settings(**changes: Any) -> dict[str, Any]:
    """Return a configuration file's data; `changes` with underscores for hyphens."""
    return {
        "listen": "127.0.0.1:0",
        "admin": "127.0.0.1:0",
        "scaler": "kubernetes",
        "state-dir": "state",
        "drain-timeout": "10s",
        "autoscaling": {
            "tick": "1s",
            "stable-window": "6s",
            "scale-to-zero-grace-period": "50ms",
            "max-scale-down-rate": 10,
            "initial-scale": 0,
        },
        **{key.replace("_", "-"): value for key, value in changes.items()},
    }
