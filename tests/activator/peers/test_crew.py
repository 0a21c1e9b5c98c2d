"""The parent and processes that stand in for workers, on the stock loop's real time."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import time
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from activator.edge_tls import EdgeTls
from activator.peers import messages as m
from activator.peers.crew import Crew
from activator.peers.worker import Worker
from activator.settings.places import Address
from activator.terms import Pair, Terms
from tests.certificates import client_context, pair
from tests.router.fakes import Wakes, service, table

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PATIENCE = 60.0


class Log:
    """Keeps what was logged."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.enough = asyncio.Event()

    def error(self, event: str, **fields: Any) -> None:
        self.lines.append({"event": event, **fields})
        if len(self.lines) == 4:
            self.enough.set()


class Unlucky(Crew):
    """It cannot start its workers at first, for a reason that nobody expects."""

    failures = 0

    async def _spawn(self, mate: Any) -> asyncio.subprocess.Process:
        if self.failures < 2:
            self.failures += 1
            raise RuntimeError("can't start new thread")
        return await super()._spawn(mate)


class Stillborn(Crew):
    """Its workers end as soon as they are started."""

    script = "raise SystemExit(3)"


async def test_a_worker_that_dies_at_its_start_again_and_again_is_started_more_and_more_slowly() -> None:
    log = Log()
    crew = Stillborn(1, Wakes(), lambda: 0.0, cast("Any", log))  # on no clock has any of them lived for long
    keeping = asyncio.create_task(crew._keep(0))
    try:
        async with asyncio.timeout(PATIENCE):
            await log.enough.wait()
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
    assert [line["in_seconds"] for line in log.lines[:4]] == [0.0, 0.4, 0.8, 1.6]
    assert {(line["event"], line["worker"]) for line in log.lines} == {("worker ended, another one starts", 0)}
    assert (crew.restarts, crew.health().workers) == (len(log.lines), 0)


async def test_a_drain_starts_no_worker_any_more() -> None:
    log = Log()
    crew = Stillborn(1, Wakes(), time.monotonic, cast("Any", log))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        crew._sockets = {"listen": [listening]}
        crew._tasks.spawn(crew._keep(0), "worker 0")
        async with asyncio.timeout(PATIENCE):
            while len(log.lines) < 2:  # noqa: ASYNC110 - the simplest
                await asyncio.sleep(0.01)
        await crew.drain(PATIENCE)
    assert {line["event"] for line in log.lines} == {"worker ended, another one starts"}


def certificates_in(certificate: Path, key: Path) -> tuple[Pair, ...]:
    return (Pair(str(certificate), str(key)),)


def copied(name: str, where: Path) -> list[Path]:
    """Return copies of a certificate and its key, which may be changed."""
    made = [where / file.name for file in pair(name)]
    for file, copy in zip(pair(name), made, strict=True):
        shutil.copy(file, copy)
    return made


def listening_anywhere() -> Any:
    return SimpleNamespace(listen=Address("127.0.0.1", 0), listen_plain=None)


@asynccontextmanager
async def at_work(crew: Crew) -> AsyncIterator[int]:
    """Have workers serve, and return the port."""
    ports = await crew.open(listening_anywhere())

    async def sweep() -> None:
        while True:
            await asyncio.sleep(0.25)
            crew.sweep()

    sweeping = asyncio.create_task(sweep())
    try:
        yield ports["listen"]
    finally:
        sweeping.cancel()
        await crew.drain(1.0)


