"""The keys about other edges that serve the same replicas."""

from __future__ import annotations

import os
from pathlib import Path  # noqa: TC003 - pydantic reads it
from typing import TYPE_CHECKING, Annotated

from activator.settings.group import Group
from activator.settings.places import Address, File, Listen
from activator.settings.problems import Finding, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from activator.settings.schema import Settings

LEAST_SECRET = 16
EVERYWHERE = frozenset(("", "0.0.0.0", "::"))  # noqa: S104 - where one listens, and is not reached
POD_IP = "POD_IP"
SECRET = "ACTIVATOR_PEERS_SECRET"  # noqa: S105 - the variable's name


class Peers(Group):
    """Several edges, of which each may take any request."""

    listen: Annotated[Address | None, Listen()] = None
    """Where other edges connect; not written = there are no others."""
    advertise: Annotated[Address | None, Listen()] = None
    """Where others reach this edge; not written = `listen`, on Kubernetes the pod's IP and the port of `listen`."""
    addresses: tuple[Annotated[Address, Listen()], ...] = ()
    """All edges, as they advertise themselves; none = on Kubernetes, the pods of the edge's own Deployment."""
    secret_file: Annotated[Path | None, File()] = None
    """File with a secret of 16 bytes or more, the same for all edges; not written = it is in ACTIVATOR_PEERS_SECRET."""


def check_peers(settings: Settings) -> Iterator[Finding]:
    """Yield what does not fit together where there are peers."""
    peers = settings.peers
    if peers.listen is None:
        for key, name in peers.fields_by_key().items():
            if getattr(peers, name):
                yield Finding(("peers", key), "is of no use without peers.listen", needs=(("peers", "listen"),))
        return
    if not peers.listen.port:
        yield Finding(("peers", "listen"), "needs a port that others know", shown(str(peers.listen)))
    for at, address in (
        (("advertise",), peers.advertise),
        *((("addresses", n), a) for n, a in enumerate(peers.addresses)),
    ):
        if address is not None and (address.host in EVERYWHERE or not address.port):
            message = "is no address at which an edge can be reached: write its own host and port"
            yield Finding(("peers", *at), message, shown(str(address)))
    own = peers.advertise or peers.listen
    if peers.listen in peers.addresses and own not in peers.addresses:
        message = f"has this edge by another name than peers.advertise: write {own} in place of {peers.listen}"
        yield Finding(("peers", "addresses"), message, needs=(("peers", "advertise"),))
    if settings.workers > 1:
        message = "must be 1 where there are peers: each edge owns what others claim, in one process"
        yield Finding(("workers",), message, shown(settings.workers), needs=(("peers", "listen"),))
    if settings.scaler != "kubernetes":
        message = "must be kubernetes where there are peers: nobody else runs replicas that several edges can use"
        yield Finding(("scaler",), message, shown(settings.scaler), needs=(("peers", "listen"),))


def name_of(peers: Peers, environment: Mapping[str, str] = os.environ) -> str:
    """Return the address at which others reach this edge, by which they know it. OSError when none is known: two edges
    of one name would each take the other one for itself, and keep limits of its own. ValueError without `listen`."""
    if peers.advertise is not None:
        return str(peers.advertise)
    if peers.listen is None:
        raise ValueError("an edge without peers.listen has no peers")
    own = Address(environment.get(POD_IP) or peers.listen.host, peers.listen.port)
    if own.host in EVERYWHERE:
        raise OSError(f"peers: nobody can reach this edge at {own}: set peers.advertise, or the variable {POD_IP}")
    return str(own)


def read_secret(path: Path | None, environment: Mapping[str, str] = os.environ) -> bytes:
    """Return the secret in a file, or without one in the environment. OSError when there is none that is of use. It is
    read at the start and not with the configuration, which may be checked where the secret is not."""
    if path is None:
        place, secret = f"the variable {SECRET}", environment.get(SECRET, "").strip().encode()
    else:
        try:
            place, secret = str(path), path.read_bytes().strip()
        except OSError as error:
            raise OSError(f"peers.secret-file: cannot read {path}: {error.strerror or error}") from error
    if not secret and path is None:
        raise OSError(f"peers: there is no secret: set {place}, or peers.secret-file")
    if len(secret) < LEAST_SECRET:
        raise OSError(f"peers: the secret in {place} has {len(secret)} bytes, and must have {LEAST_SECRET} or more")
    return secret
