"""All that the edge ever asks of the API server: what the Roles in deploy/ grant, no more and no less.

The product's client refuses to make any other call, so that what is missing here is found by the first test that needs
it, and not by a tenant whose administrator has to be asked again.
"""

from __future__ import annotations

from typing import NamedTuple

from activator.kube.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    EVENTS,
    INFERENCE_SERVICES,
    LEASES,
    NODES,
    PODS,
    Resource,
)

NAME = "gpu-activator"
STATE = f"{NAME}-state"


class Grant(NamedTuple):
    """Verbs on a resource (`sub` = a subresource of it), for `names` only if there are any."""

    resource: Resource
    verbs: frozenset[str]
    sub: str = ""
    names: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """Return the resource as RBAC has it: `deployments/scale`."""
        return f"{self.resource.plural}/{self.sub}" if self.sub else self.resource.plural


ROLE = (
    Grant(DEPLOYMENTS, frozenset({"get", "list", "watch"})),
    Grant(DEPLOYMENTS, frozenset({"patch"}), "scale"),
    Grant(PODS, frozenset({"list", "watch", "patch"})),
    Grant(PODS, frozenset({"get"}), "log"),
    Grant(EVENTS, frozenset({"create"})),
    Grant(LEASES, frozenset({"create"})),
    Grant(LEASES, frozenset({"get", "update"}), names=(NAME,)),
    Grant(CONFIG_MAPS, frozenset({"create"})),
    Grant(CONFIG_MAPS, frozenset({"list", "watch"}), names=(NAME,)),
    Grant(CONFIG_MAPS, frozenset({"get", "update"}), names=(STATE,)),
)
NODES_ROLE = (Grant(NODES, frozenset({"list", "watch"})),)
"""What the optional ClusterRole grants."""
KSERVE_ROLE = (Grant(INFERENCE_SERVICES, frozenset({"list", "watch"})),)
"""What the Role of deploy/overlays/kserve grants beside."""

GRANTS = (*ROLE, *NODES_ROLE, *KSERVE_ROLE)
ALLOWED = frozenset((verb, grant.resource.group, grant.path) for grant in GRANTS for verb in grant.verbs)


def check(verb: str, group: str, resource: str) -> None:
    """Raise ValueError for a kind of call that is not granted."""
    if (verb, group, resource) not in ALLOWED:
        raise ValueError(f"activator/kube/permissions.py does not grant {verb} on {resource}")
