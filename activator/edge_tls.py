"""The edge's certificates while it runs: taken over with the configuration, and anew when their files change."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from activator.terms import Copy
from router.tls import (
    Certificate,
    CertificateError,
    Certificates,
    copy_certificate,
    load_certificate,
    upstream_contexts,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from activator.terms import Pair


class EdgeTls:
    """Keeps `certificates`, which a listener serves, up to date. Whatever cannot be read changes nothing."""

    def __init__(self) -> None:
        self.certificates = Certificates()
        self._loaded: dict[Pair, Certificate] = {}

    def take(self, pairs: Iterable[Pair]) -> None:
        """Serve by these certificates; who has others to serve meanwhile makes them `ready` before. CertificateError
        when one cannot be used; then all stays."""
        fresh = {pair: _load(pair) for pair in pairs}
        upstream_contexts.renew()
        if fresh:
            self._serve(fresh)

    def copies(self) -> tuple[Copy, ...]:
        """Return the certificates in use, for another process to serve by them."""
        return tuple(Copy(pair, *certificate.files) for pair, certificate in self._loaded.items())

    def take_copies(self, copies: Iterable[Copy]) -> None:
        """Serve by what another process has in use. OSError where that cannot be."""
        self._serve({copy.of: copy_certificate((copy.certificate, copy.key), copy.of.hosts) for copy in copies})

    async def renew(self) -> None:
        """Read the files again that are in use, one by one: a configuration that is refused must not keep a certificate
        or the CAs of replicas from being renewed."""
        upstream_contexts.renew()
        await ready(self._loaded)
        for pair in list(self._loaded):
            with suppress(CertificateError):
                self._loaded[pair] = _load(pair)
        self._serve(self._loaded)

    def expiries(self) -> dict[str, float]:
        """Return when each certificate in use expires, by its file, in Unix seconds."""
        return {pair.certificate: certificate.not_after for pair, certificate in self._loaded.items()}

    def _serve(self, loaded: dict[Pair, Certificate]) -> None:
        self._loaded = loaded
        self.certificates.replace(tuple(loaded.values()))


async def ready(pairs: Iterable[Pair]) -> None:
    """Load in a thread what has changed, so that to take it holds nobody up. What cannot be used is told only then."""
    await asyncio.to_thread(_try, tuple(pairs))


def _try(pairs: tuple[Pair, ...]) -> None:
    for pair in pairs:
        with suppress(CertificateError):
            _load(pair)


def _load(pair: Pair) -> Certificate:
    return load_certificate(Path(pair.certificate), Path(pair.key), pair.hosts)
