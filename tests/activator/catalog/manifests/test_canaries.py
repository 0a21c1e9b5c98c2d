"""What a manifest gives a part of the traffic is a canary: warm first and guarded, with the share that is written."""

from __future__ import annotations

from typing import Any

import pytest

from activator.catalog import file
from activator.catalog.manifests import use
from activator.catalog.merge import Deployments
from activator.settings.schema import Settings
from tests.activator.catalog.manifests.test_render import (
    BOX,
    OTHER,
    from_a_file,
    from_deployments,
    objects,
)
from tests.activator.catalog.manifests.written import IMAGE, alpha, beta, custom, joined, knative, problems
from tests.activator.settings.files import loaded as settings_of

BEFORE = beta(custom(nodeSelector={"v": "1"}))
GUARD = "gpu-activator/canary-guard"


def latest(annotations: dict[str, str] | None = None, **predictor: Any) -> dict[str, Any]:
    return beta(custom(nodeSelector={"v": "2"}, **predictor), annotations=annotations)


def told(manifests: Any) -> list[str]:
    return [each.message for each in manifests.warnings]


@pytest.mark.parametrize("catalog_of", [from_deployments, from_a_file])
def test_canary_traffic_percent_is_a_fixed_share_that_is_warm_first_and_guarded(catalog_of: Any) -> None:
    manifests = joined(latest(canaryTrafficPercent=10), BEFORE)
    new, old = manifests.applications[0].components[0].revisions
    canary = catalog_of(manifests).canaries["m"]
    assert (canary.revision, canary.stable, canary.goal, canary.ladder) == (new.name, old.name, 10, (10,))
    assert canary.warm_first
    assert not canary.hold
    assert canary.guard is not None


@pytest.mark.parametrize("catalog_of", [from_deployments, from_a_file])
def test_annotations_of_the_manifest_say_how_it_is_rolled_out(catalog_of: Any) -> None:
    notes = {GUARD: "false", "gpu-activator/canary-steps": "1, 5", "gpu-activator/canaryWarmFirst": "false"}
    catalog = catalog_of(joined(latest({**notes, "gpu-activator/sticky": "address"}, canaryTrafficPercent=50), BEFORE))
    canary = catalog.canaries["m"]
    assert (canary.ladder, canary.guard, canary.warm_first) == ((1, 5, 50), None, False)
    assert catalog.table.services[0].sticky is not None


def test_a_new_revision_without_a_percentage_gets_all_once_it_is_ready() -> None:
    canary = from_deployments(joined(latest(), BEFORE)).canaries["m"]
    assert (canary.goal, canary.ladder, canary.warm_first) == (100, (100,), True)


def test_a_revision_that_a_new_transformer_calls_now_is_not_kept_beside_it() -> None:
    transformed = beta(custom(nodeSelector={"v": "1"}), transformer=custom(canaryTrafficPercent=10))
    manifests = joined(transformed, BEFORE)
    names = [revision.name for _, revision in manifests.applications[0].revisions()]
    assert len(names) == len(set(names)) == 2
    assert "the other 90 % are of" in "".join(told(manifests))
    assert {service.name for service in from_a_file(manifests).table.services} == {"m", "m-predictor"}


def test_the_canary_of_v1alpha2_is_tried_beside_the_default() -> None:
    data = alpha({"predictor": BOX, "transformer": BOX}, {"predictor": OTHER, "transformer": OTHER})
    data["spec"]["canaryTrafficPercent"] = 20
    catalog = from_deployments(joined(data, None))
    assert set(catalog.canaries) == {"m"}
    canary = catalog.canaries["m"]
    assert canary.goal == 20
    assert catalog.plans[canary.revision].wakes != catalog.plans[canary.stable].wakes


def test_of_several_canaries_the_first_is_tried_and_the_others_are_told_of() -> None:
    canaries = [
        {"predictor": {"name": name, "containers": [{**IMAGE, "image": f"{name}:1"}]}, "trafficPercent": 5}
        for name in ("blue", "green")
    ]
    manifests = joined(beta(canary=canaries), None)
    catalog = from_deployments(manifests)
    stable, blue, _ = (revision.name for _, revision in manifests.applications[0].revisions())
    assert (catalog.canaries["m"].revision, catalog.canaries["m"].stable) == (blue, stable)
    assert [each for each in told(manifests) if "only the first, blue" in each]


def test_a_template_that_shares_the_traffic_of_a_knative_service_is_tried() -> None:
    traffic = [{"latestRevision": True, "percent": 30}, {"revisionName": "m-one", "percent": 70}]
    before = knative({"nodeSelector": {"v": "1"}}, name="m-one")
    canary = from_deployments(joined(knative(traffic=traffic), before)).canaries["m"]
    assert (canary.goal, canary.stable[:2]) == (30, "m-")


def test_only_the_canary_itself_says_that_it_is_one_so_that_this_goes_with_it() -> None:
    manifests = joined(latest(canaryTrafficPercent=10), BEFORE)
    new, old = (each["metadata"]["annotations"] for each in objects(manifests, "Deployment"))
    assert "gpu-activator/canary-revision" in new
    assert not [key for key in old if "canary" in key]


def test_it_serves_on_when_the_former_revision_is_deleted() -> None:
    manifests = joined(latest(), BEFORE)
    new, _ = objects(manifests, "Deployment")
    merged = file_of(new)
    assert merged.canaries == {}
    assert [share.percent for share in merged.table.services[0].shares] == [100]


def file_of(deployment: Any) -> Any:
    merged = Deployments().merge(settings_of("{scaler: memory, services: []}"), [deployment])
    assert merged.refused == frozenset()
    return file.build(merged.settings)


def test_annotations_about_a_canary_that_is_not_there_are_told_of() -> None:
    manifests = joined(latest({GUARD: "false"}), None)
    assert f"{GUARD} has no effect: no other revision is beside this one" in told(manifests)
    assert "canary" not in use.for_cluster(manifests, Settings())


def test_steps_that_do_not_rise_are_refused() -> None:
    [problem] = problems(latest({"gpu-activator/canary-steps": "5,5"}))
    assert "gpu-activator/canary-steps must rise" in problem
    [problem] = problems(latest({"gpu-activator/canary-steps": "5,x"}))
    assert "must be a whole number" in problem


def test_a_former_chain_that_the_new_manifest_has_not_is_told_of() -> None:
    manifests = joined(latest(canaryTrafficPercent=10), beta(transformer=custom(nodeSelector={"v": "1"})))
    assert [each for each in told(manifests) if "calls m-predictor, which is not kept" in each]
    assert from_a_file(manifests).plans.keys() == from_deployments(manifests).plans.keys()
