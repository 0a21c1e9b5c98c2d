"""All faults of the control plane there are, in order."""

from __future__ import annotations

from tests.control import api_server, edges, tenants
from tests.control.fault import FAULTS

MODULES = (api_server, edges, tenants)
ALL = dict(sorted(FAULTS.items()))
