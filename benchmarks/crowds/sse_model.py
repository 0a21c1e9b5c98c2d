"""A model that streams tokens: so many streams at a steady rate, their phases spread evenly over the time between two
tokens. Each event carries when it was sent, on the clock that all processes of a machine share.

Arguments: port, streams, events per second and stream, seconds. When so many streams are asked for it serves them all
to their end, then waits for the next so many.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import time

HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nX-Accel-Buffering: no\r\n"
    b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
)
EVENT = b'data: {"sent": %019d, "choices": [{"index": 0, "delta": {"content": " token"}}]}\n\n'
CHUNK = b"%x\r\n%s\r\n"
ASK_SECONDS = 2.0
BEFORE_SECONDS = 0.5


def main() -> None:
    port, streams, rate, seconds = map(int, sys.argv[1:])
    with socket.create_server(("127.0.0.1", port), backlog=4096) as server:
        while True:
            clients = [_asked(server) for _ in range(streams)]
            time.sleep(BEFORE_SECONDS)
            _stream(clients, rate, seconds)
            for client in clients:
                with contextlib.suppress(OSError):
                    client.send(b"0\r\n\r\n")
                client.close()


def _asked(server: socket.socket) -> socket.socket:
    """Return the next connection on which a stream is asked for, once its head is sent."""
    while True:
        client, _ = server.accept()
        client.settimeout(ASK_SECONDS)
        with contextlib.suppress(OSError):
            if b"\r\n\r\n" in client.recv(65536):
                client.sendall(HEAD)
                client.setblocking(False)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return client
        client.close()


def _stream(clients: list[socket.socket], rate: int, seconds: int) -> None:
    begun = time.monotonic()
    step = 1 / (rate * len(clients))
    for number in range(rate * seconds * len(clients)):
        wait = begun + number * step - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        event = EVENT % time.monotonic_ns()
        with contextlib.suppress(OSError):  # what cannot be sent is missed by the reader
            clients[number % len(clients)].send(CHUNK % (len(event), event))


if __name__ == "__main__":
    main()
