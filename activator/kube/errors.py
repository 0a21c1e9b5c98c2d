"""What can go wrong between us and the API server, as two errors: it says no, or it says nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

FORBIDDEN = 403
NOT_FOUND = 404
CONFLICT = 409
GONE = 410
TOO_LARGE = 413
INVALID = 422
TOO_MANY = 429
LONGEST = 3600.0  # that is waited for because an API server says so


class ApiError(Exception):
    """The API server refused. `status` is the HTTP status, `reason` its machine-readable cause (such as `Conflict`),
    `retry_after` the seconds that it asks to wait for, 0 when it does not say."""

    def __init__(self, status: int, reason: str, message: str, retry_after: float = 0.0) -> None:
        super().__init__(f"the API server answered {status} {reason}: {message}".rstrip(": "))
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after

    @property
    def too_large(self) -> bool:
        """Whether what was sent is more than such an object holds (apimachinery: field.TooLong, or the whole
        request)."""
        return self.status == TOO_LARGE or (self.status == INVALID and "Too long" in self.message)

    @classmethod
    def of_response(cls, status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
        """Return the error that an HTTP response tells of; its body should be a Status, and may be anything."""
        told = _status(body)
        wait = headers.get("Retry-After", "")
        return cls(
            status,
            str(told.get("reason", "")),
            str(told.get("message", "") or body[:200].decode("utf-8", "replace")),
            min(float(wait), LONGEST) if wait.isascii() and wait.isdigit() else 0.0,
        )

    @classmethod
    def of_status(cls, told: Mapping[str, Any]) -> ApiError:
        """Return the error that a Status object in a watch tells of."""
        code = told.get("code")
        return cls(code if isinstance(code, int) else 0, str(told.get("reason", "")), str(told.get("message", "")))


class UnreachableError(Exception):
    """The API server did not answer: no connection, no time, or an answer that breaks off."""


def _status(body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
