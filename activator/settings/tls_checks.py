"""Files of TLS must be what they are said to be before they are used: they are read when the configuration is.

What cannot be used is a problem; what clients will not like (an expired certificate, a host without one) is a warning,
since refusing the whole file over it would only make things worse.
"""

from __future__ import annotations

import ssl
import stat
from typing import TYPE_CHECKING

from activator.settings.problems import Finding, shown
from router.tls import Certificate, CertificateError, load_certificate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from activator.settings.problems import Location
    from activator.settings.running import Process
    from activator.settings.schema import Settings, Tls

DAY = 86400.0
SOON = 7 * DAY


def check_tls(settings: Settings) -> Iterator[Finding]:
    """Yield certificates, keys and CA files that cannot be used."""
    for index, pair in enumerate(settings.tls):
        if set(pair.required) <= pair.model_fields_set:
            yield from _pair(pair, ("tls", index))
    for at, layer in _layers(settings):
        if layer.upstream_ca is not None:
            yield from _ca(layer.upstream_ca, (*at, "upstream-ca"))


def files_of(settings: Settings) -> tuple[Path, ...]:
    """Return the files of TLS, which are read anew when they change."""
    pairs = [file for pair in settings.tls for file in (pair.certificate, pair.key)]
    return (*pairs, *(layer.upstream_ca for _, layer in _layers(settings) if layer.upstream_ca is not None))


def load_pair(pair: Tls) -> Certificate:
    """Return the certificate that a file names. CertificateError when it cannot be used."""
    return load_certificate(pair.certificate, pair.key, pair.hosts)


def warnings(settings: Settings, now: float) -> list[str]:
    """Return in sentences what clients will not like at `now` (seconds since 1970)."""
    certificates = [(pair.certificate, load_pair(pair)) for pair in settings.tls]
    told = [text for file, certificate in certificates if (text := _age(file, certificate, now))]
    hosts = [host for service in settings.services for host in service.hosts] if certificates else []
    bare = [host for host in hosts if not any(each.covers(host.strip("[]")) for _, each in certificates)]
    return [*told, *(f"no certificate is for the host {host}: clients that ask for it are refused" for host in bare)]


def _age(file: Path, certificate: Certificate, now: float) -> str:
    if now < certificate.not_before:
        return f"the certificate {file} is not valid yet"
    if now >= certificate.not_after:
        return f"the certificate {file} has expired"
    left = certificate.not_after - now
    return f"the certificate {file} expires in {left / DAY:.1f} days" if left < SOON else ""


def _pair(pair: Tls, at: Location) -> Iterator[Finding]:
    try:
        load_pair(pair)
    except CertificateError as error:
        value = "" if error.part == "hosts" else shown(str(getattr(pair, error.part)))
        yield Finding((*at, error.part), error.message, value, needs=((*at, "certificate"), (*at, "key")))


def _ca(file: Path, at: Location) -> Iterator[Finding]:
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            yield Finding(at, "is no regular file; name one with CA certificates in PEM form", shown(str(file)))
            return
        ssl.create_default_context(cafile=file)
    except ssl.SSLError:
        yield Finding(at, "has no certificates in PEM form", shown(str(file)))
    except OSError as error:
        yield Finding(at, f"cannot be read: {error.strerror}", shown(str(file)))


def _layers(settings: Settings) -> Iterator[tuple[Location, Process]]:
    yield ("process",), settings.process
    for index, service in enumerate(settings.services):
        at = ("services", index)
        yield (*at, "process"), service.process
        for number, revision in enumerate(service.revisions):
            yield (*at, "revisions", number, "process"), revision.process
