"""The process above one model."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

from activator.scalers.keeper.family import (
    adopt_orphans,
    descendants,
    die_with,
    end_family,
    group_of,
    send_signal,
)
from activator.scalers.keeper.log import Log
from activator.scalers.keeper.wires import CHUNK, drain, hear, tell, wake_on_signals

if TYPE_CHECKING:
    import socket

TAIL = 2048
LONGEST = 3600.0  # that poll(2) is asked to wait: it counts milliseconds in 31 bits


class Warden:
    """Parent of one model: starts it, writes its log, tells how it ended, and leaves nothing of it behind.

    A model that ends by itself has crashed: that is told at once, and what it forked is killed. A model
    told to end gets SIGTERM with its whole process group, and all of its family has `grace` seconds before
    SIGKILL.
    """

    def __init__(self, order: dict[str, Any], edge: socket.socket, keeper: socket.socket) -> None:
        self._order = order
        self._edge = edge
        self._keeper = keeper
        self._log = Log(order["log"], order["log_bytes"])
        self._tail = b""
        self._model: subprocess.Popen[bytes]  # kept: when it is collected it reaps its process unseen
        self._code: int | None = None
        self._childless = False
        self._deadline: float | None = None

    def run(self) -> None:
        """Live as long as the model does."""
        adopt_orphans()
        wake = wake_on_signals()
        self._output, inlet = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        os.set_blocking(inlet, True)
        try:
            self._model = self._execute(inlet)
        except OSError as error:
            self._tell("failed", errno=error.errno, culprit=str(error.filename or ""), text=error.strerror)
        except (ValueError, IndexError) as error:
            self._tell("failed", errno=None, culprit="", text=str(error))
        else:
            os.close(inlet)
            self._tell("started", pid=self._model.pid)
            self._accompany(wake)

    def _accompany(self, wake: int) -> None:
        commanded = self._watch(wake)
        if commanded and self._deadline is None:
            self._tell_exit()
        end_family()
        self._pump()
        if commanded and self._deadline is not None:
            self._tell_exit()

    def _execute(self, inlet: int) -> subprocess.Popen[bytes]:
        warden = os.getpid()
        return subprocess.Popen(  # noqa: S603 - to run what the configuration names is its job
            self._order["command"],
            stdin=subprocess.DEVNULL,
            stdout=inlet,
            stderr=inlet,
            cwd=self._order["directory"],
            env={**os.environ, **self._order["env"]},
            start_new_session=True,
            preexec_fn=lambda: die_with(warden),  # noqa: PLW1509 - a warden has one thread
        )

    def _watch(self, wake: int) -> bool:
        """Return when the model crashed, when it and its family are gone, or when its grace is over.

        False = the keeper died, and nobody is left to tell.
        """
        with selectors.PollSelector() as selector:
            for descriptor in (wake, self._keeper.fileno(), self._output):
                selector.register(descriptor, selectors.EVENT_READ)
            while not self._finished():
                for key, _ in selector.select(self._patience()):
                    if key.fd == wake:
                        drain(wake)
                        self._reap()
                    elif key.fd == self._output:
                        if not self._read():
                            selector.unregister(self._output)
                    elif hear(self._keeper):
                        self._ask_to_end()
                    else:
                        return False
        return True

    def _patience(self) -> float | None:
        return None if self._deadline is None else min(max(self._deadline - time.monotonic(), 0), LONGEST)

    def _finished(self) -> bool:
        if self._deadline is None:
            return self._code is not None
        return self._childless or time.monotonic() >= self._deadline

    def _ask_to_end(self) -> None:
        """SIGTERM to the model's group, and to those of its family that left it."""
        if self._deadline is None:
            self._deadline = time.monotonic() + self._order["grace"]
            strays = [pid for pid in descendants(os.getpid()) if group_of(pid) != self._model.pid]
            for pid in (-self._model.pid, *strays):
                send_signal(pid, signal.SIGTERM)

    def _reap(self) -> None:
        try:
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == self._model.pid:
                    self._code = os.waitstatus_to_exitcode(ended[1])
        except ChildProcessError:
            self._childless = True

    def _read(self) -> bool:
        """Move one piece of output to the log; False at its end."""
        try:
            data = os.read(self._output, CHUNK)
        except BlockingIOError:
            return True
        self._log.write(data)
        self._tail = (self._tail + data)[-TAIL:]
        return bool(data)

    def _pump(self) -> None:
        """Move what waits in the pipe, which holds 64 KiB unless told otherwise."""
        for _ in range(4):
            self._read()

    def _tell_exit(self) -> None:
        self._pump()
        code = -signal.SIGKILL if self._code is None else self._code
        self._tell("exited", code=code, tail=self._tail.decode(errors="replace"))

    def _tell(self, event: str, **details: object) -> None:
        tell(self._edge, event=event, name=self._order["name"], **details)
