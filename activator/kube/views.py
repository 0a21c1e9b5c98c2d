"""The watches that an edge has, shared by all who need them: one per kind of object, whatever the services."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from activator.kube.errors import ApiError, UnreachableError
from activator.kube.resources import DEPLOYMENTS, NODES, PODS
from activator.kube.store import Store
from activator.kube.watch import Reflector

if TYPE_CHECKING:
    from activator.kube.client import Client
    from router.tasks import Tasks

WARM = 20.0


class Views:
    """Deployments and pods of the client's namespace, and nodes if they are wanted and may be read."""

    def __init__(self, client: Client, *, nodes: bool = True) -> None:
        self.client = client
        self.deployments = Store()
        self.pods = Store()
        self.nodes = Store()
        self.reflectors = [
            Reflector(client, DEPLOYMENTS, self.deployments),
            Reflector(client, PODS, self.pods),
            *([Reflector(client, NODES, self.nodes)] if nodes else []),
        ]

    @property
    def trouble(self) -> str:
        """Why Deployments or pods may be out of date, "" when they are not."""
        return self.deployments.trouble or self.pods.trouble

    def up(self) -> dict[str, bool]:
        """Tell of each watched kind of objects whether it is up to date."""
        return {each.resource.plural: each.store.synced and not each.store.trouble for each in self.reflectors}

    def start(self, tasks: Tasks) -> None:
        """Watch from now on, and keep a connection warm, until `tasks` are closed."""
        for reflector in self.reflectors:
            tasks.spawn(reflector.run(), f"watch of {reflector.resource.plural}")
        tasks.spawn(self._keep_warm(), "warm connection")

    async def synced(self, within: float) -> bool:
        """Wait until Deployments and pods were listed once, for at most `within` seconds; tell whether they were."""
        heard = asyncio.Event()
        needed = (self.deployments, self.pods)
        for store in needed:
            store.on_state(heard.set)
        try:
            async with asyncio.timeout(within):
                while not all(store.synced for store in needed):
                    heard.clear()
                    await heard.wait()
        except TimeoutError:
            return False
        return True

    async def _keep_warm(self) -> None:
        while True:
            with contextlib.suppress(ApiError, UnreachableError):  # the watches tell
                await self.client.ping()
            await asyncio.sleep(WARM)
