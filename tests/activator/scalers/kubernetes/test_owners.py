from __future__ import annotations

from typing import Any

import pytest

from activator.scalers.kubernetes.owners import owners, remedy


def entry(manager: str, *fields: str, **more: str) -> dict[str, Any]:
    return {"manager": manager, "fieldsV1": {"f:spec": {field: {} for field in fields}}, **more}


def test_the_owners_of_replicas_are_those_who_set_them() -> None:
    entries = [
        entry("kubectl", "f:template"),
        entry("kube-controller-manager", "f:replicas", subresource="scale"),
        {"manager": "kube-controller-manager", "fieldsV1": {"f:status": {"f:replicas": {}}}, "subresource": "status"},
        {"manager": "odd"},
    ]
    assert owners({"metadata": {"managedFields": entries}}) == ("kube-controller-manager",)
    assert owners({"metadata": {}}) == ()


@pytest.mark.parametrize(
    ("manager", "said"),
    [
        ("kube-controller-manager", "kubectl -n models delete hpa"),
        ("keda-operator", "autoscaling.keda.sh/paused"),
        ("argocd-controller", "RespectIgnoreDifferences=true"),
        ("kustomize-controller", "Flux"),
        ("helm", "leave `replicas` out of the chart"),
        ("kserve-controller", "autoscalerClass: external"),
        ("manager", "which may be KServe: annotate"),
        ("manager", "upgrade it to 0.15.1 or later"),
        ("kubectl-client-side-apply", "leave `replicas` out of the manifest"),
        ("somebody", "a writer that is not known here: keep somebody from setting spec.replicas of m"),
        ("", "keep it from setting"),
    ],
)
def test_the_remedy_is_for_the_one_who_writes(manager: str, said: str) -> None:
    assert said in remedy(manager, "m", "models")
