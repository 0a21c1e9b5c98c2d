"""Where to listen and where files lie."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from activator.settings import meant
from activator.settings.rules import RefusedError, Rule, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic_core import core_schema

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:/@\s]*):([0-9]{1,5})")


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Address(NamedTuple):
    """Where to listen. Host "" = every interface, port 0 = any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Listen(Rule):
    """An address to listen on."""

    @property
    def allowed(self) -> str:
        """Return the form."""
        return "host:port, port 0 to 65535 (0 = any free one)"

    def read(self, value: object) -> Address:
        """Return host and port."""
        number = isinstance(value, int) and not isinstance(value, bool)
        text = f":{value}" if number else text_of(value, "must be host:port")
        found = _ADDRESS.fullmatch(text)
        if number or found is None or int(found[2]) > 65535:
            place = meant.of_url(text)[0]
            raise RefusedError("is no address to listen on", self.offer(f"127.0.0.1{text}" if number else place))
        host = found[1].strip("[]")
        if found[1].startswith("[") and not is_ipv6(host):
            raise RefusedError("is no address to listen on")
        return Address(host, int(found[2]))

    def write(self, value: Address) -> str:
        """Return `host:port`."""
        return str(value)

    def schema(self) -> Mapping[str, object]:
        """Return the JSON Schema."""
        return {"type": "string", "pattern": r"^.*:[0-9]{1,5}$"}


@dataclass(frozen=True)
class File(Rule):
    """A path, relative to the configuration file (`base` in the validation's context)."""

    @property
    def allowed(self) -> str:
        """Return what it is relative to."""
        return "a path, relative to this file"

    def validate(self, value: object, info: core_schema.ValidationInfo) -> Path:
        """Return the path from the file's directory."""
        path: Path = super().validate(value, info)
        return Path((info.context or {}).get("base", "")) / path

    def read(self, value: object) -> Path:
        """Return the path as it is written."""
        return Path(text_of(value or None if not isinstance(value, Path) else str(value), "must be a path"))

    def write(self, value: Path) -> str:
        """Return the path."""
        return str(value)

    def schema(self) -> Mapping[str, object]:
        """Return the JSON Schema."""
        return {"type": "string", "minLength": 1}


@dataclass(frozen=True)
class Cidr(Rule):
    """A network of IP addresses."""

    @property
    def allowed(self) -> str:
        """Return the form."""
        return "a network such as 10.0.0.0/8 or fd00::/8, or one IP address"

    def read(self, value: object) -> Network:
        """Return the network."""
        text = text_of(value, "must be a network")
        try:
            network = ipaddress.ip_network("" if "%" in text else text, strict=False)
        except ValueError:
            raise RefusedError("is no network") from None
        if "/" in text and ipaddress.ip_address(text.partition("/")[0]) != network.network_address:
            raise RefusedError("is no network: there are bits set beyond its length", str(network))
        return network

    def write(self, value: Network) -> str:
        """Return the network."""
        return str(value)

    def schema(self) -> Mapping[str, object]:
        """Return the JSON Schema."""
        return {"type": "string", "pattern": r"^[0-9A-Fa-f:.]+(/[0-9]+)?$"}


def context(base: Path) -> dict[str, Any]:
    """Return the validation context that makes `File` relative to `base`."""
    return {"base": base}


def within(networks: tuple[Network, ...]) -> Callable[[str], bool]:
    """Return what tells whether a peer's address is in one of the networks; an IPv4 address may be mapped into IPv6."""

    def is_within(peer: str) -> bool:
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        plain = getattr(address, "ipv4_mapped", None) or address
        return any(plain in network for network in networks)

    return is_within if networks else lambda _: False


def is_ipv6(text: str) -> bool:
    """Return whether `text` is an IPv6 address, without brackets."""
    try:
        return bool(ipaddress.IPv6Address(text))
    except ValueError:
        return False
