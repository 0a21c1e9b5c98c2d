from __future__ import annotations

import asyncio
import os
import resource
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from router.servers import Servers, bind, close
from tests.journeys.daemon import adopting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


class Greeter(asyncio.Protocol):
    """Says who accepted, and closes."""

    def __init__(self, name: bytes) -> None:
        self._name = name

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._name)
        transport.close()


async def ask(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(30):
            return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.fixture
def shared() -> Iterator[socket.socket]:
    (found,) = bind("127.0.0.1", 0)
    with found:
        yield found


@pytest.fixture
async def two(shared: socket.socket) -> AsyncIterator[tuple[Servers, Servers]]:
    pair = Servers(), Servers()
    for servers, name in zip(pair, (b"first", b"second"), strict=True):
        await servers.open(lambda name=name: Greeter(name), [shared.dup()])  # type: ignore[misc]
    yield pair
    for servers in pair:
        servers.close()
    await asyncio.sleep(0)


async def test_a_client_that_vanishes_without_a_word_is_noticed_by_the_kernel(shared: socket.socket) -> None:
    with socket.create_connection(shared.getsockname()):
        shared.setblocking(True)
        accepted, _ = shared.accept()
    with accepted:
        asked = [socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT]
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert [accepted.getsockopt(socket.IPPROTO_TCP, each) for each in asked] == [60, 15, 4]


async def test_one_that_pauses_leaves_clients_to_the_other(shared: socket.socket, two: tuple[Servers, Servers]) -> None:
    port = shared.getsockname()[1]
    two[0].pause()
    assert two[0].paused
    assert {await ask(port) for _ in range(10)} == {b"second"}
    await two[0].resume()
    two[1].pause()
    assert {await ask(port) for _ in range(10)} == {b"first"}


async def test_clients_that_come_while_all_pause_are_accepted_later(
    shared: socket.socket, two: tuple[Servers, Servers]
) -> None:
    for servers in two:
        servers.pause()
    asked = asyncio.ensure_future(ask(shared.getsockname()[1]))
    await asyncio.sleep(0.05)
    assert not asked.done()
    await two[1].resume()
    assert await asked == b"second"


async def test_resuming_twice_is_resuming_once(shared: socket.socket, two: tuple[Servers, Servers]) -> None:
    await two[0].resume()
    two[1].pause()
    two[0].pause()
    await two[0].resume()
    assert await ask(shared.getsockname()[1]) == b"first"


async def test_who_has_no_descriptor_to_accept_with_pauses_until_it_is_asked_once_more(
    shared: socket.socket, two: tuple[Servers, Servers]
) -> None:
    for servers in two:
        servers.pause()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        await two[0].resume()
        assert two[0].paused
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    await two[0].resume()
    assert await ask(shared.getsockname()[1]) == b"first"


def test_an_address_in_use_is_an_error_and_leaves_nothing_open(shared: socket.socket) -> None:
    with pytest.raises(OSError, match="in use"):
        bind("127.0.0.1", shared.getsockname()[1])


def test_every_family_of_an_address_is_listened_on() -> None:
    found = bind("", 0)
    assert {socket.AF_INET} <= {each.family for each in found}
    close(found)


class TestInherited:
    """LISTEN_FDS counts from descriptor 3, which a test's process has for something else; so these are processes."""

    @staticmethod
    def bound(shared: socket.socket, port: int, environ: str) -> list[str]:
        """Return what a process that got `shared` as descriptor 3 says about listening on a port."""
        script = (
            "import os, sys; from router.servers import bind\n"
            "found = bind('127.0.0.1', int(sys.argv[1]))\n"
            "print(*(f'{each.fileno()}:{os.fstat(each.fileno()).st_ino}' for each in found))"
        )
        handed = ("env", "-S", environ) if environ else ()
        command = [*adopting(shared.fileno()), *handed, sys.executable, "-c", script, str(port)]
        ran = subprocess.run(command, pass_fds=[shared.fileno()], capture_output=True, text=True, check=False)
        return ran.stdout.split() or ran.stderr.splitlines()[-1:]

    def test_a_socket_that_was_handed_over_is_used(self, shared: socket.socket) -> None:
        found = self.bound(shared, shared.getsockname()[1], "")
        assert found == [f"3:{os.fstat(shared.fileno()).st_ino}"]

    def test_one_for_another_address_is_left_alone(self, shared: socket.socket) -> None:
        (found,) = self.bound(shared, 0, "")
        assert found.partition(":")[2] != str(os.fstat(shared.fileno()).st_ino)

    @pytest.mark.parametrize("environ", ["LISTEN_PID=1", "LISTEN_FDS=no"])
    def test_what_was_handed_to_another_process_is_not_used(self, shared: socket.socket, environ: str) -> None:
        (told,) = self.bound(shared, shared.getsockname()[1], environ)
        assert "in use" in told
