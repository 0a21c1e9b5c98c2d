"""How two edges make sure of each other: each proves that it has the secret, by a keyed hash over nonces of both.

A shared secret and not certificates: all edges are pods of one Deployment and equal, the secret is one Secret that
`kubectl create` makes, and nothing has to be issued or renewed. It authenticates; it does not encrypt. What edges say
is counts and names, no requests; where the network itself is not trusted, let a NetworkPolicy or a mesh protect it.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from activator.peers.pacts import NONCE_BYTES, VERSION

if TYPE_CHECKING:
    from activator.peers.pacts import Challenge, Greet


def answered(secret: bytes, greet: Greet, name: str, nonce: bytes) -> bytes:
    """Return the proof of who was dialled, by `name` and `nonce`."""
    return _proof(secret, b"answered", (greet.name, name), (greet.nonce, nonce))


def dialled(secret: bytes, greet: Greet, challenge: Challenge) -> bytes:
    """Return the proof of who dialled."""
    return _proof(secret, b"dialled", (greet.name, challenge.name), (greet.nonce, challenge.nonce))


def problem_with(greet: Greet | Challenge) -> str:
    """Return why this cannot be answered, "" if it can."""
    if greet.version != VERSION:
        return f"it speaks version {greet.version}, we speak {VERSION}"
    return "" if len(greet.nonce) == NONCE_BYTES else f"its nonce has {len(greet.nonce)} bytes, not {NONCE_BYTES}"


def same(one: bytes, other: bytes) -> bool:
    """Compare two proofs in constant time."""
    return hmac.compare_digest(one, other)


def _proof(secret: bytes, role: bytes, names: tuple[str, str], nonces: tuple[bytes, bytes]) -> bytes:
    parts = [b"activator peers", bytes([VERSION]), role, *(name.encode() for name in names), *nonces]
    return hmac.digest(secret, b"".join(len(part).to_bytes(4, "big") + part for part in parts), "sha256")
