"""Where the configuration is: in a file, in the environment, or in a ConfigMap that is read through the API.

The file may be a mounted ConfigMap, which follows a change within a minute or so; the ConfigMap itself is watched and
followed at once, and needs no volume. What is in the environment stays as it is until a restart.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from activator.kube.client import connect
from activator.kube.denials import Denials
from activator.kube.errors import TOO_MANY, ApiError, UnreachableError
from activator.kube.permissions import NAME
from activator.kube.resources import CONFIG_MAPS
from activator.kube.store import Store
from activator.kube.watch import Reflector
from activator.settings.load import load, settings_of
from activator.settings.problems import Problem, SettingsError, shown
from activator.settings.source import UNREADABLE, parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from structlog.typing import FilteringBoundLogger

    from activator.kube.client import Client
    from activator.kube.resources import Object
    from activator.settings.schema import Settings
    from router.tasks import Tasks

VARIABLE = "ACTIVATOR_CONFIG"
PREFIX = "configmap/"
KEY = "config.yaml"
SERVER_ERRORS = 500
RETRY_SECONDS = 2.0


class Origin:
    """Where a configuration is. Whatever does not change by itself, and is no object of the API, is like this one.

    `files` are to be watched for it.
    """

    files: tuple[Path, ...] = ()

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def object(self) -> Object | None:
        """The object of the API that it is."""
        return None

    async def read(self) -> Settings:
        """Return the settings as they are there now. SettingsError when they cannot be used."""
        raise NotImplementedError

    def follow(self, tasks: Tasks) -> None:
        """Follow its changes from now on, until `tasks` are closed."""

    def changed(self) -> bool:
        """Tell whether there is something else than was last read, apart from `files`."""
        return False

    async def close(self) -> None:
        """Let go of it."""


class FileOrigin(Origin):
    """A file."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self.files = (path,)

    async def read(self) -> Settings:
        """Return the settings in the file."""
        return await asyncio.to_thread(load, self.files[0])


class TextOrigin(Origin):
    """A text, such as that of an environment variable. Its paths are relative to the working directory."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(name)
        self._text = text

    async def read(self) -> Settings:
        """Return the settings in the text."""
        source = parse(self._text, self.name)
        if isinstance(source.data, str):  # such as a path
            message = "must be the configuration itself; a file is named by --config"
            raise SettingsError([Problem(self.name, "", message, value=shown(source.data))])
        return settings_of(source, Path.cwd())


class ConfigMapOrigin(Origin):
    """The ConfigMap `name` in the client's namespace, under KEY. It is as it was last listed or watched."""

    def __init__(self, client: Client, name: str) -> None:
        super().__init__(PREFIX + name)
        self.store = Store()
        self._client = client
        self._map = name
        self._query = {"fieldSelector": f"metadata.name={name}"}
        self._read: str | None = None

    @property
    def object(self) -> Object | None:
        """The ConfigMap as it was last seen. (What it is, the items of a list do not say.)"""
        found = self.store.objects.get(self._map)
        return None if found is None else {"apiVersion": CONFIG_MAPS.version, "kind": "ConfigMap", **found}

    async def fetch(self) -> None:
        """Look at it now. ApiError, UnreachableError."""
        found = await self._client.list(CONFIG_MAPS, self._query)
        self.store.replace(found.get("items") or [])

    def follow(self, tasks: Tasks) -> None:
        """Watch it from now on, until `tasks` are closed."""
        tasks.spawn(Reflector(self._client, CONFIG_MAPS, self.store, self._query).run(), f"watch of {self.name}")

    async def read(self) -> Settings:
        """Return the settings in what was last seen."""
        text = self._text()
        self._read = text
        if text is None:
            what = f"has no key {KEY}" if self.object else "does not exist in this namespace"
            raise SettingsError([Problem(self.name, "", what)])
        return await asyncio.to_thread(lambda: settings_of(parse(text, self.name), Path.cwd()))

    def changed(self) -> bool:
        """Tell whether the text is another than was last read. One that is gone is no change: what was stays in
        force."""
        return self.object is not None and self._text() != self._read

    async def close(self) -> None:
        """Close its client."""
        await self._client.close()

    def _text(self) -> str | None:
        text = ((self.object or {}).get("data") or {}).get(KEY)
        return text if isinstance(text, str) else None


def place(option: str | None, default: Path, environment: Mapping[str, str] = os.environ) -> Origin | str:
    """Return where the configuration is, by the command line, else by the environment, else in `default`; a name alone
    is that of a ConfigMap."""
    if option is None and environment.get(VARIABLE):
        return TextOrigin(f"${VARIABLE}", environment[VARIABLE])
    if option is not None and option.startswith(PREFIX):
        return option.removeprefix(PREFIX) or NAME
    return FileOrigin(default if option is None else Path(option))


async def fetched(name: str, log: FilteringBoundLogger | None) -> ConfigMapOrigin:
    """Return the ConfigMap `name` of our own namespace, as soon as the API server answers; what it takes goes to `log`,
    and without one nothing is tried again. OSError when it cannot be read, or there is no way to an API server."""
    client = await connect()
    client.on_end = None if log is None else Denials(log).heard
    origin = ConfigMapOrigin(client, name)
    try:
        await _reach(origin, log)
    except BaseException:
        await origin.close()
        raise
    return origin


async def _reach(origin: ConfigMapOrigin, log: FilteringBoundLogger | None) -> None:
    while True:
        try:
            return await origin.fetch()
        except (ApiError, UnreachableError) as error:
            if log is None or _for_good(error):
                raise OSError(f"{origin.name}: {error}") from error
            log.warning("the configuration cannot be read yet", origin=origin.name, problem=str(error))
        await asyncio.sleep(RETRY_SECONDS)


def _for_good(error: ApiError | UnreachableError) -> bool:
    return isinstance(error, ApiError) and error.status < SERVER_ERRORS and error.status != TOO_MANY


async def begin(option: str | None, default: Path, log: FilteringBoundLogger | None) -> tuple[Origin, Settings]:
    """Return where the configuration is (see `place` and `fetched`), and the settings there. SettingsError, OSError."""
    where = place(option, default)
    origin = await fetched(where, log) if isinstance(where, str) else where
    try:
        return origin, await origin.read()
    except asyncio.CancelledError:
        await origin.close()
        raise
    except SettingsError as error:
        await origin.close()
        first = error.problems[0]
        if option is None and not first.path and first.message.startswith(UNREADABLE):  # `default`, which nobody named
            raise SettingsError([replace(first, message=f"{first.message}; name a file by --config")]) from None
        raise
