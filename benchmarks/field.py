"""The field: all peers in front of one model, each on the first core, and what is absent with the way to get it."""

from __future__ import annotations

import resource
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.peers import PEERS, Absent, Place
from benchmarks.processes import cores, new_port, pinned, running

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import ExitStack

DESCRIPTORS = 20_000


@dataclass(frozen=True)
class Started:
    """A process that listens."""

    pid: int
    port: int


def start_peers(
    upstream: int, directory: Path, skipped: dict[str, str], stack: ExitStack, names: Iterable[str] = tuple(PEERS)
) -> dict[str, Started]:
    """Start every named peer that is here, in front of the model at port `upstream`, until `stack` is closed."""
    started = {}
    for name in names:
        place = Place(directory, new_port(), upstream)
        try:
            command = PEERS[name](place)
        except Absent as absent:
            skipped[name] = str(absent)
            continue
        log = directory / f"{name}.log"
        pid = stack.enter_context(running(pinned(cores()[0], command), place.port, log))
        started[name] = Started(pid, place.port)
    return started


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a directory for the files of one part."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as directory:
        Path(directory).chmod(0o755)  # nginx, started by root, serves as another user
        yield Path(directory)


def allow_descriptors() -> None:
    """Let this process and those that it starts have as many descriptors as the crowds need, or as many as may be."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(DESCRIPTORS, hard), hard))
