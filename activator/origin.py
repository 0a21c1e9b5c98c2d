"""Where the configuration is: in a file, in the environment, or in a ConfigMap that is read through the API.

The file may be a mounted ConfigMap, which follows a change within a minute or so; the ConfigMap itself is watched and
followed at once, and needs no volume. What is in the environment stays as it is until a restart.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from activator.kube.permissions import NAME
from activator.kube.resources import CONFIG_MAPS
from activator.kube.store import Store
from activator.kube.watch import Reflector
from activator.settings.load import load, settings_of
from activator.settings.problems import Problem, SettingsError
from activator.settings.source import parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from activator.kube.client import Client
    from activator.kube.resources import Object
    from activator.settings.schema import Settings
    from router.tasks import Tasks

VARIABLE = "ACTIVATOR_CONFIG"
PREFIX = "configmap/"
KEY = "config.yaml"


class Origin(Protocol):
    """Where a configuration is. `files` are to be watched for it."""

    name: str
    files: tuple[Path, ...]

    async def read(self) -> Settings:
        """Return the settings as they are there now. SettingsError when they cannot be used."""

    def changed(self) -> bool:
        """Tell whether there is something else than was last read, apart from `files`."""


class FileOrigin:
    """A file."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self.files: tuple[Path, ...] = (path,)

    async def read(self) -> Settings:
        """See Origin."""
        return await asyncio.to_thread(load, self.files[0])

    def changed(self) -> bool:
        """See Origin."""
        return False


class TextOrigin:
    """A text, such as that of an environment variable. Its paths are relative to the working directory."""

    files: tuple[Path, ...] = ()

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self._text = text

    async def read(self) -> Settings:
        """See Origin."""
        return settings_of(parse(self._text, self.name), Path.cwd())

    def changed(self) -> bool:
        """See Origin."""
        return False


class ConfigMapOrigin:
    """The ConfigMap `name` in the client's namespace, under KEY. It is as it was last listed or watched."""

    files: tuple[Path, ...] = ()

    def __init__(self, client: Client, name: str) -> None:
        self.name = PREFIX + name
        self.store = Store()
        self._client = client
        self._map = name
        self._query = {"fieldSelector": f"metadata.name={name}"}
        self._read: str | None = None

    @property
    def object(self) -> Object | None:
        """The ConfigMap as it was last seen."""
        return self.store.objects.get(self._map)

    async def fetch(self) -> None:
        """Look at it now. ApiError, UnreachableError."""
        found = await self._client.list(CONFIG_MAPS, self._query)
        self.store.replace(found.get("items") or [])

    def follow(self, tasks: Tasks) -> None:
        """Watch it from now on, until `tasks` are closed."""
        tasks.spawn(Reflector(self._client, CONFIG_MAPS, self.store, self._query).run(), f"watch of {self.name}")

    async def read(self) -> Settings:
        """See Origin."""
        text = self._text()
        self._read = text
        if text is None:
            what = f"has no key {KEY}" if self.object else "does not exist in this namespace"
            raise SettingsError([Problem(self.name, "", what)])
        return await asyncio.to_thread(lambda: settings_of(parse(text, self.name), Path.cwd()))

    def changed(self) -> bool:
        """See Origin. One that is gone is no change: what was last read stays in force."""
        return self.object is not None and self._text() != self._read

    def _text(self) -> str | None:
        text = ((self.object or {}).get("data") or {}).get(KEY)
        return text if isinstance(text, str) else None


def place(
    option: str | None, default: Path, environment: Mapping[str, str] = os.environ
) -> str | FileOrigin | TextOrigin:
    """Return where the configuration is, by the command line, else by the environment, else in `default`; a name alone
    is that of a ConfigMap."""
    if option is None and environment.get(VARIABLE):
        return TextOrigin(f"${VARIABLE}", environment[VARIABLE])
    if option is not None and option.startswith(PREFIX):
        return option.removeprefix(PREFIX) or NAME
    return FileOrigin(Path(option) if option is not None else default)
