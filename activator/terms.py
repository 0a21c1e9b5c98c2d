"""What the configuration says to those who serve clients: plain values, which can be sent to another process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from router.table import Table  # noqa: TC001 - read when messages are decoded

if TYPE_CHECKING:
    from activator.settings.schema import Settings


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate of the edge and its key, as paths; `hosts` are the names that it is for (none = its own)."""

    certificate: str
    key: str
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Copy:
    """A certificate and its key as they are in use, in PEM, which its files may be no more."""

    of: Pair
    certificate: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Terms:
    """How to serve. `trusted_hops` are networks; see the configuration's keys of these names."""

    table: Table
    certificates: tuple[Pair, ...] = ()
    trusted_hops: tuple[str, ...] = ()
    access_log: bool = False
    request_ids: bool = False
    drain_timeout: float = 45.0


def terms_of(settings: Settings, table: Table) -> Terms:
    """Return what `settings` say to those who serve by `table`."""
    return Terms(
        table=table,
        certificates=tuple(Pair(str(pair.certificate), str(pair.key), pair.hosts) for pair in settings.tls),
        trusted_hops=tuple(str(network) for network in settings.trusted_hops),
        access_log=settings.access_log,
        request_ids=settings.request_ids,
        drain_timeout=settings.drain_timeout,
    )
