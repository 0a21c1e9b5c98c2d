"""The model behind the proxies: an nginx, or a small Python server where there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.peers import Absent, Place, nginx_model, python_model
from benchmarks.processes import cores, new_port, pinned, running

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path


def small_model(directory: Path, stack: ExitStack) -> int:
    """Start what answers at once, by a small JSON or the large file; return its port."""
    place = Place(directory, new_port(), 0)
    try:
        command = nginx_model(place)
    except Absent:
        command = python_model(place)
    return _start(place, command, stack)


def reading_model(directory: Path, stack: ExitStack) -> int:
    """Start what reads an upload to its end before it answers; return its port."""
    place = Place(directory, new_port(), 0)
    return _start(place, python_model(place), stack)


def _start(place: Place, command: list[str], stack: ExitStack) -> int:
    stack.enter_context(running(pinned(cores()[1], command), place.port, place.directory / "model.log"))
    return place.port
