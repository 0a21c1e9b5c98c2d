"""Certificates of the edge, chosen by the name that a client asks for, and how replicas are connected by TLS.

The context that a listener holds never changes; what it hands out does. So a certificate is replaced without touching
the listener or a connection: whoever shakes hands next gets the new one.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import cycle, islice
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from router.stamps import stamp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from router.ports import UpstreamTls
    from router.stamps import Stamp

ALPN = ["http/1.1"]
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2; those of 1.3 are all good
NO_CHECK_TIME = ssl.VerifyFlags(0x200000)  # X509_V_FLAG_NO_CHECK_TIME
FLIGHTS = 10
MOST_CONTEXTS = 256  # for connections to replicas that are kept


class CertificateError(OSError):
    """A certificate that cannot be used. `part` says what is wrong: `certificate`, `key` or `hosts`."""

    def __init__(self, part: str, message: str) -> None:
        super().__init__(message)
        self.part = part
        self.message = message


@dataclass(frozen=True, eq=False)
class Certificate:
    """A certificate with its key. `names` are lower case, `*.` stands for one label; times are seconds since 1970;
    `files` is what was read, in PEM: the certificate and the key."""

    names: frozenset[str]
    not_before: float
    not_after: float
    context: ssl.SSLContext
    files: tuple[bytes, bytes]

    def covers(self, name: str) -> bool:
        """Tell whether the certificate is for `name` (RFC 6125 6.4.3)."""
        return name in self.names or f"*.{name.partition('.')[2]}" in self.names


def load_certificate(certificate: Path, key: Path, hosts: Sequence[str] = ()) -> Certificate:
    """Read a PEM certificate (with its chain) and key; without `hosts` it is for the names in its subjectAltName.
    CertificateError says which of the files is to blame. That takes 5 to 15 ms, and next to nothing while both files
    are as they were the last time."""
    return _load_certificate(certificate, key, tuple(hosts), (stamp(certificate), stamp(key)))


def copy_certificate(files: tuple[bytes, bytes], hosts: Sequence[str] = ()) -> Certificate:
    """Return a certificate by the `files` of one that was loaded, whatever has become of them on disk. OSError where
    there are no files in memory (Linux has them), which the TLS library reads them from."""
    with ExitStack() as stack:
        paths = []
        for data in files:
            held = stack.enter_context(os.fdopen(os.memfd_create("certificate"), "wb", buffering=0))
            held.write(data)
            paths.append(Path(f"/proc/self/fd/{held.fileno()}"))
        return _read_certificate(paths[0], paths[1], tuple(hosts))


@lru_cache(maxsize=1024)
def _load_certificate(
    certificate: Path, key: Path, hosts: tuple[str, ...], _: tuple[Stamp | None, Stamp | None]
) -> Certificate:
    return _read_certificate(certificate, key, hosts)


def _read_certificate(certificate: Path, key: Path, hosts: tuple[str, ...]) -> Certificate:
    files = (
        _check_file(certificate, "certificate", b"-----BEGIN CERTIFICATE-----"),
        _check_file(key, "key", b"PRIVATE KEY-----"),
    )
    context = _server_context()
    try:
        context.load_cert_chain(certificate, key, _no_password)
    except ssl.SSLError as error:
        raise _unusable(certificate, error) from None
    shown = _shown(context, certificate)
    found = {value.lower() for kind, value in shown.get("subjectAltName", ()) if kind in {"DNS", "IP Address"}}
    names = frozenset(hosts) or found
    if not names:
        raise CertificateError("hosts", "must be written: the certificate has no subjectAltName")
    begin, end = (ssl.cert_time_to_seconds(shown[field]) for field in ("notBefore", "notAfter"))
    return Certificate(frozenset(names), begin, end, context, files)


class Handshake(ssl.SSLObject):
    """One connection's TLS. `certificate` is what the client asked for by name, None when it gave none.

    asyncio and uvloop drop the alert that tells a client why its handshake failed, since they send what is due only
    while a handshake goes on. So a failure with an alert is first told as a wish for more data, and for good once the
    client reacts.
    """

    outgoing: ssl.MemoryBIO
    certificate: Certificate | None = None
    failure: ssl.SSLError | None = None

    def do_handshake(self) -> None:
        """Go on with the handshake. SSLWantReadError when the client has to say more, or to hear an alert."""
        if self.failure is not None:
            raise self.failure
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            self.failure = error
            if not self.outgoing.pending:
                raise
            raise ssl.SSLWantReadError from error


class Front(ssl.SSLContext):
    """A context whose connections are handshakes of the kind above."""

    sslobject_class = Handshake

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **options: Any) -> Handshake:
        """Return a connection that reads and writes memory."""
        made = super().wrap_bio(incoming, outgoing, *args, **options)
        assert isinstance(made, Handshake)  # noqa: S101 - by the class above
        made.outgoing = outgoing
        return made


class Certificates:
    """What a listener serves. A client without SNI gets the first certificate, one that asks for a name that none of
    them covers the alert `unrecognized_name` (RFC 6066 3)."""

    def __init__(self) -> None:
        self.context = _server_context(Front)
        self.context.sni_callback = self._choose  # type: ignore[assignment]  # the stub does not know the class above
        self._certificates: tuple[Certificate, ...] = ()

    def replace(self, certificates: Sequence[Certificate]) -> None:
        """Serve by these, at least one, from the next handshake on."""
        self._certificates = tuple(certificates)

    def find(self, name: str) -> Certificate | None:
        """Return the first certificate for `name`, in lower case."""
        return next((each for each in self._certificates if each.covers(name)), None)

    def misdirected(self, certificate: Certificate | None, host: str) -> bool:
        """Tell whether `host` belongs to another certificate than the one that the client was shown by its wish
        (RFC 9110 7.4)."""
        return certificate is not None and not certificate.covers(host) and self.find(host) is not None

    def _choose(self, handshake: Handshake, name: str | None, _: ssl.SSLContext) -> int | None:
        chosen = self._certificates[0] if name is None else self.find(name.lower())
        if chosen is None:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        handshake.context = chosen.context
        handshake.certificate = chosen if name is not None else None
        return None


class UpstreamContexts:
    """How to connect to replicas. A context is made in a thread, as to read the system's CAs takes 50 ms."""

    def __init__(self) -> None:
        self._made: dict[tuple[bool, str], ssl.SSLContext] = {}
        self._former: dict[tuple[bool, str], ssl.SSLContext] = {}

    async def find(self, tls: UpstreamTls) -> ssl.SSLContext:
        """Return the context for `tls`: the former one when the file of CAs cannot be used any more, OSError when it
        never could."""
        made, former, key = self._made, self._former, (tls.verify, tls.ca)
        if key not in made:
            try:
                made[key] = await asyncio.to_thread(_upstream, *key)
            except OSError:
                if key not in former:
                    raise
                return former[key]
        return made[key]

    def renew(self) -> None:
        """Look from now on whether files of CAs have changed."""
        former = {key: context for key, context in self._former.items() if key not in self._made}
        self._former = dict(islice((self._made | former).items(), MOST_CONTEXTS))
        self._made = {}  # what is being made is for those who wait for it


