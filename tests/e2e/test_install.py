"""What is shipped is accepted by the API server, and its ServiceAccount may do what the product does, and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.e2e.api import Api, Object
    from tests.e2e.tenant import Tenant

FORBIDDEN = 403
Rules = set[tuple[str, str, str]]

NOT_OURS = (
    ("GET", "secrets", "", ""),
    ("GET", "secrets", "any", ""),
    ("POST", "secrets", "", ""),
    ("POST", "pods", "", ""),
    ("DELETE", "pods", "any", ""),
    ("POST", "pods", "any", "exec"),
    ("PUT", "deployments", "any", ""),
    ("PATCH", "deployments", "any", ""),
    ("POST", "deployments", "", ""),
    ("DELETE", "deployments", "any", ""),
    ("POST", "serviceaccounts", "default", "token"),
    ("POST", "rolebindings", "", ""),
)


def test_the_base_is_accepted(base: str) -> None:
    for kind in ("deployment.apps", "service", "serviceaccount", "role.rbac", "rolebinding.rbac", "configmap"):
        assert any(line.startswith(kind) for line in base.splitlines()), base


async def test_the_account_may_do_what_its_role_says_and_no_more(tenant: Tenant, account: Api) -> None:
    bindings = (await tenant.api.get(tenant.path("rolebindings")))["items"]
    roles = {binding["roleRef"]["name"] for binding in bindings if binding["roleRef"]["kind"] == "Role"}
    written: Rules = set()
    for role in roles:
        written |= flat((await tenant.api.get(tenant.path("roles", role)))["rules"])
    assert await allowed(account, tenant.namespace) - await anyone(tenant) == written


@pytest.mark.parametrize(("method", "plural", "name", "sub"), NOT_OURS)
async def test_what_is_not_its_own_is_forbidden(
    tenant: Tenant, account: Api, method: str, plural: str, name: str, sub: str
) -> None:
    body = None if method in {"GET", "DELETE"} else {"metadata": {"name": "any"}}
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    assert await account.status(method, tenant.path(plural, name, sub), body, kind) == FORBIDDEN


@pytest.mark.parametrize("plural", ["deployments", "pods", "configmaps", "secrets"])
async def test_no_other_namespace_is_open_to_it(tenant: Tenant, account: Api, plural: str) -> None:
    path = tenant.path(plural).replace(tenant.namespace, "default")
    assert await account.status("GET", path) == FORBIDDEN


async def allowed(api: Api, namespace: str) -> Rules:
    """Return what a user may do in a namespace, as the API server sees it."""
    asked: Object = {"spec": {"namespace": namespace}}
    review = await api.post("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", asked)
    assert not review["status"]["incomplete"]
    return flat(review["status"]["resourceRules"])


async def anyone(tenant: Tenant) -> Rules:
    """Return what every account may do."""
    async with tenant.api.as_account(await tenant.token("default")) as api:
        return await allowed(api, tenant.namespace)


def flat(rules: list[dict[str, Any]]) -> Rules:
    """Return (verb, group/resource, name or "") for each permission."""
    return {
        (verb, f"{group}/{resource}", name)
        for rule in rules
        for verb in rule["verbs"]
        for group in rule.get("apiGroups", [])
        for resource in rule.get("resources", [])
        for name in rule.get("resourceNames") or [""]
    }
