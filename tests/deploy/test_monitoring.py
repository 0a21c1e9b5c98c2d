"""Dashboard and alerts ask for metrics that exist, by labels that they have."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from router.errors import Reason
from tests.activator.test_metrics import CLUSTER, NEW, NEW_LABELS, OLD, OLD_LABELS, OURS
from tests.deploy.manifests import DEPLOY, of_kind, rendered

OVERLAY = "overlays/prometheus-operator"
DASHBOARD = json.loads((DEPLOY / OVERLAY / "dashboard.json").read_text())
SCRAPED = {"namespace", "pod"}  # what Prometheus adds to every series of a PodMonitor
LABELS = {
    **{name: OLD_LABELS | {"response_code", "response_code_class", "le"} for name in OLD},
    **{name: NEW_LABELS | {"le"} for name in NEW},
    **{name: {"service", "revision", "le"} for name in OURS | CLUSTER},
    "activator_replicas": {"service", "revision", "state"},
    "activator_refused_total": {"reason"},
    "activator_ended_total": {"service", "revision", "reason"},
    "activator_cold_start_seconds_bucket": {"service", "revision", "phase", "le"},
    "activator_cold_start_seconds_count": {"service", "revision", "phase"},
    "activator_api_calls_total": {"verb", "resource", "status"},
    "activator_deployment_problems": {"deployment"},
    "activator_replica_corrections_total": {"deployment"},
    "activator_replicas_contested": {"deployment"},
    "activator_watch_up": {"resource"},
}
METRIC = re.compile(r"\b((?:activator|autoscaler|kn|revision|http_server)_\w+)(?:\{([^}]*)\})?")


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def alerts() -> list[dict[str, Any]]:
    (rule,) = of_kind(OVERLAY, "PrometheusRule")
    return [alert for group in rule["spec"]["groups"] for alert in group["rules"]]


def queries() -> list[str]:
    asked = [target["expr"] for panel in panels() for target in panel["targets"]]
    variables = [each["definition"] for each in DASHBOARD["templating"]["list"] if "definition" in each]
    return [*asked, *variables, *(alert["expr"] for alert in alerts())]


def metrics(query: str) -> list[tuple[str, str]]:
    """Return the metrics of a query with their matchers, without labels that are named by `by (...)`."""
    return METRIC.findall(re.sub(r"by \([^)]*\)", "", query))


def test_every_query_asks_for_a_metric_that_exists() -> None:
    for query in queries():
        names = [name for name, _ in metrics(query)]
        assert names, query
        assert set(names) <= OLD | NEW | OURS | CLUSTER, query


def test_every_label_is_one_that_the_metric_has() -> None:
    for query in queries():
        (first, *_) = found = metrics(query)
        for name, matchers in found:
            labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
            assert labels <= LABELS[name] | SCRAPED, (name, labels)
        for names in re.findall(r"by \(([^)]*)\)", query):
            assert set(re.split(r",\s*", names)) <= LABELS[first[0]] | SCRAPED, query


def test_reasons_that_alerts_look_for_are_given_by_the_edge() -> None:
    for reasons in re.findall(r'reason=~?"([^"]+)"', " ".join(alert["expr"] for alert in alerts())):
        assert set(reasons.split("|")) <= set(Reason)


def test_requests_that_are_refused_as_no_start_succeeds_are_told_before_its_third_failure() -> None:
    (alert,) = [alert for alert in alerts() if alert["alert"] == "ActivatorStartsFail"]
    assert ("activator_ended_total", f'reason="{Reason.START_FAILED}"') in metrics(alert["expr"])


def test_that_no_edge_is_left_to_tell_anything_is_told_by_what_they_told_before() -> None:
    (alert,) = [alert for alert in alerts() if alert["alert"] == "ActivatorIsAway"]
    before, present = alert["expr"].split(" unless ")
    assert before == f"group by (namespace) (present_over_time({metrics(present)[0][0]}[1h]))"


def test_brackets_of_every_query_are_closed() -> None:
    for query in queries():
        for pair in ("()", "[]", "{}"):
            assert query.count(pair[0]) == query.count(pair[1]), query


def test_labels_in_an_alerts_text_are_left_by_its_expression() -> None:
    for alert in alerts():
        used = set(re.findall(r"\$labels\.(\w+)", json.dumps(alert["annotations"])))
        kept = {name for names in re.findall(r"by \(([^)]*)\)", alert["expr"]) for name in re.split(r",\s*", names)}
        assert used <= kept, alert["alert"]
        assert alert["annotations"].keys() == {"summary", "description"}


def test_panels_have_a_title_a_description_and_a_place_of_their_own() -> None:
    assert all(panel["title"] and panel["description"] for panel in panels())
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


@pytest.mark.parametrize("kind", ["PodMonitor", "PrometheusRule"])
def test_the_overlay_has_what_the_operator_reads(kind: str) -> None:
    assert len(of_kind(OVERLAY, kind)) == 1


def test_the_monitor_scrapes_the_admin_port_of_the_edges() -> None:
    (monitor,) = of_kind(OVERLAY, "PodMonitor")
    (edge,) = of_kind(OVERLAY, "Deployment")
    pod = edge["spec"]["template"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] in {port["name"] for port in pod["spec"]["containers"][0]["ports"]}


def test_the_dashboard_is_delivered_as_it_is() -> None:
    delivered = [item for item in rendered(OVERLAY) if "grafana_dashboard" in item["metadata"].get("labels", {})]
    assert [json.loads(each["data"]["gpu-activator.json"]) for each in delivered] == [DASHBOARD]
