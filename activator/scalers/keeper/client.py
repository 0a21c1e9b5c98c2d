"""The edge's side of the keeper: starts it, speaks to it, and starts another when it is lost."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
import subprocess
import sys
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import activator
from activator.scalers.keeper.wires import PACKET

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 5.0
LONGEST = 1 << 17  # a packet must fit into the socket's buffer whole
SOURCES = Path(activator.__file__).parent.parent
SCRIPT = """
import sys
sys.path.append(sys.argv[1])
from activator.scalers.keeper.main import main
main(int(sys.argv[2]))
"""


class KeeperClient:
    """One keeper at a time.

    `hear` is called with each of its messages, `lost` when it died, and all models with it; a warden that has not
    followed it after `patience` seconds is waited for no longer.
    """

    def __init__(
        self, hear: Callable[[dict[str, Any]], None], lost: Callable[[], None], patience: float = PATIENCE
    ) -> None:
        self._hear = hear
        self._lost = lost
        self._patience = patience
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._death = -1  # the pidfd of the keeper
        self._funeral: asyncio.TimerHandle | None = None
        self._unsent: deque[bytes] = deque()
        self._greeted = asyncio.Event()
        self._gone = asyncio.Event()
        self._closing = False

    @property
    def pid(self) -> int | None:
        """The keeper's process id, while there is one."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start the keeper and return when it is at work. OSError when it does not come up."""
        self._spawn()
        try:
            async with asyncio.timeout(PATIENCE):
                await self._greeted.wait()
        except TimeoutError:
            raise OSError("the keeper process does not start") from None

    def send(self, message: dict[str, Any]) -> None:
        """Hand `message` to the keeper in this loop turn; start one first if need be. OSError when it
        cannot be sent.
        """
        packet = json.dumps(message).encode()
        if len(packet) > LONGEST:
            raise OSError(errno.EMSGSIZE, "the command and its environment are too long")
        connection = self._socket or self._spawn()
        if self._unsent:
            self._unsent.append(packet)
            return
        try:
            connection.send(packet)
        except BlockingIOError:
            self._unsent.append(packet)
            asyncio.get_running_loop().add_writer(connection, self._flush)

    async def close(self) -> None:
        """End the keeper, and through it whatever it still has."""
        self._closing = True
        process = self._process
        if process is None or self._socket is None:
            return
        self._socket.shutdown(socket.SHUT_WR)
        try:
            async with asyncio.timeout(PATIENCE):
                await self._gone.wait()
        except TimeoutError:
            process.kill()
            self._part()

    def _spawn(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with theirs:
            process = subprocess.Popen(  # noqa: S603 - our own script
                [sys.executable, "-I", "-S", "-c", SCRIPT, str(SOURCES), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._death = os.pidfd_open(process.pid)
        self._greeted.clear()
        self._gone.clear()
        self._process, self._socket = process, ours
        loop = asyncio.get_running_loop()
        loop.add_reader(ours, self._receive)
        loop.add_reader(self._death, self._died)
        return ours

    def _receive(self) -> None:
        while connection := self._socket:
            try:
                packet = connection.recv(PACKET)
            except BlockingIOError:
                return
            except ConnectionResetError:
                packet = b""
            if not packet:
                self._end()
                return
            self._take(json.loads(packet))

    def _take(self, message: dict[str, Any]) -> None:
        if message["event"] == "hello":
            self._greeted.set()
        else:
            self._hear(message)

    def _died(self) -> None:
        """The keeper is gone. The socket ends once all wardens are, too, unless one cannot."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._death)
        self._funeral = loop.call_later(self._patience, self._end)

    def _end(self) -> None:
        """The keeper and all wardens are gone. A keeper that never worked, or that cannot be replaced now, is not
        replaced before it is needed.
        """
        worked = self._greeted.is_set()
        self._part()
        if self._closing:
            return
        if worked:
            with suppress(OSError):
                self._spawn()
        self._lost()

    def _part(self) -> None:
        loop = asyncio.get_running_loop()
        if self._socket:
            loop.remove_reader(self._socket)
            loop.remove_writer(self._socket)
            self._socket.close()
            loop.remove_reader(self._death)
            os.close(self._death)
        if self._funeral:
            self._funeral.cancel()
        if self._process:
            self._process.wait()
        self._socket = self._process = None
        self._unsent.clear()
        self._gone.set()

    def _flush(self) -> None:
        if self._socket is None:
            return
        try:
            while self._unsent:
                self._socket.send(self._unsent[0])
                self._unsent.popleft()
        except BlockingIOError:
            return
        except ConnectionError:
            self._unsent.clear()
        asyncio.get_running_loop().remove_writer(self._socket)
