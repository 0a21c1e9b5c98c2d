"""The process above all wardens."""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
from typing import NoReturn

from activator.scalers.keeper.family import adopt_orphans, be_told_of_parents_death, end_family
from activator.scalers.keeper.warden import Warden
from activator.scalers.keeper.wires import drain, hear, tell, wake_on_signals

LULL = 0.05


def main(descriptor: int) -> NoReturn:
    """Be the keeper until the edge at the other end of the socket `descriptor` is gone."""
    Keeper(socket.socket(fileno=descriptor)).run()
    os._exit(0)


class Ward:
    """A warden as its keeper sees it; `name` is that of its replica, "" while it waits for one."""

    def __init__(self, pid: int, line: socket.socket) -> None:
        self.pid = pid
        self.line = line
        self.name = ""

    def send(self, packet: bytes) -> bool:
        """Pass an order on; False = the warden has died, and its keeper is yet to hear of it."""
        try:
            self.line.send(packet)
        except OSError:
            return False
        return True


class Keeper:
    """Parent of all wardens, and ear of the edge.

    One warden is forked ahead, in a quiet moment: a fork may take 10 ms to get a processor, and a request is waiting.
    """

    def __init__(self, edge: socket.socket) -> None:
        self._edge = edge
        self._parent = os.getppid()
        self._wards: dict[int, Ward] = {}
        self._spare: Ward | None = None

    def run(self) -> None:
        """Obey the edge until it is gone; then leave nothing behind."""
        adopt_orphans()
        be_told_of_parents_death(signal.SIGUSR1)
        wake = wake_on_signals()
        self._spare = self._fork()
        tell(self._edge, event="hello")
        self._serve(wake)
        end_family()

    def _serve(self, wake: int) -> None:
        with selectors.PollSelector() as selector:
            selector.register(wake, selectors.EVENT_READ)
            selector.register(self._edge, selectors.EVENT_READ)
            while os.getppid() == self._parent:
                ready = selector.select(None if self._spare else LULL)
                if not ready:
                    self._spare = self._fork()
                for key, _ in ready:
                    if key.fd == wake:
                        drain(wake)
                        self._reap()
                    elif packet := hear(self._edge):
                        self._obey(packet)
                    else:
                        return

    def _obey(self, packet: bytes) -> None:
        order = json.loads(packet)
        if order["do"] == "start":
            self._start(order["name"], packet)
        for ward in self._wards.values():
            if order["do"] == "end" and ward.name == order["name"]:
                ward.send(packet)

    def _start(self, name: str, packet: bytes) -> None:
        ward, self._spare = self._spare, None
        if ward is None or not ward.send(packet):
            ward = self._fork()
            if ward is None or not ward.send(packet):
                tell(self._edge, event="failed", name=name, errno=None, culprit="", text="no process can be forked")
                return
        ward.name = name

    def _fork(self) -> Ward | None:
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            pid = os.fork()
        except OSError:
            return None
        if pid == 0:
            ours.close()
            self._become_warden(theirs)
        theirs.close()
        self._wards[pid] = Ward(pid, ours)
        return self._wards[pid]

    def _become_warden(self, line: socket.socket) -> NoReturn:
        """Run a warden in this fork. Other wardens' lines must not stay open: they tell of the keeper's death."""
        status = 1
        try:
            for other in self._wards.values():
                other.line.close()
            if order := hear(line):
                Warden(json.loads(order), self._edge, line).run()
            status = 0
        finally:
            os._exit(status)

    def _reap(self) -> None:
        try:
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ward := self._wards.pop(ended[0], None):
                    self._forget(ward, ended[1])
        except ChildProcessError:
            return

    def _forget(self, ward: Ward, status: int) -> None:
        """A warden that did not end well has left a model behind, and orphans that are now ours."""
        ward.line.close()
        if ward is self._spare:
            self._spare = None
        if status != 0:
            end_family(keep=self._wards)
            tell(self._edge, event="exited", name=ward.name, code=-signal.SIGKILL, tail="")
