"""A free TCP port for a replica."""

from __future__ import annotations

import random
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container

PORTS = range(20000, 32000)  # below the kernel's ephemeral ports (32768), which any connection may take at any time


def free_port(host: str, taken: Container[int], ports: range = PORTS) -> int:
    """Return a port of `ports`, not in `taken`, that can be bound on `host`. OSError when there is none.

    The search starts at a random port, so that two edges on a machine rarely meet, and a port is not reused
    at once.
    """
    start = random.randrange(len(ports))
    for offset in range(len(ports)):
        port = ports[(start + offset) % len(ports)]
        if port not in taken and _can_bind(host, port):
            return port
    raise OSError(f"no free port on {host} from {ports.start} to {ports.stop - 1}")


def _can_bind(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        try:
            trial.bind((host, port))
        except OSError:
            return False
    return True
