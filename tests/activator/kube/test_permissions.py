from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from activator.kube import permissions
from activator.kube.client import Address
from activator.kube.resources import CONFIG_MAPS, DEPLOYMENTS, PODS, Resource

if TYPE_CHECKING:
    from activator.kube.client import Client
    from tests.models.cluster import Cluster


async def test_a_call_that_nobody_granted_is_not_made(cluster: Cluster, client: Client) -> None:
    cluster.put("deployments", {"metadata": {"name": "m-1"}, "spec": {"replicas": 0}})
    client.guard = permissions.check
    await client.list(DEPLOYMENTS)
    await client.patch(Address(DEPLOYMENTS, "m-1", "scale"), {"spec": {"replicas": 1}})
    for forbidden in (
        client.patch(Address(DEPLOYMENTS, "m-1"), {"spec": {"template": {}}}),
        client.create(PODS, {"metadata": {"name": "p"}}),
        client.list(Resource("v1", "secrets")),
        client.patch(Address(CONFIG_MAPS, "gpu-activator-state"), {"data": {}}),
    ):
        with pytest.raises(ValueError, match="does not grant"):
            await forbidden
    assert {call.verb for call in cluster.calls} == {"list", "patch"}


def test_no_grant_reaches_what_a_tenant_would_not_give() -> None:
    granted = {(verb, resource) for verb, _, resource in permissions.ALLOWED}
    resources = {resource for _, resource in granted}
    assert not resources & {"secrets", "pods/exec", "pods/attach", "serviceaccounts", "roles"}
    for refused in (("update", "deployments"), ("patch", "deployments"), ("create", "pods"), ("delete", "pods")):
        assert refused not in granted
    assert all("*" not in verb and "*" not in resource for verb, resource in granted)
