"""Published sets of autoscaling keys, chosen by name: files, so that anyone can read where the numbers come from."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from activator.settings.source import read

DIRECTORY = Path(__file__).parent / "presets"


@cache
def names() -> tuple[str, ...]:
    """Return the presets there are."""
    return tuple(sorted(path.stem for path in DIRECTORY.glob("*.yaml")))


def keys(name: str) -> dict[str, Any]:
    """Return the autoscaling keys of a preset as written. KeyError for an unknown name."""
    if name not in names():
        raise KeyError(name)
    return dict(_read(name))


@cache
def _read(name: str) -> dict[str, Any]:
    return dict(read(DIRECTORY / f"{name}.yaml").data["autoscaling"])
