"""A model that keeps a ledger: what it was sent and what it answered, one appended line an event, so that a kill loses
nothing. It misbehaves as each request, or its start, tells it to.

Run as `python -S -E witness.py`. Environment: LEDGER its file; TURNS how its starts behave, in order, the last one for
all that follow (good, crash, unready, late = ready before it listens, deaf = ready but never accepts); START_SECONDS
before it listens; GATE a file that must be there before; LAG seconds after SIGTERM and TERM what it does then: `drain`
= its probe fails and it goes on, `close` = it takes no new connection (not set = SIGTERM kills it); IDLE seconds until
it closes an idle connection.

The query of a request may say: `delay` seconds before the answer; `size` of the answer; `stream` seconds of events,
one each `every`; `cut` (fin or rst) to break off halfway; `early` a status to answer before the body was read; `hang`
seconds of silence; `fuzz` the number of an answer in ANSWERS. A line of the ledger: event, process, replica, id, time
(monotonic, ns), value. `end` is written before the last byte is sent. A WebSocket gets back all that it sends.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
import time

TYPE_CHECKING = False  # typing costs more than it is worth here
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO, NoReturn

    from tests.models.answers import ANSWERS, OK, PROPER
else:
    from answers import ANSWERS, OK, PROPER  # it runs as a script

REPLICA = os.environ["REPLICA"]
PIECE = 64 << 10
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"


class Gone(Exception):
    """The other side left."""


class Terminated(Exception):
    """SIGTERM came."""


class Witness:
    """Answers requests, each connection in a thread of its own."""

    def __init__(self) -> None:
        self._running = 0
        self._leaving = False
        self._lock = threading.Lock()
        self._idle = float(os.environ.get("IDLE", "0")) or None
        self._ledger = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def record(self, event: str, request: str = "-", value: str = "-") -> None:
        os.write(self._ledger, f"{event} {os.getpid()} {REPLICA} {request} {time.monotonic_ns()} {value}\n".encode())

    def run(self, turn: str) -> None:
        self.record("start", value=os.environ["PORT"])
        if turn == "crash":
            os._exit(1)
        self._ready = b"503 Busy" if turn == "unready" else b"200 OK"
        if "TERM" in os.environ:
            import signal  # noqa: PLC0415 - costs a start more than the rest of it

            signal.signal(signal.SIGTERM, terminated)
        time.sleep(float(os.environ.get("START_SECONDS", "0")))
        while "GATE" in os.environ and not os.path.exists(os.environ["GATE"]):  # noqa: PTH110
            time.sleep(0.01)
        server = listening()
        try:
            if turn in {"late", "deaf"}:
                server = self._lie(server, turn)
            self._accept(server)
        except Terminated:
            self._leave(server)

    def _lie(self, server: socket.socket, turn: str) -> socket.socket:
        """Answer one probe, and be no longer there when it is believed."""
        connection, _ = server.accept()
        server.close()
        if turn == "deaf":
            server = listening(backlog=0)
        connection.recv(PIECE)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        connection.close()
        if turn == "deaf":
            time.sleep(3600)
        time.sleep(1)
        return listening()

    def _accept(self, server: socket.socket) -> None:
        while True:
            connection, _ = server.accept()
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _leave(self, server: socket.socket) -> None:
        """Go as TERM says, once LAG is over and nothing runs."""
        self._leaving = True
        until = time.monotonic() + float(os.environ.get("LAG", "1"))
        if os.environ["TERM"] == "close":
            server.close()
            time.sleep(until - time.monotonic())
        else:
            self._ready = b"503 Leaving"
            self._accept_until(server, until)
        while self._running:
            time.sleep(0.01)

    def _accept_until(self, server: socket.socket, until: float) -> None:
        while (left := until - time.monotonic()) > 0:
            server.settimeout(left)
            try:
                connection, _ = server.accept()
            except TimeoutError:
                return
            connection.settimeout(None)
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(self._idle)
        reader = connection.makefile("rb")
        try:
            while (line := reader.readline()) and self._answer(connection, reader, line):
                pass
        except (Gone, OSError, ValueError):
            pass
        finally:
            reader.close()
            connection.close()

    def _answer(self, connection: socket.socket, reader: BinaryIO, line: bytes) -> bool:
        """Answer one request; return whether another may come."""
        head = head_of(reader)
        path, _, query = line.split()[1].decode().partition("?")
        if path == "/ready":
            connection.sendall(b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n" % self._ready)
            return True
        asked = dict(pair.split("=", 1) for pair in query.split("&") if "=" in pair)
        request = head.get("x-req-id", "-")
        with self._lock:
            self._running += 1
        self.record("head", request)
        try:
            if head.get("upgrade") == "websocket":
                return self._echo(connection, request, head["sec-websocket-key"])
            if "early" in asked:
                return self._answer_early(connection, reader, request, asked["early"])
            digest = sha256(body_of(reader, head))
            self.record("body", request, digest)
            return self._obey(connection, asked, request, digest)
        except (Gone, OSError):
            self.record("broken", request)
            raise
        finally:
            with self._lock:
                self._running -= 1

    def _echo(self, connection: socket.socket, request: str, key: str) -> bool:
        """Accept a WebSocket, and send all back that comes, until the other side ends."""
        import hashlib  # noqa: PLC0415 - costs more than all the rest of the start
        from base64 import b64encode  # noqa: PLC0415

        accept = b64encode(hashlib.sha1(key.encode() + GUID).digest())
        connection.sendall(SWITCH + b"Sec-WebSocket-Accept: %s\r\n\r\n" % accept)
        digest = hashlib.sha256()
        while data := connection.recv(PIECE):
            digest.update(data)
            connection.sendall(data)
        self.record("body", request, digest.hexdigest())
        self.record("end", request, digest.hexdigest())
        return False

    def _answer_early(self, connection: socket.socket, reader: BinaryIO, request: str, status: str) -> bool:
        """Answer without having read the body, and close so that the answer is not lost."""
        self.record("end", request, sha256(b"no"))
        connection.sendall(b"HTTP/1.1 %s Early\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno" % status.encode())
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(2)
        while reader.read1(PIECE):  # type: ignore[attr-defined]
            pass
        return False

    def _obey(self, connection: socket.socket, asked: dict[str, str], request: str, digest: str) -> bool:
        time.sleep(float(asked.get("delay", "0")))
        if "hang" in asked:
            time.sleep(float(asked["hang"]))
        if "fuzz" in asked:
            return self._send_fuzz(connection, request, int(asked["fuzz"]) % len(ANSWERS))
        told = f'{{"id": "{request}", "replica": "{REPLICA}", "sha256": "{digest}"}}\n'.encode()
        if "stream" in asked:
            self._stream(connection, request, asked)
            return True
        body = told + b"x" * int(asked.get("size", "0"))
        head = OK + b"Content-Length: %d\r\n%s\r\n" % (len(body), b"Connection: close\r\n" if self._leaving else b"")
        if "cut" in asked:
            self.record("cut", request)
            connection.sendall(head + body[: len(body) // 2])
            if asked["cut"] == "rst":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        self.record("end", request, sha256(body))
        connection.sendall(head + body)
        return not self._leaving

    def _send_fuzz(self, connection: socket.socket, request: str, number: int) -> bool:
        self.record("end" if number < PROPER else "cut", request, sha256(b"ok"))
        connection.sendall(ANSWERS[number])
        return False

    def _stream(self, connection: socket.socket, request: str, asked: dict[str, str]) -> None:
        every = float(asked.get("every", "0.05"))
        connection.sendall(OK + b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        whole = b""
        for count in range(round(float(asked["stream"]) / every)):
            piece = b"data: %s %d\n\n" % (request.encode(), count)
            connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            whole += piece
            time.sleep(every)
        self.record("end", request, sha256(whole))
        connection.sendall(b"0\r\n\r\n")


def terminated(*_: object) -> NoReturn:
    raise Terminated


def turn() -> str:
    """Return how this start is to behave: each start of a revision takes the next turn, whoever else starts now."""
    turns = os.environ.get("TURNS", "good").split(",")
    path = os.environ["LEDGER"] + "." + REPLICA.rpartition("-")[0]
    for number, name in enumerate(turns[:-1]):
        try:
            os.close(os.open(f"{path}.{number}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        return name
    return turns[-1]


def listening(backlog: int = 1024) -> socket.socket:
    return socket.create_server((os.environ["HOST"], int(os.environ["PORT"])), backlog=backlog)


def head_of(reader: BinaryIO) -> dict[str, str]:
    head = {}
    while (line := reader.readline()) != b"\r\n":
        if not line:
            raise Gone
        name, _, value = line.decode("latin-1").partition(":")
        head[name.lower()] = value.strip()
    return head


def body_of(reader: BinaryIO, head: dict[str, str]) -> bytes:
    if "transfer-encoding" in head:
        return b"".join(chunks(reader))
    return exactly(reader, int(head.get("content-length", "0")))


def chunks(reader: BinaryIO) -> Iterator[bytes]:
    while size := int(reader.readline() or b"x", 16):
        yield exactly(reader, size)
        reader.readline()
    while reader.readline() not in {b"\r\n", b""}:
        pass


def exactly(reader: BinaryIO, size: int) -> bytes:
    data = reader.read(size)
    if len(data) < size:
        raise Gone
    return data


def sha256(body: bytes) -> str:
    import hashlib  # noqa: PLC0415 - costs more than all the rest of the start

    return hashlib.sha256(body).hexdigest()


if __name__ == "__main__":
    Witness().run(turn())
    sys.exit(0)
