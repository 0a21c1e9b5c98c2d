"""A watch that survives: list, watch from there on, and begin again when the API server has forgotten where we were.

What Kubernetes' clients call a reflector. The API server may be away for as long as it likes: the store keeps what was
last known, says so, and is brought up to date within seconds of its return.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING, Any, TypeGuard

from activator.kube.errors import FORBIDDEN, GONE, NOT_FOUND, ApiError, UnreachableError
from activator.kube.resources import version_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from activator.kube.client import Client
    from activator.kube.resources import Object, Resource
    from activator.kube.store import Store

LASTING = 60.0
PAGE = 100  # objects of a list that are read at once, in which time nothing else is done
FIRST_WAIT = 0.1
LAST_WAIT = 4.0
DENIED_WAIT = 10.0
DOUBLINGS = 10
SHORT = 1.0  # a watch that ends sooner without a word is followed by a pause, lest it is asked for without end


class Reflector:
    """Keeps `store` like a collection of the API server. `query` may select by label or field; `jitter` gives numbers
    from 0 to 1."""

    def __init__(
        self,
        client: Client,
        resource: Resource,
        store: Store,
        query: Mapping[str, str] | None = None,
        *,
        lasting: float = LASTING,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.store = store
        self.resource = resource
        self._client = client
        self._query = dict(query or {})
        self._lasting = lasting
        self._jitter = jitter
        self._version = ""
        self._streaks: Counter[bool] = Counter()  # of failures since the last success: refusals, and others
        self._expired = False

    async def run(self) -> None:
        """List and watch until cancelled."""
        while True:
            try:
                if await self._once():
                    self._well()
                else:
                    self._streaks[False] += 1
                    await asyncio.sleep(self._pause())
            except (ApiError, UnreachableError) as error:
                await asyncio.sleep(self._failed(error))

    async def _once(self) -> bool:
        """Go on with the watch for as long as it lasts, after a list where that is needed; tell whether it was any
        good."""
        if not self._version:
            await self._list()
        loop = asyncio.get_running_loop()
        begun, heard = loop.time(), False
        lasting = self._lasting * (0.75 + self._jitter() / 4)
        query = {**self._query, "resourceVersion": self._version}
        async with self._client.watch(self.resource, query, lasting) as events:
            self.store.state()
            async for event in events:
                self._take(event)
                self._well()
                heard = True
        return heard or loop.time() - begun >= min(SHORT, self._lasting / 2)

    async def _list(self) -> None:
        items: list[Object] = []
        query, more = {**self._query, "limit": str(PAGE)}, True
        while more:
            found = await self._client.list(self.resource, query)
            listed = found.get("items")
            page = listed if isinstance(listed, list) else []
            if not _is_object(found) or not all(_is_object(item, named=True) for item in page):
                raise UnreachableError("a list of what is no object")
            items += page
            query["continue"] = str(found["metadata"].get("continue") or "")
            more = bool(query["continue"])
        self.store.replace(items)
        self._version = version_of(found)

    def _take(self, event: Mapping[str, Any]) -> None:
        kind, item = event.get("type"), event.get("object")
        if kind == "ERROR" and isinstance(item, dict):
            raise ApiError.of_status(item)
        if not _is_object(item, named=kind != "BOOKMARK"):
            self._version = ""
            raise UnreachableError("an event without an object")
        if kind == "DELETED":
            self.store.remove(item)
        elif kind in {"ADDED", "MODIFIED"}:
            self.store.put(item)
        self._version = version_of(item) or self._version

    def _failed(self, error: ApiError | UnreachableError) -> float:
        """Note a failure; return the seconds until the next attempt."""
        if isinstance(error, ApiError) and error.status == GONE:
            self._version = ""
            if not self._expired:  # else a list that is out of date at once would be asked for without end
                self._expired = True
                return 0.0
        refused = isinstance(error, ApiError) and error.status in {FORBIDDEN, NOT_FOUND}
        self._streaks[refused] += 1
        self.store.state(trouble=str(error), refused=refused)
        if isinstance(error, ApiError):
            self._version = ""
        return max(self._pause(refused=refused), error.retry_after if isinstance(error, ApiError) else 0.0)

    def _well(self) -> None:
        self._streaks.clear()
        self._expired = False

    def _pause(self, *, refused: bool = False) -> float:
        """Return the seconds to wait after as many failures of a kind, with half of it up to chance. A refusal is not
        told from an outage before it: an API server that has just started forbids all until it knows the roles."""
        most = DENIED_WAIT if refused else LAST_WAIT
        longest = min(FIRST_WAIT * 2.0 ** min(self._streaks[refused] - 1, DOUBLINGS), most)
        return longest * (0.5 + self._jitter() / 2)


def _is_object(item: Any, *, named: bool = False) -> TypeGuard[Object]:
    """Tell whether something has the metadata that an object has, or a list."""
    metadata = item.get("metadata") if isinstance(item, dict) else None
    return isinstance(metadata, dict) and (not named or isinstance(metadata.get("name"), str))
