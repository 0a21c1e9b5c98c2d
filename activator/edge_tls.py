"""The edge's certificates while it runs: taken over with the configuration, and anew when their files change."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from activator.settings.tls_checks import load_pair
from router.tls import Certificate, CertificateError, Certificates, upstream_context

if TYPE_CHECKING:
    from activator.settings.schema import Settings, Tls


class EdgeTls:
    """Keeps `certificates`, which a listener serves, up to date. Whatever cannot be read changes nothing."""

    def __init__(self) -> None:
        self.certificates = Certificates()
        self._loaded: dict[Tls, Certificate] = {}

    def take(self, settings: Settings) -> None:
        """Serve by the certificates that `settings` name. CertificateError when one cannot be used; then all stays."""
        fresh = {pair: load_pair(pair) for pair in settings.tls}
        upstream_context.cache_clear()
        if fresh:
            self._serve(fresh)

    def renew(self) -> None:
        """Read the files again that are in use, one by one: a configuration that is refused must not keep a certificate
        from being renewed."""
        for pair in list(self._loaded):
            with suppress(CertificateError):
                self._loaded[pair] = load_pair(pair)
        self._serve(self._loaded)

    def expiries(self) -> dict[str, float]:
        """Return when each certificate in use expires, by its file, in Unix seconds."""
        return {str(pair.certificate): certificate.not_after for pair, certificate in self._loaded.items()}

    def _serve(self, loaded: dict[Tls, Certificate]) -> None:
        self._loaded = loaded
        self.certificates.replace(tuple(loaded.values()))
