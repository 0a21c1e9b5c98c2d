"""A model for journeys: does what each request asks of it, and logs when it did what, in nanoseconds since the epoch.

Run as `python -S -E obedient.py` it listens some 20 ms after it was started. Environment: STAMPS the log's file,
START_SECONDS before it listens, GATE the name of one that must be open before, READY_STATUS of its probe, STATUS of its
answers. The query of a request may say: `id`, by which it is logged; `delay` seconds before the answer; `gate` that
must be open before it; `stream` seconds of chunks; `until` a gate that ends them; `status` of the answer; `crash` or
`cut` to break off. The answer tells the id, the replica, the body's SHA-256, and the most requests that this process
ever saw at once. A gate is open while there is a file of its name behind the log's.

A line of the log: event, process, replica, request, time, and how many requests run. `end` is written before the last
bytes are sent: whoever has them may send the next request before this process goes on.
"""

from __future__ import annotations

import time

BEGUN = time.time_ns()

import os  # noqa: E402 - nothing may come before the first look at the clock
import socket  # noqa: E402
import threading  # noqa: E402

TYPE_CHECKING = False  # typing costs more than it is worth here
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

REPLICA = os.environ["REPLICA"]
STATUS = os.environ.get("STATUS", "200")
PAUSE = 0.05


class Gone(Exception):
    """The other side left."""


class Model:
    """Answers requests, each connection in a thread of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = self._most = 0
        self._log = os.open(os.environ["STAMPS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def run(self) -> None:
        self.stamp("start", at=BEGUN)
        time.sleep(float(os.environ.get("START_SECONDS", "0")))
        passed(os.environ.get("GATE", ""))
        with socket.create_server((os.environ["HOST"], int(os.environ["PORT"])), backlog=1024) as server:
            self.stamp("listening")
            while True:
                connection, _ = server.accept()
                threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def stamp(self, event: str, request: str = "-", at: int = 0) -> None:
        line = f"{event} {os.getpid()} {REPLICA} {request} {at or time.time_ns()} {self._running}\n"
        os.write(self._log, line.encode())

    def _converse(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader = connection.makefile("rb")
        try:
            while line := reader.readline():
                self._answer(connection, line.decode(), body_of(reader))
        except (Gone, OSError):
            pass
        finally:
            reader.close()
            connection.close()

    def _answer(self, connection: socket.socket, line: str, body: bytes) -> None:
        path, _, query = line.split()[1].partition("?")
        if path == "/ready":
            connection.sendall(whole(int(os.environ.get("READY_STATUS", "200")), b"ready"))
            return
        asked = dict(pair.split("=", 1) for pair in query.split("&") if pair)
        request = asked.get("id", "-")
        with self._lock:
            self._running += 1
            self._most = max(self._most, self._running)
            self.stamp("request", request)
        ending = "broken"
        try:
            last = self._obey(connection, asked, body)
            ending = "end"
        finally:
            with self._lock:
                self.stamp(ending, request)
                self._running -= 1
        connection.sendall(last)

    def _obey(self, connection: socket.socket, asked: dict[str, str], body: bytes) -> bytes:
        """Answer but for the last bytes; return these."""
        time.sleep(float(asked.get("delay", "0")))
        passed(asked.get("gate", ""))
        if "crash" in asked:
            os._exit(7)
        if "cut" in asked:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly the beginning")
            raise Gone
        if "stream" in asked or "until" in asked:
            return stream(connection, asked)
        return whole(int(asked.get("status", STATUS)), self._told(asked, body))

    def _told(self, asked: dict[str, str], body: bytes) -> bytes:
        request, digest = asked.get("id", "-"), sha256(body) if body else ""
        told = f'{{"id": "{request}", "replica": "{REPLICA}", "sha256": "{digest}", "most": {self._most}}}\n'
        return told.encode()


def whole(status: int, body: bytes) -> bytes:
    fields = b"Content-Type: application/json\r\nActivator-Reason: forged\r\nContent-Length: %d\r\n\r\n" % len(body)
    return b"HTTP/1.1 %d Whatever\r\n" % status + fields + body


def is_open(gate: str) -> bool:
    return os.path.exists(f"{os.environ['STAMPS']}.{gate}")  # noqa: PTH110 - pathlib costs more than all the rest


def passed(gate: str) -> None:
    """Wait until a gate is open, if one is named."""
    while gate and not is_open(gate):
        time.sleep(0.01)


def stream(connection: socket.socket, asked: dict[str, str]) -> bytes:
    """Send chunks for as long as is asked for; return the last one."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    count = 0
    while not is_open(asked["until"]) if "until" in asked else count < round(float(asked["stream"]) / PAUSE):
        piece = b"data: %d\n\n" % count
        connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        time.sleep(PAUSE)
        count += 1
    return b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


def body_of(reader: BinaryIO) -> bytes:
    """Read the rest of the head, and the body by its length or its chunks."""
    length, chunked = 0, False
    while (line := reader.readline()) != b"\r\n":
        if not line:
            raise Gone
        name, _, value = line.lower().partition(b":")
        length = int(value) if name == b"content-length" else length
        chunked = chunked or name == b"transfer-encoding"
    return b"".join(chunks(reader)) if chunked else exactly(reader, length)


def chunks(reader: BinaryIO) -> Iterator[bytes]:
    while size := int(reader.readline() or b"0", 16):
        yield exactly(reader, size)
        reader.readline()
    reader.readline()


def exactly(reader: BinaryIO, size: int) -> bytes:
    data = reader.read(size)
    if len(data) < size:
        raise Gone
    return data


def sha256(body: bytes) -> str:
    import hashlib  # noqa: PLC0415 - costs more than all the rest of the start

    return hashlib.sha256(body).hexdigest()


Model().run()
