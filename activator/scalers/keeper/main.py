"""The process above all wardens."""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
from typing import Any, NoReturn

from activator.scalers.keeper.family import adopt_orphans, be_told_of_parents_death, end_family
from activator.scalers.keeper.warden import Warden
from activator.scalers.keeper.wires import PACKET, drain, tell, wake_on_signals


def main(descriptor: int) -> NoReturn:
    """Be the keeper until the edge at the other end of the socket `descriptor` is gone."""
    Keeper(socket.socket(fileno=descriptor)).run()
    os._exit(0)


class Keeper:
    """Parent of all wardens, and ear of the edge."""

    def __init__(self, edge: socket.socket) -> None:
        self._edge = edge
        self._parent = os.getppid()
        self._names: dict[int, str] = {}
        self._commands: dict[str, int] = {}

    def run(self) -> None:
        """Obey the edge until it is gone; then leave nothing behind."""
        adopt_orphans()
        be_told_of_parents_death(signal.SIGUSR1)
        wake = wake_on_signals()
        tell(self._edge, event="hello")
        self._serve(wake)
        end_family()

    def _serve(self, wake: int) -> None:
        with selectors.PollSelector() as selector:
            selector.register(wake, selectors.EVENT_READ)
            selector.register(self._edge, selectors.EVENT_READ)
            while os.getppid() == self._parent:
                for key, _ in selector.select():
                    if key.fd == wake:
                        drain(wake)
                        self._reap()
                    elif packet := self._hear():
                        self._obey(json.loads(packet))
                    else:
                        return

    def _hear(self) -> bytes:
        try:
            return self._edge.recv(PACKET)
        except ConnectionResetError:
            return b""

    def _obey(self, order: dict[str, Any]) -> None:
        if order["do"] == "start":
            self._start(order)
        elif order["name"] in self._commands:
            os.write(self._commands[order["name"]], b".")

    def _start(self, order: dict[str, Any]) -> None:
        read, write = os.pipe()
        try:
            pid = os.fork()
        except OSError as error:
            os.close(read)
            os.close(write)
            tell(
                self._edge, event="failed", name=order["name"], errno=error.errno, culprit="", text=str(error)
            )
            return
        if pid == 0:
            os.close(write)
            self._become_warden(order, read)
        os.close(read)
        self._names[pid] = order["name"]
        self._commands[order["name"]] = write

    def _become_warden(self, order: dict[str, Any], commands: int) -> NoReturn:
        """Run a warden in this fork. The other wardens' pipes must not stay open here: they tell of the
        keeper's death.
        """
        status = 1
        try:
            for other in self._commands.values():
                os.close(other)
            Warden(order, self._edge, commands).run()
            status = 0
        finally:
            os._exit(status)

    def _reap(self) -> None:
        try:
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                self._forget(*ended)
        except ChildProcessError:
            return

    def _forget(self, pid: int, status: int) -> None:
        name = self._names.pop(pid, None)
        if name is None:
            return
        os.close(self._commands.pop(name))
        if status != 0:
            end_family(keep=self._names)
            tell(self._edge, event="exited", name=name, code=-signal.SIGKILL, tail="")
