"""The model that runs in the suite's pods. It is passed to the image's Python as a program text (`python3 -S -E -c`),
so that any image with a Python will do and no volume is needed.

Environment: PORT to listen on; START_SECONDS before it listens; LOAD_SECONDS after that until `/ready` answers 200.
The query of a request may say: `seconds` of work before the answer; `stream` seconds of events, ten a second. Each
answer is JSON, or ends with an event of JSON: the pod's name, how many requests it ever had at once, when it began to
listen, to be ready, and to have this request, and what time it is (seconds since the epoch, by the pod's clock).
SIGTERM: for half a second, which a preStop hook would give others to hear of it, it goes on; then it listens no more,
ends what it runs, and leaves.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time

TYPE_CHECKING = False  # typing costs more than it is worth here
if TYPE_CHECKING:
    from typing import BinaryIO

POD = socket.gethostname()
EVENTS_A_SECOND = 10
LINGERS = 0.5  # seconds
LOOK = 0.1


class Model:
    """Answers requests, each connection in a thread of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = self._running = self._most = 0
        self._listening = self._ready = self._leaves_at = 0.0

    def run(self) -> None:
        signal.signal(signal.SIGTERM, self._leave)
        self._pause(float(os.environ.get("START_SECONDS", "0")))
        if self._leaves_at:
            return
        with socket.create_server(("", int(os.environ["PORT"])), backlog=1024) as server:
            self._listening = time.time()
            self._ready = self._listening + float(os.environ.get("LOAD_SECONDS", "0"))
            server.settimeout(LOOK)
            while not self._leaves_at or time.time() < self._leaves_at:
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                connection.settimeout(None)
                threading.Thread(target=self._converse, args=(connection,), daemon=True).start()
        while self._open:
            time.sleep(0.02)
        time.sleep(0.2)  # the network may go with the last process: what was sent shall be out

    def _leave(self, *_: object) -> None:
        self._leaves_at = self._leaves_at or time.time() + LINGERS

    def _pause(self, seconds: float) -> None:
        until = time.time() + seconds
        while not self._leaves_at and (left := until - time.time()) > 0:
            time.sleep(min(left, LOOK))

    def _converse(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection, connection.makefile("rb") as reader:
            try:
                while line := reader.readline():
                    reader.read(length_of_body(reader))
                    self._answer(connection, line.decode())
            except OSError:
                pass

    def _answer(self, connection: socket.socket, line: str) -> None:
        path, _, query = line.split()[1].partition("?")
        if path == "/ready":
            connection.sendall(whole(200 if time.time() >= self._ready else 503, b"{}"))
            return
        begun = time.time()
        asked = dict(pair.split("=", 1) for pair in query.split("&") if pair)
        with self._lock:
            self._open += 1
            self._running += 1
            self._most = max(self._most, self._running)
        try:
            connection.sendall(self._work(connection, asked, begun))
        finally:
            with self._lock:
                self._open -= 1

    def _work(self, connection: socket.socket, asked: dict[str, str], begun: float) -> bytes:
        """Return the last bytes of the answer. Whoever has them may send the next request before we run on, so it is
        one request less already."""
        try:
            if "stream" in asked:
                self._stream(connection, float(asked["stream"]))
                return chunk(b"data: " + self._about(begun) + b"\n\n") + b"0\r\n\r\n"
            time.sleep(float(asked.get("seconds", "0")))
            return whole(200, self._about(begun))
        finally:
            with self._lock:
                self._running -= 1

    def _stream(self, connection: socket.socket, seconds: float) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for count in range(round(seconds * EVENTS_A_SECOND)):
            connection.sendall(chunk(b"data: %d\n\n" % count))
            time.sleep(1 / EVENTS_A_SECOND)

    def _about(self, begun: float) -> bytes:
        facts = {"pod": POD, "most": self._most, "listening": self._listening, "ready": self._ready}
        return json.dumps({**facts, "begun": begun, "now": time.time()}).encode()


def whole(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def length_of_body(reader: BinaryIO) -> int:
    """Read the rest of the head."""
    length = 0
    while (line := reader.readline().lower()).strip():
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    return length


if __name__ == "__main__":
    Model().run()
