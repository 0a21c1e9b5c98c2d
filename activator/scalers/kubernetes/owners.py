"""Who else writes a Deployment's replicas, by its managedFields, and what to do about it.

Kubernetes notes for each field which manager set it last (Server-Side Apply: managedFields). Two that both set
replicas would go on for ever; we are the one that gives up, and says what to change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from activator.kube.resources import Object

HPA = "kube-controller-manager"
KSERVE = (
    "KServe: annotate the InferenceService with serving.kserve.io/autoscalerClass: external. If it is, KServe is of a "
    "version that sets the replicas nevertheless (0.15.0, or 0.13 and older): upgrade it to 0.15.1 or later"
)
REMEDIES = {
    HPA: "a HorizontalPodAutoscaler, maybe KEDA's: delete it with `kubectl -n {namespace} delete hpa NAME`, or delete "
    "the ScaledObject that owns it",
    "keda": 'a ScaledObject: delete it, or pause it with the annotation autoscaling.keda.sh/paused: "true"',
    "argo": "Argo CD: let its Application ignore /spec/replicas of {name} (ignoreDifferences with jsonPointers, and "
    "the sync option RespectIgnoreDifferences=true)",
    "kustomize-controller": "Flux: leave `replicas` out of the manifest",
    "helm": "Helm or Flux: leave `replicas` out of the chart's values",
    "kserve": KSERVE,
    "manager": f"a controller that calls itself manager, which may be {KSERVE}",
    "kubectl": "kubectl: leave `replicas` out of the manifest that is applied, and do not scale by hand",
}
"""What to do, by how the name of a field manager begins."""


def owners(deployment: Object) -> tuple[str, ...]:
    """Return the managers that set spec.replicas as it is now."""
    entries = deployment["metadata"].get("managedFields") or []
    return tuple(
        str(entry.get("manager"))
        for entry in entries
        if "f:replicas" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
    )


def remedy(manager: str, name: str, namespace: str) -> str:
    """Return who `manager` is, and how to keep it from writing the replicas of Deployment `name`."""
    for beginning, text in REMEDIES.items():
        if manager.lower().startswith(beginning):
            return text.format(name=name, namespace=namespace)
    return f"a writer that is not known here: keep {manager or 'it'} from setting spec.replicas of {name}"