async def answers(port: int, *, tls: bool) -> bool:
    """Tell whether the edge answers by TLS, or in plain text."""
    secure: dict[str, Any] = {"ssl": client_context(), "server_hostname": "a.example"} if tls else {}
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, **secure)
            writer.write(b"OPTIONS * HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
            answer = await reader.read()
            writer.close()
    except (OSError, ssl.SSLError):
        return False
    return answer.startswith(b"HTTP/1.1 ")


async def test_a_worker_that_is_replaced_after_a_reload_speaks_as_the_edge_did_at_its_start() -> None:
    certificates = certificates_in(*pair("a"))
    for first, then in ((certificates, ()), ((), certificates)):
        crew = Crew(1, Wakes(), time.monotonic, cast("Any", Log()))
        crew.take(Terms(table(), first))
        async with at_work(crew) as port:
            crew.take(Terms(table(), then))
            crew._mates[0].kill()
            async with asyncio.timeout(PATIENCE):
                while crew.restarts < 1 or crew.health().workers < 1:  # noqa: ASYNC110 - the simplest
                    await asyncio.sleep(0.01)
            assert [await answers(port, tls=True), await answers(port, tls=False)] == [bool(first), not first]


async def test_a_worker_that_cannot_be_started_for_whatever_reason_is_started_later() -> None:
    crew = Unlucky(1, Wakes(), time.monotonic, cast("Any", Log()))
    crew.take(Terms(table()))
    async with at_work(crew) as port:
        assert await answers(port, tls=False)
    assert crew.restarts == 2


async def test_a_worker_that_is_replaced_while_a_certificate_is_bad_serves_by_what_was_in_use(tmp_path: Path) -> None:
    files = copied("a", tmp_path)
    crew = Crew(1, Wakes(), time.monotonic, cast("Any", log := Log()))
    crew.take(Terms(table(), certificates_in(*files)))
    async with at_work(crew) as port:
        shutil.copy(pair("b")[1], files[1])
        crew._mates[0].kill()
        async with asyncio.timeout(PATIENCE):
            while crew.restarts < 1 or crew.health().workers < 1:  # noqa: ASYNC110 - the simplest
                await asyncio.sleep(0.01)
        assert await answers(port, tls=True)
    assert [line["event"] for line in log.lines] == ["worker ended, another one starts"]


async def test_a_worker_whose_certificate_could_not_be_read_is_told_again_until_it_can(tmp_path: Path) -> None:
    crew = Crew(1, Wakes(), time.monotonic, cast("Any", log := Log()))
    crew.take(Terms(table(), certificates_in(*pair("a"))))
    async with at_work(crew):
        files = copied("renewed", tmp_path)
        crew.take(Terms(table(), certificates_in(*files)))
        files[0].write_text("half of it")
        async with asyncio.timeout(PATIENCE):
            while not crew._mates[0].problem:  # noqa: ASYNC110 - the simplest
                await asyncio.sleep(0.01)
            shutil.copy(pair("renewed")[0], tmp_path / "mended.pem")
            (tmp_path / "mended.pem").replace(files[0])  # at once, or half of it may be read another time
            while crew._mates[0].problem:  # noqa: ASYNC110 - the simplest
                await asyncio.sleep(0.01)
    assert [line["event"] for line in log.lines] == ["worker cannot use the configuration"]


async def test_a_worker_that_serves_takes_over_all_but_a_certificate_that_it_cannot_read(tmp_path: Path) -> None:
    worker, sent = Worker(0, {}), list[Any]()
    worker._wire.send = sent.append  # type: ignore[method-assign, assignment]
    good, bad = certificates_in(*pair("a")), certificates_in(tmp_path / "none", tmp_path / "none")
    worker._hear(worker._wire, [m.Configure(Terms(table(), good))])

    def problems() -> list[str]:
        return [each.problem for each in sent if isinstance(each, m.Configured)]

    async with asyncio.timeout(PATIENCE):
        while not problems():  # noqa: ASYNC110 - the simplest
            await asyncio.sleep(0.01)
        worker._hear(worker._wire, [m.Configure(Terms(table(service(name="b")), bad))])
        assert set(worker._proxy.queues) == {"b-1", "a-1"}, "the rest does not wait for certificates"
        assert problems() == [""]
        while len(problems()) < 2:  # noqa: ASYNC110 - the simplest
            await asyncio.sleep(0.01)
    assert all(problems()[1:])
    await worker._tasks.close()


async def test_a_worker_takes_claims_back_that_have_not_left() -> None:
    worker = Worker(0, {})
    claim = m.Claim(1, "a-1", 1.5, 0)
    worker._claimer.put(claim)
    assert [worker._claimer.take_back(claim), worker._claimer.take_back(claim)] == [True, False]
    await worker._tasks.close()


async def test_a_worker_that_begins_by_copies_reads_the_files_again_that_it_is_told_of_meanwhile(
    tmp_path: Path,
) -> None:
    files = copied("a", tmp_path)
    certificates = certificates_in(*files)
    parent = EdgeTls()
    parent.take(certificates)
    copies = parent.copies()
    for new, file in zip(pair("renewed"), files, strict=True):
        shutil.copy(new, file)
    worker, sent = Worker(0, {}), list[Any]()
    worker._wire.send = sent.append  # type: ignore[method-assign, assignment]
    worker._hear(worker._wire, [m.Configure(Terms(table(), certificates), copies), m.Renew()])
    async with asyncio.timeout(PATIENCE):
        await worker._tasks.ended()
    (used,) = worker._serving.tls.copies()
    assert used.certificate == files[0].read_bytes()


async def test_a_worker_that_is_to_end_before_it_serves_leaves_clients_to_whoever_shares_the_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as shared, shared.dup() as theirs:
        shared.setblocking(False)
        worker = Worker(0, {"listen": [theirs]})
        worker._wire.send = lambda _: None  # type: ignore[method-assign, assignment]
        loop = asyncio.get_running_loop()
        _, writer = await asyncio.open_connection(*shared.getsockname())
        worker._hear(worker._wire, [m.Drain(PATIENCE)])
        worker._hear(worker._wire, [m.Configure(Terms(table()))])
        async with asyncio.timeout(PATIENCE):
            await worker._ended.wait()
            accepted, _ = await loop.sock_accept(shared)
        accepted.close()
        writer.close()
        await worker._tasks.close()
