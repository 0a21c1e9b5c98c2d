"""What names, hosts and paths may be. Stricter than most tools: they end up in file names, metric labels and routing
tables, where a mistake shows only much later.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from activator.settings import meant
from activator.settings.places import is_ipv6
from activator.settings.rules import RefusedError, Rule, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping

LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
IMAGE = r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,511}"
_LABEL = re.compile(LABEL)
_IMAGE = re.compile(IMAGE)
_HOST = re.compile(r"[a-z0-9_](?:[-a-z0-9_]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[-a-z0-9_]{0,61}[a-z0-9_])?)*")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")  # RFC 9110 5.6.2
LONGEST_LABEL = 63
LONGEST_HOST = 253
_MODEL = re.compile(r"[A-Za-z0-9._:@+/-]{1,255}")


@dataclass(frozen=True)
class Label(Rule):
    """A name: a DNS label (RFC 1123), as Kubernetes wants for services."""

    @property
    def allowed(self) -> str:
        """Return the characters."""
        return f"up to {LONGEST_LABEL} of a-z, 0-9 and -, which begin and end with a letter or digit"

    def read(self, value: object) -> str:
        """Return the name."""
        text = text_of(value, "must be a name")
        if not _LABEL.fullmatch(text):
            raise RefusedError("is no valid name", _as_label(text))
        return text

    def schema(self) -> Mapping[str, object]:
        """Return the JSON Schema."""
        return {"type": "string", "pattern": f"^{LABEL}$"}


@dataclass(frozen=True)
class Host(Rule):
    """A host name as it comes in the Host header, without port; lower case, no final dot (RFC 3986 3.2.2)."""

    @property
    def allowed(self) -> str:
        """Return the form."""
        return "a DNS name or IP address without port, no wildcard"

    def read(self, value: object) -> str:
        """Return the name as it is looked up."""
        host = text_of(value, "must be a host name").lower().removesuffix(".")
        if "*" in host:
            raise RefusedError("is no host name: there are no wildcards and no default service")
        if not host.isascii():
            raise RefusedError("is no host name: international names are written as xn--...", _punycode(host))
        if host.startswith("[") and host.endswith("]") and is_ipv6(host[1:-1]):
            return host
        if len(host) > LONGEST_HOST or not _HOST.fullmatch(host):
            place = meant.of_url(host)[0]
            name, _, port = (place or host).partition(":")
            is_name = port.isdigit() or (place and not port)
            raise RefusedError("is no host name", self.offer(name) if is_name else "")
        return host

    def schema(self) -> Mapping[str, object]:
        """Return the JSON Schema."""
        return {"type": "string", "pattern": r"^[^*:/\s]+$|^\[[0-9A-Fa-f:.]+\]$", "maxLength": 254}


@dataclass(frozen=True)
class Image(Rule):
    """A container image, with a tag or digest or without."""

    @property
    def allowed(self) -> str:
        """Return the form."""
        return "an image such as registry.example/name:tag"

    def read(self, value: object) -> str:
        """Return the image as it is written."""
        text = text_of(value, "must be an image")
        if not _IMAGE.fullmatch(text):
            raise RefusedError("is no image")
        return text

    def schema(self) -> Mapping[str, object]:
        """Return the JSON Schema."""
        return {"type": "string", "pattern": f"^{IMAGE}$"}


@dataclass(frozen=True)
class ServerName(Host):
    """A name in a certificate: a host, or `*.` before one, for any one label (RFC 6125 6.4.3)."""

    @property
    def allowed(self) -> str:
        """Return the form."""
        return "a DNS name or IP address without port, or *. and a DNS name"

    def read(self, value: object) -> str:
        """Return the name as it is looked up."""
        wildcard = "*." if isinstance(value, str) and value.startswith("*.") else ""
        host = super().read(value.removeprefix("*.") if isinstance(value, str) else value)
        return wildcard + host.strip("[]")

    def schema(self) -> Mapping[str, object]:
        """Return the JSON Schema."""
        return {"type": "string", "pattern": r"^(\*\.)?[^*:/\s]+$|^\[[0-9A-Fa-f:.]+\]$", "maxLength": 254}


@dataclass(frozen=True)
class Prefix(Rule):
    """A path prefix of whole segments, decoded, without a final slash (it means the same)."""

    @property
    def allowed(self) -> str:
        """Return the form."""
        return "a decoded path such as /v1/models, without query, %, empty or dot segments"

    def read(self, value: object) -> str:
        """Return the prefix."""
        text = text_of(value, "must be a path")
        if not text.startswith("/"):
            raise RefusedError("must begin with /", self.offer(f"/{text}"))
        prefix = text.rstrip("/") if text != "/" and not text.endswith("//") else text
        segments = prefix.split("/")[1:]
        if not text.isprintable() or set(text) & set("?#%*\\") or (prefix != "/" and set(segments) & {"", ".", ".."}):
            raise RefusedError("is no path prefix")
        return prefix

    def schema(self) -> Mapping[str, object]:
        """Return the JSON Schema."""
        return {"type": "string", "pattern": r"^/[^?#%*\\]*$"}


@dataclass(frozen=True)
class Target(Rule):
    """A path (and query) to ask a replica for, exactly as it is sent."""

    @property
    def allowed(self) -> str:
        """Return the form."""
        return "a path such as /health, of printable ASCII without spaces or #"

    def read(self, value: object) -> str:
        """Return the target."""
        text = text_of(value, "must be a path")
        if not text.startswith("/"):
            path = (meant.of_url(text)[1] or "/") if "://" in text else f"/{text}"
            raise RefusedError("must begin with /", self.offer(path))
        if not text.isascii() or not text.isprintable() or set(text) & set(" #"):
            raise RefusedError("is no path that can be asked for")
        return text

    def schema(self) -> Mapping[str, object]:
        """Return the JSON Schema."""
        return {"type": "string", "pattern": r"^/[!-~]*$"}


@dataclass(frozen=True)
class Model(Rule):
    """The name of a model as requests write it: in JSON, in forms, in a header, and in paths."""

    @property
    def allowed(self) -> str:
        """Return the form."""
        return "up to 255 letters, digits and ._:@+/- such as org/name; no empty or dot segments"

    def read(self, value: object) -> str:
        """Return the name."""
        text = text_of(value, "must be a model's name")
        if not _MODEL.fullmatch(text) or set(text.split("/")) & {"", ".", ".."}:
            raise RefusedError("is no model's name")
        return text

    def schema(self) -> Mapping[str, object]:
        """Return the JSON Schema."""
        return {"type": "string", "pattern": f"^{_MODEL.pattern}$"}


@dataclass(frozen=True)
class ClientKey(Rule):
    """By what a service's clients are told apart: `header:NAME` (in lower case), `cookie:NAME` or `address`."""

    @property
    def allowed(self) -> str:
        """Return the forms."""
        return "header:NAME, cookie:NAME or address"

    def read(self, value: object) -> str:
        """Return the key."""
        text = text_of(value, "must say where the key is")
        kind, _, name = text.partition(":")
        if text != "address" and not (kind in {"header", "cookie"} and _TOKEN.fullmatch(name)):
            bare = _TOKEN.fullmatch(text) and text not in {"header", "cookie"}
            raise RefusedError("names no key of a client", f"header:{text}" if bare else "")
        return text.lower() if kind == "header" else text

    def schema(self) -> Mapping[str, object]:
        """Return the JSON Schema."""
        return {"type": "string", "pattern": r"^(address|(header|cookie):[!-~]+)$"}


def _as_label(text: str) -> str:
    label = re.sub(r"[^a-z0-9]+", "-", text[:64].lower()).strip("-")
    return label if label != text and _LABEL.fullmatch(label) else ""


def _punycode(host: str) -> str:
    try:
        return host.encode("idna").decode("ascii") if len(host) <= LONGEST_HOST else ""
    except UnicodeError:
        return ""
