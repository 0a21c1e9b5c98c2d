"""deploy/: it renders, it is what a restricted namespace takes, and its numbers fit each other and the product."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from activator.catalog.merge import Deployments
from activator.kube.permissions import KSERVE_ROLE, NAME, NODES_ROLE, ROLE, STATE, Grant
from activator.settings.load import load
from activator.settings.peering import SECRET
from tests.deploy.manifests import DEPLOY, EDGE_POD, KUSTOMIZATIONS, edge_container, files, of_kind, rendered

if TYPE_CHECKING:
    from pathlib import Path

CONFIGS = sorted(DEPLOY.rglob("config.yaml"))
MARGIN = 10


def role(name: str, kind: str = "Role") -> set[tuple[str, str, str, tuple[str, ...]]]:
    (found,) = of_kind(name, kind)
    return {
        (verb, group, resource, tuple(rule.get("resourceNames", ())))
        for rule in found["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def granted(grants: tuple[Grant, ...]) -> set[tuple[str, str, str, tuple[str, ...]]]:
    return {(verb, grant.resource.group, grant.path, grant.names) for grant in grants for verb in grant.verbs}


def edge(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the pod of an edge, and its container."""
    (found,) = (item for item in of_kind(name, "Deployment") if item["metadata"]["name"] == EDGE_POD[name])
    return found["spec"]["template"]["spec"], edge_container(name)


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_file_is_yaml(path: Path) -> None:
    assert list(yaml.safe_load_all(path.read_text()))


@pytest.mark.parametrize("name", KUSTOMIZATIONS)
def test_every_kustomization_renders_to_objects_with_names(name: str) -> None:
    objects = rendered(name)
    identities = [(item["kind"], item["metadata"]["name"]) for item in objects]
    assert len(set(identities)) == len(identities) > 0


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_configuration_loads(path: Path) -> None:
    assert load(path).scaler == "kubernetes"


@pytest.mark.parametrize("name", EDGE_POD)
def test_the_role_grants_exactly_what_the_client_may_ask(name: str) -> None:
    assert role(name) == granted(ROLE)
    assert not of_kind(name, "ClusterRole"), "nothing of it needs rights beyond the namespace"


def test_the_optional_cluster_role_grants_exactly_the_rest() -> None:
    assert role("overlays/gpu-nodes", "ClusterRole") == granted(NODES_ROLE)
    assert role("overlays/gpu-nodes") == granted(ROLE)
    (binding,) = of_kind("overlays/gpu-nodes", "ClusterRoleBinding")
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": NAME, "namespace": "models"}]


def test_inference_services_may_be_read_by_a_role_of_their_own() -> None:
    base, more = of_kind("overlays/kserve", "Role")
    rules = {
        item["metadata"]["name"]: {
            (verb, *rule["apiGroups"], *rule["resources"], ()) for rule in item["rules"] for verb in rule["verbs"]
        }
        for item in (base, more)
    }
    assert rules[f"{NAME}-kserve"] == granted(KSERVE_ROLE)
    assert base["rules"] == of_kind("base", "Role")[0]["rules"]
    bindings = {each["roleRef"]["name"]: each["subjects"] for each in of_kind("overlays/kserve", "RoleBinding")}
    assert bindings[f"{NAME}-kserve"] == [{"kind": "ServiceAccount", "name": NAME}]
    assert load(DEPLOY / "overlays" / "kserve" / "config.yaml").kserve


@pytest.mark.parametrize("name", EDGE_POD)
def test_the_role_is_bound_to_the_account_that_the_edge_runs_as(name: str) -> None:
    (binding,), (account,) = of_kind(name, "RoleBinding"), of_kind(name, "ServiceAccount")
    assert [subject["name"] for subject in binding["subjects"]] == [account["metadata"]["name"]]
    assert binding["roleRef"]["name"] == of_kind(name, "Role")[0]["metadata"]["name"]
    pod, _ = edge(name)
    assert pod["serviceAccountName"] == account["metadata"]["name"]
    assert pod["automountServiceAccountToken"] is True


@pytest.mark.parametrize("name", EDGE_POD)
def test_every_container_is_what_the_restricted_pod_security_standard_allows(name: str) -> None:
    pod, _ = edge(name)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC", "volumes"} & pod.keys()
    for container in pod["containers"]:
        context = {**pod["securityContext"], **container["securityContext"]}
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["runAsUser"] > 0
        assert not any("hostPort" in port for port in container["ports"])


@pytest.mark.parametrize("name", EDGE_POD)
def test_the_edge_needs_no_place_to_write(name: str) -> None:
    assert edge(name)[1]["securityContext"]["readOnlyRootFilesystem"] is True


@pytest.mark.parametrize("name", EDGE_POD)
def test_the_grace_period_is_long_enough_to_drain(name: str) -> None:
    pod, container = edge(name)
    *_, sleep = container["lifecycle"]["preStop"]["exec"]["command"]
    drain = load(DEPLOY / name / "config.yaml").drain_timeout
    assert pod["terminationGracePeriodSeconds"] >= int(sleep) + drain + MARGIN