upstream_contexts = UpstreamContexts()
_one_at_a_time = Lock()  # who needs the same context must not make it once more


def _upstream(verify: bool, ca: str) -> ssl.SSLContext:
    trusted = ssl.get_default_verify_paths()
    files = (ca,) if ca else (trusted.cafile, trusted.capath)
    with _one_at_a_time:
        return _make_upstream(verify, ca, tuple(stamp(Path(file)) for file in files if file and verify))


@lru_cache(MOST_CONTEXTS)
def _make_upstream(verify: bool, ca: str, _: tuple[Stamp | None, ...]) -> ssl.SSLContext:
    if not verify:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context = ssl.create_default_context(cafile=ca or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(ALPN)
    return context


def _server_context(kind: type[ssl.SSLContext] = ssl.SSLContext) -> ssl.SSLContext:
    context = kind(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(ALPN)
    return context


def _check_file(path: Path, part: str, mark: bytes) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CertificateError(part, f"cannot be read: {error.strerror}") from None
    if mark not in data:
        raise CertificateError(part, f"has no {part} in PEM form")
    return data


def _no_password() -> str:
    raise CertificateError("key", "is encrypted; the edge takes keys without a password")


def _unusable(certificate: Path, error: ssl.SSLError) -> CertificateError:
    """Return which of two files it was that could not be used, as the TLS library does not say: the certificate, if it
    cannot be read by itself either."""
    if error.reason == "KEY_VALUES_MISMATCH":
        return CertificateError("key", "does not belong to the certificate")
    part = "key"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(certificate)
    except ssl.SSLError:
        part = "certificate"
    return CertificateError(part, _told(error) if error.reason else "is damaged, or not whole")


def _shown(server: ssl.SSLContext, certificate: Path) -> Mapping[str, Any]:
    """Return the certificate's fields as a client sees them, by a handshake in memory: `ssl` decodes only what a peer
    has shown. CertificateError when it is not for servers."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags = ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN | NO_CHECK_TIME
    client.load_verify_locations(certificate)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    seen = client.wrap_bio(back, there)
    try:
        for end in islice(cycle((seen, server.wrap_bio(there, back, server_side=True))), FLIGHTS):
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    except ssl.SSLError as error:
        raise CertificateError("certificate", f"cannot be used by a server: {_told(error)}") from None
    return seen.getpeercert() or {}


def _told(error: ssl.SSLError) -> str:
    return getattr(error, "verify_message", None) or (error.reason or str(error)).replace("_", " ").lower()
