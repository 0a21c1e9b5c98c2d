"""The demo from outside, as whoever runs `make demo` sees it: what it prints, how it ends, what it leaves behind."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from activator.settings.load import load

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "examples" / "demo.py"
CONFIG = ROOT / "config"
TITLES = (
    "1. Two models, and nothing runs",
    "2. The first request wakes its model",
    "3. The second one finds it awake",
    "4. 20 requests at once",
    "5. 90 % of the requests go to v1, 10 % to v2",
    "6. Tokens stream through a cold start",
    "7. Why are there as many replicas as there are?",
    "8. Silence takes them back to zero",
    "9. What ran is what is paid for",
)


@asynccontextmanager
async def demo(directory: Path, config: dict[str, Any]) -> AsyncIterator[asyncio.subprocess.Process]:
    file = directory / "demo.yaml"
    file.write_text(yaml.safe_dump(config))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, DEMO, file, stdout=pipe, stderr=pipe)
    try:
        async with asyncio.timeout(150):
            yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await process.communicate()


async def rest(process: asyncio.subprocess.Process) -> tuple[int | None, str, str]:
    output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


def listening(output: str) -> bool:
    """Tell whether anything listens where the demo said its edge does."""
    found = re.search(r"edge listens on ([\d.]+):(\d+)", output)
    assert found, output
    with socket.socket() as client:
        return client.connect_ex((found[1], int(found[2]))) == 0


async def test_the_demo_goes_from_zero_to_several_replicas_and_back_and_ends_well(tmp_path: Path) -> None:
    async with demo(tmp_path, services()) as process:
        status, output, errors = await rest(process)

    assert (status, errors) == (0, "")
    places = [output.index(f"\n{title}\n") for title in TITLES]
    assert places == sorted(places)
    assert re.search(r"Held for (\d+ ms|\d\.\d s), then answered by sentiment-v\d", output)
    assert "■■" in output
    assert sum(map(int, re.findall(r"sentiment-v\d +(\d+)\n", output))) == 200
    assert "panic" in output
    assert "positive (0.1675)" in output
    assert "negative (-0.2)" in output
    assert "The last one has gone" in output
    assert not listening(output)


async def test_an_interrupted_demo_ends_its_edge_and_says_so(tmp_path: Path) -> None:
    async with demo(tmp_path, services()) as process:
        assert process.stdout is not None
        begun = (await process.stdout.readuntil(b"2. The first request")).decode()
        assert listening(begun)
        process.send_signal(signal.SIGINT)
        status, output, errors = await rest(process)

    assert (status, errors) == (130, "")
    assert "Interrupted" in output
    assert not listening(begun)


async def test_a_model_that_cannot_start_fails_the_demo_in_plain_words(tmp_path: Path) -> None:
    config = services()
    for revision in config["services"][0]["revisions"]:
        revision["command"] = ["no-such-command"]

    status, output, errors = await failing(tmp_path, config)

    assert (status, errors) == (1, "")
    assert "The demo failed: sentiment.localhost answered 503" in output
    assert "no-such-command" in output
    assert not listening(output)


async def test_a_port_that_is_taken_is_replaced_by_a_free_one(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = "{}:{}".format(*other.getsockname())
        broken = {"enable-scale-to-zero": False, "initial-scale": 1, "min-scale": 1}
        _, output, _ = await failing(tmp_path, services() | {"listen": taken, "autoscaling": broken})

    assert "The edge listens on 127.0.0.1:" in output
    assert taken not in output
    assert "The demo failed: a model that nobody has asked for has replicas" in output


async def test_an_edge_that_does_not_come_up_fails_the_demo_with_its_own_words(tmp_path: Path) -> None:
    status, output, errors = await failing(tmp_path, services() | {"scalar": "process"})

    assert (status, errors) == (1, "")
    assert "the edge did not come up" in output
    assert "scalar: unknown key" in output


def services() -> dict[str, Any]:
    """Return the demo's own configuration, with ports that no test beside this one has."""
    config: dict[str, Any] = yaml.safe_load((CONFIG / "demo.yaml").read_text())
    return config | {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0"}


async def failing(directory: Path, config: dict[str, Any]) -> tuple[int | None, str, str]:
    async with demo(directory, config) as process:
        return await rest(process)


def test_the_demo_runs_the_same_services_as_the_local_example() -> None:
    ours, local = (load(CONFIG / name).services for name in ("demo.yaml", "local.yaml"))

    for mine, theirs in zip(ours, local, strict=True):
        assert mine.model_copy(update={"revisions": theirs.revisions}) == theirs
        for one, other in zip(mine.revisions, theirs.revisions, strict=True):
            assert one.command[:2] == other.command[:2]
            assert one.model_copy(update={"command": other.command}) == other
