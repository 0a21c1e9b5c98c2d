"""What is noticed while a manifest is read: mistakes, and what has no effect, each with its place."""

from __future__ import annotations

from dataclasses import dataclass, field

from activator.settings.problems import Finding, Location, shown


@dataclass(slots=True)
class Notes:
    """Findings of one manifest that lies at `at` of its file."""

    at: Location
    errors: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)

    def refuse(self, at: Location, message: str, value: object = None, allowed: str = "") -> None:
        """Note a mistake at `at` of the manifest."""
        self.errors.append(Finding((*self.at, *at), message, "" if value is None else shown(value), allowed))

    def warn(self, at: Location, message: str, value: object = None) -> None:
        """Note what has no effect, or another one than was meant."""
        self.warnings.append(Finding((*self.at, *at), message, "" if value is None else shown(value)))
