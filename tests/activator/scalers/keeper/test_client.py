from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from activator.scalers.keeper.client import LONGEST, PATIENCE, KeeperClient
from activator.scalers.keeper.family import descendants
from tests.activator.scalers.processes import alive, all_gone, parent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Ear:
    """A client that remembers what it heard."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self.heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.client = KeeperClient(self.heard.put_nowait, lambda: self.heard.put_nowait({"event": "lost"}), patience)

    async def next(self, event: str) -> dict[str, Any]:
        async with asyncio.timeout(60):
            message = await self.heard.get()
        assert message["event"] == event
        return message


@pytest.fixture
async def ear() -> AsyncIterator[Ear]:
    ear = Ear()
    await ear.client.start()
    yield ear
    await ear.client.close()


def order(name: str, *command: str, **changes: object) -> dict[str, object]:
    base = {"do": "start", "name": name, "command": command, "env": {}, "directory": "."}
    return base | {"log": os.devnull, "log_bytes": 1000, "grace": 1} | changes


async def test_a_start_is_answered_with_the_process(ear: Ear) -> None:
    ear.client.send(order("a", "/bin/sleep", "1000"))
    message = await ear.next("started")
    assert message["name"] == "a"
    assert message["pid"] in descendants(ear.client.pid or 0)


async def test_a_process_leads_a_session_of_its_own(ear: Ear) -> None:
    ear.client.send(order("a", "/bin/sleep", "1000"))
    pid = (await ear.next("started"))["pid"]
    assert os.getsid(pid) == pid


async def test_an_exit_is_told_with_its_code_and_last_output(ear: Ear) -> None:
    ear.client.send(order("a", "/bin/sh", "-c", "echo out; echo err >&2; exit 5"))
    await ear.next("started")
    assert await ear.next("exited") == {"event": "exited", "name": "a", "code": 5, "tail": "out\nerr\n"}


async def test_what_cannot_be_executed_is_told_with_its_error(ear: Ear) -> None:
    ear.client.send(order("a", "/nowhere/model"))
    message = await ear.next("failed")
    assert (message["errno"], message["culprit"]) == (2, "/nowhere/model")


async def test_a_process_told_to_end_gets_sigterm(ear: Ear) -> None:
    ear.client.send(order("a", "/bin/sleep", "1000"))
    await ear.next("started")
    ear.client.send({"do": "end", "name": "a"})
    assert (await ear.next("exited"))["code"] == -signal.SIGTERM


async def test_an_end_right_behind_its_start_is_obeyed(ear: Ear) -> None:
    for number in range(10):
        ear.client.send(order(f"a{number}", "/bin/sleep", "1000"))
        ear.client.send({"do": "end", "name": f"a{number}"})
        await ear.next("started")
        await ear.next("exited")


async def test_an_end_of_nobody_is_ignored(ear: Ear) -> None:
    ear.client.send({"do": "end", "name": "nobody"})
    ear.client.send(order("a", "/bin/true"))
    await ear.next("started")


STANDARD_SIGNALS = (1 << 31) - 1  # those above belong to the C library, and are inherited as they are


async def test_signals_are_not_ignored_in_a_model(ear: Ear) -> None:
    ear.client.send(order("a", "/bin/grep", "SigIgn", "/proc/self/status"))
    await ear.next("started")
    ignored = int((await ear.next("exited"))["tail"].removeprefix("SigIgn:"), 16)
    assert ignored & STANDARD_SIGNALS == 0


async def test_no_descriptor_leaks_into_a_model(ear: Ear) -> None:
    ear.client.send(order("a", "/bin/ls", "/proc/self/fd"))
    await ear.next("started")
    assert (await ear.next("exited"))["tail"] == "0\n1\n2\n3\n"  # 3 is the directory it reads


async def test_a_dead_keeper_is_told_of_and_replaced(ear: Ear) -> None:
    old = ear.client.pid
    assert old
    os.kill(old, signal.SIGKILL)
    await ear.next("lost")
    ear.client.send(order("a", "/bin/true"))
    await ear.next("started")
    assert ear.client.pid != old


async def test_when_the_keeper_dies_no_warden_depends_on_another(ear: Ear) -> None:
    ear.client.send(order("a", "/bin/sleep", "1000"))
    ear.client.send(order("b", "/bin/sleep", "1000"))
    first, second = [(await ear.next("started"))["pid"] for _ in range(2)]
    stuck = parent(second)
    os.kill(stuck, signal.SIGSTOP)
    os.kill(ear.client.pid or 0, signal.SIGKILL)
    async with asyncio.timeout(60):
        while alive(first):  # noqa: ASYNC110 - the world sends no event
            await asyncio.sleep(0.01)
    assert alive(second)
    os.kill(stuck, signal.SIGCONT)
    await ear.next("lost")
    assert not alive(second)


async def test_a_model_ends_although_all_that_is_above_it_is_killed_at_one_blow(ear: Ear) -> None:
    mark = f"at-one-blow-{os.getpid()}"
    ear.client.send(order("a", "/bin/sleep", "1000", env={"MARK": mark}))
    warden = parent((await ear.next("started"))["pid"])
    os.kill(warden, signal.SIGSTOP)  # it must not hear of the keeper's death before its own
    os.kill(ear.client.pid or 0, signal.SIGKILL)
    os.kill(warden, signal.SIGKILL)
    assert await all_gone(mark, within=60)
    await ear.next("lost")


async def test_a_keeper_that_died_is_lost_although_a_warden_cannot_follow() -> None:
    ear = Ear(patience=0.1)
    await ear.client.start()
    ear.client.send(order("a", "/bin/sleep", "1000"))
    stuck = parent((await ear.next("started"))["pid"])
    os.kill(stuck, signal.SIGSTOP)
    os.kill(ear.client.pid or 0, signal.SIGKILL)
    await ear.next("lost")
    ear.client.send(order("b", "/bin/true"))
    assert (await ear.next("started"))["name"] == "b"
    os.kill(stuck, signal.SIGCONT)
    await ear.client.close()


async def test_a_keeper_that_died_is_lost_although_no_other_can_be_started_now(ear: Ear) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        os.kill(ear.client.pid or 0, signal.SIGKILL)
        await ear.next("lost")
        with pytest.raises(OSError, match="open files"):
            ear.client.send(order("a", "/bin/true"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    ear.client.send(order("b", "/bin/true"))
    assert (await ear.next("started"))["name"] == "b"


async def test_a_grace_of_months_is_waited_for(ear: Ear) -> None:
    ear.client.send(order("a", "/bin/sleep", "1000", grace=100 * 24 * 3600))
    await ear.next("started")
    ear.client.send({"do": "end", "name": "a"})
    assert (await ear.next("exited"))["code"] == -signal.SIGTERM


async def test_an_order_that_fits_no_packet_is_refused(ear: Ear) -> None:
    with pytest.raises(OSError, match="too long"):
        ear.client.send(order("a", "x" * LONGEST))


async def test_more_than_the_socket_holds_is_sent_in_time_and_in_order(ear: Ear) -> None:
    for number in range(60):
        ear.client.send(order(f"a{number}", "/nowhere", "x" * 60_000))
    assert {(await ear.next("failed"))["name"] for _ in range(60)} == {f"a{number}" for number in range(60)}


async def test_closing_ends_the_keeper_and_all_below(ear: Ear) -> None:
    ear.client.send(order("a", "/bin/sleep", "1000"))
    pid = (await ear.next("started"))["pid"]
    await ear.client.close()
    assert ear.client.pid is None
    assert not alive(pid)


async def test_closing_ends_a_model_whose_warden_cannot(ear: Ear) -> None:
    ear.client.send(order("a", "/bin/sleep", "1000"))
    pid = (await ear.next("started"))["pid"]
    os.kill(parent(pid), signal.SIGSTOP)
    await ear.client.close()
    assert not alive(pid)


async def test_a_keeper_never_started_can_be_closed() -> None:
    await Ear().client.close()


def test_the_keeper_loads_little() -> None:
    script = "import sys; sys.path.append(sys.argv[1]); import activator.scalers.keeper.main; print(*sys.modules)"
    root = str(Path(__file__).parents[4])
    command = [sys.executable, "-I", "-S", "-c", script, root]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert not {"asyncio", "dataclasses", "logging", "activator.scalers.base"} & set(loaded)
