"""`activator` with few ports for its replicas, which are used again at once: first port, how many, then as usual.

The process scaler avoids both, so that addresses hardly ever pass from one replica to another. Elsewhere they do.
"""

from __future__ import annotations

import socket
import sys

from activator.cli import main
from activator.scalers import ports


def can_bind(host: str, port: int) -> bool:
    """Tell whether nobody listens, whatever the port's earlier connections are doing."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError:
            return False
    return True


first, count = int(sys.argv[1]), int(sys.argv[2])
del sys.argv[1:3]
ports.free_port.__defaults__ = (range(first, first + count),)
ports._can_bind = can_bind
main()