@pytest.mark.parametrize("name", EDGE_POD)
def test_a_neighbour_goes_on_calling_the_edge_until_its_own_clients_have_left(name: str) -> None:
    pod, container = edge(name)
    sleeps = {each["name"]: int(each["lifecycle"]["preStop"]["exec"]["command"][-1]) for each in pod["containers"]}
    own = sleeps.pop(container["name"])
    assert all(sleep > own for sleep in sleeps.values())


@pytest.mark.parametrize("name", EDGE_POD)
def test_ports_and_probes_are_those_of_the_configuration(name: str) -> None:
    _, container = edge(name)
    settings = load(DEPLOY / name / "config.yaml")
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports["admin"] == settings.admin.port
    assert ports.get("http", settings.listen.port) == settings.listen.port
    assert ("http" in ports) == (settings.listen.host != "127.0.0.1")
    probes = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")}
    assert {kind: probe["path"] for kind, probe in probes.items()} == {
        "startup": "/healthz",
        "readiness": "/readyz",
        "liveness": "/healthz",
    }
    assert {probe["port"] for probe in probes.values()} == {"admin"}


@pytest.mark.parametrize("name", EDGE_POD)
def test_edges_stay_up_through_evictions_and_rollouts_on_different_nodes(name: str) -> None:
    (found,) = (item for item in of_kind(name, "Deployment") if item["metadata"]["name"] == EDGE_POD[name])
    assert found["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    labels = found["spec"]["template"]["metadata"]["labels"]
    (budget,) = of_kind(name, "PodDisruptionBudget")
    assert budget["spec"] == {"maxUnavailable": 1, "selector": {"matchLabels": labels}}
    (service,) = of_kind(name, "Service")
    assert service["spec"]["selector"] == labels
    if EDGE_POD[name] == NAME:
        spread = found["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert [each["topologyKey"] for each in spread] == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
        assert all(each["labelSelector"]["matchLabels"] == labels for each in spread)


@pytest.mark.parametrize("name", EDGE_POD)
def test_several_edges_run_where_they_know_of_each_others_requests(name: str) -> None:
    (found,) = (item for item in of_kind(name, "Deployment") if item["metadata"]["name"] == EDGE_POD[name])
    peers = load(DEPLOY / name / "config.yaml").peers.listen
    assert found["spec"]["replicas"] == (2 if name == "base" else 1)
    assert (peers is not None) == (name == "base")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_configuration_for_the_pods_of_the_base_has_their_peers(path: Path) -> None:
    alone = path.parent.name in {"single", "sidecar"}
    assert (load(path).peers.listen is None) == alone


@pytest.mark.parametrize("name", [name for name in KUSTOMIZATIONS if name.startswith(("base", "overlays"))])
def test_the_secret_of_the_edges_comes_from_one_that_is_not_in_any_file(name: str) -> None:
    alone = name in {"overlays/single", "overlays/sidecar"}
    for each in of_kind(name, "Deployment"):
        container = each["spec"]["template"]["spec"]["containers"][-1]
        found = [variable for variable in container["env"] if variable["name"] == SECRET]
        wanted = {"secretKeyRef": {"name": "gpu-activator-peers", "key": "secret"}}
        assert found == ([] if alone else [{"name": SECRET, "valueFrom": wanted}])
        assert ("peers" in {port["name"] for port in container["ports"]}) == (not alone)
    assert not of_kind(name, "Secret")
    assert len(of_kind(name, "NetworkPolicy")) == (0 if alone else 1)


def test_nobody_but_edges_reaches_the_port_where_edges_talk() -> None:
    (policy,) = of_kind("base", "NetworkPolicy")
    edges = {"matchLabels": {"app.kubernetes.io/name": NAME}}
    assert policy["spec"]["podSelector"] == edges
    reached = {port["port"]: rule.get("from") for rule in policy["spec"]["ingress"] for port in rule["ports"]}
    assert reached == {"peers": [{"podSelector": edges}], "http": None, "admin": None}


@pytest.mark.parametrize("name", EDGE_POD)
def test_the_configuration_is_the_config_map_that_the_edge_is_told_to_read(name: str) -> None:
    (config,) = of_kind(name, "ConfigMap")
    assert config["metadata"]["name"] == NAME
    assert list(config["data"]) == ["config.yaml"]
    assert edge(name)[1]["args"] == ["serve", "--config", f"configmap/{NAME}"]
    assert config["metadata"]["name"] != STATE


def test_the_demo_is_served_without_a_warning_and_asleep() -> None:
    deployments = of_kind("demo", "Deployment")
    for number, each in enumerate(deployments):
        each["metadata"]["creationTimestamp"] = f"2026-01-0{number + 1}T00:00:00Z"
    merged = Deployments().merge(load(DEPLOY / "base" / "config.yaml"), deployments)
    assert not merged.problems
    services = {service.name: service for service in merged.settings.services}
    assert {share.revision: share.percent for share in services["sentiment"].traffic} == {
        "sentiment-v1": 90,
        "sentiment-v2": 10,
    }
    assert services["generator"].hosts == ("generator.localhost",)
    assert [each["spec"]["replicas"] for each in deployments] == [0, 0, 0]
