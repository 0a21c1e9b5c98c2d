"""An edge that runs as long as a block lasts: started by `activator serve`, asked over HTTP, ended with its replicas.

It keeps its state in a temporary directory, and takes other ports where its own are taken, so that no two runs meet.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sys
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from textwrap import shorten
from typing import IO, TYPE_CHECKING, Any

import aiohttp
import yaml

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).resolve().parents[1]
ACTIVATOR = Path(sys.executable).with_name("activator")
START_SECONDS = 20.0
ANSWER_SECONDS = 30.0
END_SECONDS = 10.0
LONGEST_LINE = 500


class FailedError(Exception):
    """What went wrong, in a sentence for whoever watches."""


@dataclass(frozen=True)
class Answer:
    """What a model answered, from which revision; `held` and `upstream` are seconds from the Server-Timing header."""

    data: Any
    revision: str
    held: float
    upstream: float


class Edge:
    """An edge that runs. `listen` and `admin` are host:port."""

    def __init__(self, listen: str, admin: str, session: aiohttp.ClientSession) -> None:
        self.listen = listen
        self.port = listen.rpartition(":")[2]
        self.admin = admin
        self._session = session

    @asynccontextmanager
    async def open(self, host: str, path: str, body: object = None) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request (POST if it has a body) and yield the response, which is a 200. FailedError otherwise."""
        method = "GET" if body is None else "POST"
        url = f"http://{self.listen}{path}"
        async with self._session.request(method, url, json=body, headers={"Host": host}) as response:
            if response.status != 200:
                raise FailedError(
                    f"{host} answered {response.status} {response.reason}: {(await response.text()).strip()}"
                )
            yield response

    async def ask(self, host: str, path: str, body: object = None) -> Answer:
        """Return the answer to a request. FailedError if it is not a 200."""
        async with self.open(host, path, body) as response:
            held, upstream = timing(response)
            return Answer(await response.json(), response.headers["Activator-Revision"], held, upstream)

    async def told(self, path: str) -> Any:
        """Return what the admin listener tells."""
        async with self._session.get(f"http://{self.admin}{path}", raise_for_status=True) as response:
            return await response.json()

    async def revisions(self) -> list[dict[str, Any]]:
        """Return all revisions as they are now."""
        services = (await self.told("/v1/services"))["services"]
        return [revision for service in services for revision in service["revisions"]]


def timing(response: aiohttp.ClientResponse) -> tuple[float, float]:
    """Return how long a request was held, and how long the replica then took to begin its answer, in seconds."""
    held, upstream = re.findall(r"dur=([\d.]+)", response.headers["Server-Timing"])
    return float(held) / 1000, float(upstream) / 1000


def read(file: Path) -> dict[str, Any]:
    """Return the YAML in `file`."""
    data: dict[str, Any] = yaml.safe_load(file.read_text())
    return data


async def activator(*arguments: str) -> str:
    """Return what a command of `activator` prints. FailedError if it fails."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(ACTIVATOR, *arguments, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
    output = (await process.communicate())[0].decode()
    if process.returncode:
        raise FailedError(f"activator {' '.join(arguments)} ended with {process.returncode}: {output}")
    return output


@asynccontextmanager
async def running(file: Path) -> AsyncIterator[Edge]:
    """Run an edge with the configuration `file` until the block ends. FailedError with its last words when it fails."""
    with TemporaryDirectory(prefix="activator-") as directory, TemporaryFile() as log:
        config, moved = _moved(file, directory)
        process = await asyncio.create_subprocess_exec(ACTIVATOR, "serve", "--config", moved, stderr=log)
        try:
            timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
            async with aiohttp.ClientSession(timeout=timeout) as session:
                edge = Edge(config["listen"], config["admin"], session)
                await _until_ready(edge, process, log)
                yield edge
        except aiohttp.ClientError as error:
            raise FailedError(f"the edge cannot be asked: {error}.\n{_last_words(log)}") from error
        finally:
            await _end(process)


def _moved(file: Path, directory: str) -> tuple[dict[str, Any], Path]:
    """Return the configuration in `file`, and where it was written anew: for an edge that keeps its state in
    `directory` and listens where nobody else does."""
    config = read(file)
    for service in config["services"]:
        for revision in service["revisions"]:
            revision["directory"] = str(ROOT)
    config |= {"state-dir": directory, "listen": _free(config["listen"]), "admin": _free(config["admin"])}
    moved = Path(directory, file.name)
    moved.write_text(json.dumps(config))
    return config, moved


def _free(address: str) -> str:
    """Return `address`, or the same host with any free port if it is taken."""
    host, _, wanted = address.rpartition(":")
    for port in (int(wanted), 0):
        with socket.socket() as trial, suppress(OSError):
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((host, port))
            return f"{host}:{trial.getsockname()[1]}"
    raise FailedError(f"{host} has no free port")


async def _until_ready(edge: Edge, process: asyncio.subprocess.Process, log: IO[bytes]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(START_SECONDS):
            while process.returncode is None:
                with suppress(aiohttp.ClientError):
                    await edge.told("/readyz")
                    return
                await asyncio.sleep(0.05)
    raise FailedError(f"the edge did not come up.\n{_last_words(log)}")


def _last_words(log: IO[bytes]) -> str:
    """Return the last lines that an edge has said."""
    log.seek(0)
    lines = log.read().decode(errors="replace").splitlines()
    return "\n".join(["It said last:", *(shorten(line, LONGEST_LINE) for line in lines[-3:])])


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the edge; it ends its replicas. One that is killed leaves none behind either."""
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(END_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
