"""`activator` with few ports for its replicas, so that addresses are used again: first port, how many, then as usual."""

from __future__ import annotations

import sys

from activator.cli import main
from activator.scalers.process import ProcessScaler

first, count = int(sys.argv[1]), int(sys.argv[2])
del sys.argv[1:3]
defaults = ProcessScaler.__init__.__kwdefaults__
assert defaults is not None
defaults["ports"] = range(first, first + count)
main()
