"""The page of metrics, written a piece at a time: with some hundred revisions it takes a quarter of a second, in which
requests must not stand still."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from prometheus_client import generate_latest
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from activator.metrics import Metrics
    from router.ports import Clock

SHARE = 0.1  # of the time, at most, goes into pages


class Page:
    """Prometheus's text format of what `metrics` tell. `used` counts the seconds of processor time: what is written
    while the process stands still costs nobody anything."""

    def __init__(self, metrics: Metrics, clock: Clock, used: Clock = time.thread_time) -> None:
        self._metrics = metrics
        self._clock = clock
        self._used = used
        self._text = b""
        self._until = 0.0  # clock seconds
        self._writing = asyncio.Lock()

    async def latest(self) -> bytes:
        """Return the page, made anew only so often that a crowd of scrapers cannot hold up requests."""
        async with self._writing:
            if self._clock() >= self._until:
                await self._write()
            return self._text

    async def _write(self) -> None:
        texts, last, spent, began = list[bytes](), "", 0.0, self._used()
        for piece in self._metrics.collect():
            text = generate_latest(_Only(piece))
            texts.append(text.split(b"\n", 2)[2] if piece.name == last else text)  # one HELP and TYPE per family
            last = piece.name
            spent += self._used() - began
            await asyncio.sleep(0)
            began = self._used()
        self._text = b"".join(texts)
        self._until = self._clock() + spent / SHARE


class _Only(Collector):
    def __init__(self, piece: Metric) -> None:
        self._piece = piece

    def collect(self) -> Iterator[Metric]:
        yield self._piece
