"""The objects of one watch as they are now, and who wants to hear of changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from activator.kube.resources import Object, name_of, uid_of, version_of

if TYPE_CHECKING:
    from collections.abc import Iterable

Listener = Callable[[Object | None, Object | None], None]
"""Called with an object as it was and as it is; None = it was, or is, not there."""


class Store:
    """Objects by name, of one namespace or of a kind without namespaces. Objects are never changed in place.

    `synced` = it has once been what the API server had. `trouble` says why it may be out of date, "" when it is not.
    `refused` = the API server does not let us look, or has no such kind.
    """

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.synced = False
        self.trouble = ""
        self.refused = False
        self._listeners: list[Listener] = []
        self._on_state: list[Callable[[], None]] = []

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` with every change, and at once with what is there."""
        self._listeners.append(listener)
        for item in list(self.objects.values()):
            listener(None, item)

    def on_state(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever `synced` or `trouble` changes."""
        self._on_state.append(listener)

    def replace(self, items: Iterable[Object]) -> None:
        """Take a whole list, as the truth: a restored API server may count from an earlier version. Only differences
        are told."""
        present = {name_of(item): item for item in items}
        for name in self.objects.keys() - present.keys():
            self.remove(self.objects[name])
        for name, item in present.items():
            if name not in self.objects or version_of(item) != version_of(self.objects[name]):
                self._put(item)
        self.state(synced=True)

    def put(self, item: Object) -> None:
        """Take an object that is new or has changed. One that is no newer than what is known is passed over."""
        old = self.objects.get(name_of(item))
        if old is None or uid_of(old) != uid_of(item) or newer(version_of(item), version_of(old)):
            self._put(item)

    def _put(self, item: Object) -> None:
        old = self.objects.get(name_of(item))
        if old is not None and uid_of(old) != uid_of(item):
            self.remove(old)
            old = None
        self.objects[name_of(item)] = item
        self._tell(old, item)

    def remove(self, item: Object) -> None:
        """Forget an object, unless another one has its name by now."""
        old = self.objects.get(name_of(item))
        if old is not None and uid_of(old) == uid_of(item):
            del self.objects[name_of(item)]
            self._tell(old, None)

    @property
    def settled(self) -> bool:
        """Whether there is nothing to wait for: it was listed once, or cannot be."""
        return self.synced or self.refused

    def state(self, *, synced: bool | None = None, trouble: str = "", refused: bool = False) -> None:
        """Say whether the store can be trusted. `synced` None = as before."""
        before = self.synced, self.trouble, self.refused
        self.synced = self.synced if synced is None else synced
        self.trouble, self.refused = trouble, refused
        if before != (self.synced, self.trouble, self.refused):
            for listener in self._on_state:
                listener()

    def _tell(self, old: Object | None, new: Object | None) -> None:
        for listener in self._listeners:
            listener(old, new)


def newer(version: str, than: str) -> bool:
    """Tell whether a resourceVersion is a later one: they count up (KEP-5504), and are else only equal or not."""
    if version.isdigit() and than.isdigit():
        return int(version) > int(than)
    return version != than
