"""The watches that an edge has, shared by all who need them: one per kind of object, whatever the services."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from activator.kube.errors import ApiError, UnreachableError
from activator.kube.resources import DEPLOYMENTS, INFERENCE_SERVICES, NODES, PODS
from activator.kube.store import Store
from activator.kube.watch import Reflector

if TYPE_CHECKING:
    from activator.kube.client import Client
    from router.tasks import Tasks

WARM = 20.0


class Views:
    """Deployments and pods of the client's namespace; nodes, and InferenceServices (`services`), if they are wanted
    and may be read."""

    def __init__(self, client: Client, *, nodes: bool = True, services: bool = False) -> None:
        self.client = client
        self.deployments = Store()
        self.pods = Store()
        self.nodes = Store()
        self.services = Store() if services else None
        self.reflectors = [
            Reflector(client, DEPLOYMENTS, self.deployments),
            Reflector(client, PODS, self.pods),
            *([Reflector(client, NODES, self.nodes)] if nodes else []),
            *([Reflector(client, INFERENCE_SERVICES, self.services)] if self.services is not None else []),
        ]

    @property
    def trouble(self) -> str:
        """Why Deployments or pods may be out of date, "" when they are not."""
        return self.deployments.trouble or self.pods.trouble

    @property
    def known(self) -> bool:
        """Whether all that models are made of was listed once; what cannot be listed is not waited for."""
        return self.deployments.synced and (self.services is None or self.services.settled)

    def up(self) -> dict[str, bool]:
        """Tell of each watched kind of objects whether it is up to date."""
        return {each.resource.plural: each.store.synced and not each.store.trouble for each in self.reflectors}

    def start(self, tasks: Tasks) -> None:
        """Watch from now on, and keep a connection warm, until `tasks` are closed."""
        for reflector in self.reflectors:
            tasks.spawn(reflector.run(), f"watch of {reflector.resource.plural}")
        tasks.spawn(self._keep_warm(), "warm connection")

    async def synced(self, within: float) -> bool:
        """Wait until what is needed was listed once, for at most `within` seconds; tell whether they were."""
        heard = asyncio.Event()
        for store in (self.deployments, self.pods, *([self.services] if self.services is not None else [])):
            store.on_state(heard.set)
        try:
            async with asyncio.timeout(within):
                while not (self.known and self.pods.synced):
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
