"""Who is at the other end of a client's connection, and what that means for its requests; settled when it is made.

Most connections are plain, trusted with nothing and ask for no names: their requests pass by here.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from router.errors import EdgeError, Reason
from router.headers import IN_REQUEST, forwarding, passed_on
from router.ids import IN_IDENTIFIED_REQUEST
from router.match import normal_host
from router.tls import Handshake

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from router.ids import Ids
    from router.request import Request
    from router.tls import Certificate, Certificates


MOST_HOPS = 8  # trusted ones in a row that are looked behind


class Policy:
    """What a listener does with all its clients; changes count for connections that are made from then on.

    `ids` names requests, None = they keep what they bring. `trusts` tells by a peer's address whether to believe what
    it says of its own clients. `certificates` is what clients of TLS are shown.
    """

    def __init__(self) -> None:
        self.ids: Ids | None = None
        self.trusts: Callable[[str], bool] = lambda _: False
        self.certificates: Certificates | None = None


class Origin:
    """A client's connection. `peer` is its address, `forwarding` what its requests get (see `headers.forwarding`);
    `scheme` and `specials` are for their reader. `plain` tells that `settle` has nothing to do."""

    __slots__ = (
        "_certificate",
        "_certificates",
        "_ids",
        "_trusted",
        "forwarding",
        "peer",
        "plain",
        "scheme",
        "specials",
    )

    def __init__(self, transport: asyncio.BaseTransport, policy: Policy) -> None:
        peer = transport.get_extra_info("peername")
        handshake = transport.get_extra_info("ssl_object")
        self.scheme = b"http" if handshake is None else b"https"
        self.peer: str = peer[0] if peer else "unknown"
        self._ids = policy.ids
        self._trusted = policy.trusts(self.peer)
        self._certificates = policy.certificates
        self._certificate: Certificate | None = handshake.certificate if isinstance(handshake, Handshake) else None
        self.forwarding = forwarding(self.peer, self.scheme)
        self.specials = IN_REQUEST if self._ids is None else IN_IDENTIFIED_REQUEST
        self.plain = self._ids is None and not self._trusted and self._certificate is None

    def settle(self, request: Request) -> None:
        """Add to a request what depends on its connection, or have it refused."""
        if self._ids is not None:
            self._ids.mark(request)
        if self._trusted:
            request.forwarded = passed_on(request, self.peer, self.scheme)
        if self._certificate is not None and self._is_misdirected(request.host):
            message = "This host has another certificate; ask for it on a connection of its own."
            request.refusal = EdgeError(Reason.MISDIRECTED, message)

    def _is_misdirected(self, host: bytes) -> bool:
        name = normal_host(host).decode("ascii").strip("[]")
        return self._certificates is not None and self._certificates.misdirected(self._certificate, name)


def client_of(request: Request, forwarded: bytes, trusts: Callable[[str], bool]) -> str:
    """Return the address that a request came from. Behind trusted hops it is the last one in what they tell that is no
    such hop's: whoever is there may have written what comes before. `forwarded` are its connection's own fields."""
    told = (request.forwarded or forwarded).partition(b"\r\n")[0].partition(b": ")[2]  # of X-Forwarded-For
    *chain, client = map(str.strip, told.decode("latin-1").rsplit(",", MOST_HOPS))
    while chain and trusts(client) and _is_address(chain[-1]):
        client = chain.pop()
    return client


def _is_address(text: str) -> bool:
    try:
        return bool(ip_address(text))
    except ValueError:
        return False
