"""All faults there are, in order."""

from __future__ import annotations

from tests.ledger import ends, monkey, operator, pressure, several, starts, wire
from tests.ledger.fault import FAULTS, Fault

MODULES = (starts, ends, wire, operator, several, pressure, monkey)
ALL = dict(sorted(FAULTS.items()))
__all__ = ["ALL", "Fault"]
