"""All faults there are, in order."""

from __future__ import annotations

from tests.ledger import ends, starts
from tests.ledger.fault import FAULTS

ALL = dict(sorted(FAULTS.items()))
__all__ = ["ALL", "ends", "starts"]
