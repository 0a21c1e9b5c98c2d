"""Tells when Deployments or InferenceServices have changed in what is read of them, and lets a burst pass first.

Most changes of a Deployment are of its status: replicas come and go, and nothing of that is ours.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from activator.catalog.deployments import fingerprint, is_ours
from activator.catalog.kserve.objects import made_of, read_of

if TYPE_CHECKING:
    from activator.kube.resources import Object
    from activator.kube.store import Store

SETTLE = 0.05


class Changes:
    """Follows the Deployments in `store`, and the InferenceServices in `services`, if they are wanted."""

    def __init__(self, store: Store, settle: float = SETTLE, services: Store | None = None) -> None:
        self._store = store
        self._services = services
        self._settle = settle
        self._changed = asyncio.Event()
        self._known = asyncio.Event()
        store.subscribe(self._see)
        store.on_state(self._see_state)
        if services is not None:
            services.subscribe(self._see_service)
            services.on_state(self._see_state)
        self._see_state()

    async def known(self) -> None:
        """Return once they have been listed. InferenceServices that cannot be are not waited for."""
        await self._known.wait()

    def present(self) -> list[Object]:
        """Return the Deployments that are ours as they are now, and take note that they have been read."""
        self._changed.clear()
        return [each for each in self._store.objects.values() if is_ours(each)]

    async def wait(self) -> None:
        """Return when there is something to read again, `settle` seconds after the first change."""
        await self._changed.wait()
        await asyncio.sleep(self._settle)

    def again(self) -> None:
        """Have all read again: what was good of those with a mistake is known now."""
        self._changed.set()

    def _see(self, old: Object | None, new: Object | None) -> None:
        if _seen(old) != _seen(new) or (self._services is not None and _made(old) != _made(new)):
            self._changed.set()

    def _see_service(self, old: Object | None, new: Object | None) -> None:
        if old is None or new is None or read_of(old) != read_of(new):
            self._changed.set()

    def _see_state(self) -> None:
        if self._store.synced and (self._services is None or self._services.settled):
            self._known.set()


def _made(deployment: Object | None) -> object:
    return None if deployment is None else made_of(deployment)


def _seen(deployment: Object | None) -> object:
    return fingerprint(deployment) if deployment is not None and is_ours(deployment) else None
