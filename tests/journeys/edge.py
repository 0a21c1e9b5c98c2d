"""What a journey does with a running edge: ask it as a client, look at it as an operator, change its services."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import ClientConnectionError, ClientPayloadError

from tests.journeys.daemon import PATIENCE, Daemon, Stamp

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiohttp import ClientSession

    from tests.journeys.services import Keys


@dataclass(frozen=True)
class Answer:
    """A response, read to its end. `cut` = it broke off after its head."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    cut: bool = False

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def reason(self) -> str | None:
        """Why the edge itself answered; None when a model did."""
        return self.headers.get("Activator-Reason")

    @property
    def timing(self) -> dict[str, float]:
        """Server-Timing in milliseconds."""
        found = re.findall(r"(\w+);dur=([\d.]+)", self.headers["Server-Timing"])
        return {name: float(milliseconds) for name, milliseconds in found}


class Edge:
    """A running edge with its clients."""

    def __init__(self, daemon: Daemon, session: ClientSession) -> None:
        self.daemon = daemon
        self._session = session
        self._deployed: list[str] = []

    async def request(self, host: str, target: str = "/", method: str = "GET", **options: Any) -> Answer:
        """Return the answer to one request for a host; a name without dots is below .localhost."""
        name = host if "." in host else f"{host}.localhost"
        headers = {"Host": name, **options.pop("headers", {})}
        url = f"http://{self.daemon.listen}{target}"
        async with self._session.request(method, url, headers=headers, **options) as response:
            body, cut = b"", False
            try:
                async for piece in response.content.iter_any():
                    body += piece
            except (ClientPayloadError, ClientConnectionError):
                cut = True
            return Answer(response.status, response.headers, body, cut)

    async def requests(self, host: str, *targets: str) -> list[Answer]:
        """Return the answers to several requests made at once."""
        return list(await asyncio.gather(*(self.request(host, target) for target in targets)))

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a bare connection."""
        host, _, port = self.daemon.listen.rpartition(":")
        return await asyncio.open_connection(host, int(port))

    async def admin(self, path: str) -> Any:
        """Return what the admin listener tells, as JSON if it is."""
        async with self._session.get(f"http://{self.daemon.admin}{path}") as response:
            assert response.status == 200, await response.text()
            text = await response.text()
            return json.loads(text) if response.content_type == "application/json" else text

    async def look(self, service: str, revision: int = 0) -> Any:
        """Return the admin view of a service's revision."""
        return (await self.admin(f"/v1/services/{service}"))["revisions"][revision]

    async def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's samples with these labels, not as of a page that the edge kept."""
        asked, made = time.time(), 0.0
        while made < asked:
            lines = (await self.admin("/metrics")).splitlines()
            made = _sum(lines, "activator_metrics_made_at_seconds", {})
        return _sum(lines, name, labels)

    async def deploy(self, *services: Keys) -> None:
        """Add services, or replace those of the same name, by a reload."""
        names = [service["name"] for service in services]
        kept = [service for service in self.daemon.config["services"] if service["name"] not in names]
        self._deployed += names
        await self.reload({**self.daemon.config, "services": [*kept, *services]})

    async def undeploy(self) -> None:
        """Remove what was deployed."""
        kept = [service for service in self.daemon.config["services"] if service["name"] not in self._deployed]
        await self.reload({**self.daemon.config, "services": kept})

    async def reload(self, config: Keys) -> None:
        """Write a configuration, and return once it is in force."""
        marker = self.daemon.write(config)
        refused = len(self.logs("configuration refused"))
        self.daemon.signal(signal.SIGHUP)

        async def in_force() -> bool | None:
            assert len(self.logs("configuration refused")) == refused, self.logs("configuration refused")
            services = (await self.admin("/v1/services"))["services"]
            return marker in {service["name"] for service in services} or None

        await self.eventually(in_force)

    async def ready(self, service: str, count: int, revision: int = 0) -> list[str]:
        """Wait until a revision has exactly `count` replicas, all of them ready; return their names."""

        async def replicas() -> list[str] | None:
            phases = {each["name"]: each["phase"] for each in (await self.look(service, revision))["replicas"]}
            return list(phases) if [*phases.values()] == ["ready"] * count else None

        names: list[str] = await self.eventually(replicas)
        return names

    async def held(self, service: str, count: int) -> None:
        """Wait until `count` requests are held."""

        async def reached() -> bool | None:
            return (await self.look(service))["held"] == count or None

        await self.eventually(reached)

    async def eventually(self, look: Callable[[], Awaitable[Any]]) -> Any:
        """Wait until `look` returns anything but None; return that."""
        async with asyncio.timeout(PATIENCE):
            while (found := await look()) is None:  # noqa: ASYNC110 - the world sends no event
                await asyncio.sleep(0.02)
        return found

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until `condition` holds."""
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110 - the world sends no event
                await asyncio.sleep(0.01)

    def open(self, gate: str) -> None:
        """Let models go on that wait at a gate."""
        self.daemon.gate(gate).touch()

    def shut(self, gate: str) -> None:
        """Let them wait there again."""
        self.daemon.gate(gate).unlink()

    def stamps(self, revision: str, event: str = "request") -> list[Stamp]:
        """Return what the models of a revision logged."""
        return self.daemon.stamps(revision, event)

    def logs(self, event: str) -> list[dict[str, Any]]:
        """Return the edge's log lines about `event`."""
        return self.daemon.logs(event)


def _sum(lines: list[str], name: str, labels: dict[str, str]) -> float:
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    found = [line for line in lines if line.startswith((f"{name}{{", f"{name} "))]
    return sum(float(line.split()[-1]) for line in found if all(pair in line for pair in wanted))
