"""Certificates for tests, good for a century: `ca` signed all others. `a` and `renewed` are for a.example and below it,
`b` for b.example, `local` for localhost and 127.0.0.1; `expired` (in 2020), `nameless` and `client` are of no use to a
server. `encrypted.key` is that of `a` with a password. None of the keys is a secret."""

from __future__ import annotations

import ssl
from pathlib import Path

FILES = Path(__file__).parent / "data" / "tls"
CA = FILES / "ca.pem"


def pair(name: str) -> tuple[Path, Path]:
    """Return the files of a certificate and its key."""
    return FILES / f"{name}.pem", FILES / f"{name}.key"


def server_context(name: str) -> ssl.SSLContext:
    """Return how a server shows a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair(name))
    return context


def client_context(*, verify: bool = True) -> ssl.SSLContext:
    """Return how a client connects that trusts the test CA, or takes anything."""
    context = ssl.create_default_context(cafile=CA)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def serial(connection: ssl.SSLObject) -> bytes:
    """Return which certificate a connection was shown."""
    return connection.getpeercert(binary_form=True) or b""


def shown(name: str) -> bytes:
    """Return what `serial` gives for a certificate."""
    return ssl.PEM_cert_to_DER_cert(pair(name)[0].read_text())
