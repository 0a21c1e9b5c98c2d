from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import looptime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activator.kube.errors import ApiError
from activator.scalers.base import Phase, ReplicaSet
from tests.activator.scalers.contract import ScalerContract, gone, phases, ready, started
from tests.activator.scalers.kubernetes.stage import LAG, MANAGER, KubernetesStage, on_stage
from tests.models.cluster import COST
from tests.models.kubelet import Life, deployment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.models.cluster import Event

pytestmark = pytest.mark.looptime


@pytest.fixture
async def stage() -> AsyncIterator[KubernetesStage]:
    async with on_stage() as stage:
        yield stage


class TestKubernetesScaler(ScalerContract):
    pass


async def test_a_list_of_an_api_server_that_was_restored_from_a_backup_is_the_truth(stage: KubernetesStage) -> None:
    stage.scaler.scale("good", 2)
    await stage.watcher.until("good", ready(2))
    saved, version = stage.cluster.snapshot(), stage.cluster.version
    stage.scaler.scale("good", 1)
    await stage.watcher.until("good", ready(1))
    await asyncio.sleep(1)
    stage.cluster.rewind(saved, version)
    stage.pods.replace(stage.cluster.objects["pods"].values())
    stage.deployments.replace(stage.cluster.objects["deployments"].values())
    await asyncio.sleep(1)
    assert stage.replicas() == 1
    assert stage.scaler.corrections()["good"] == 0


async def test_what_is_there_already_is_taken_over_as_it_is() -> None:
    async with on_stage() as stage:
        stage.scaler.scale("good", 2)
        await stage.watcher.until("good", ready(2))
        names = list(phases(stage.scaler.replicas("good")))
        stage.scaler.declare({})
        assert stage.scaler.replicas("good") == ReplicaSet("good")
        await asyncio.sleep(10)
        stage.scaler.declare(stage.specs)
        snapshot = await stage.watcher.until("good", ready(2))
        assert (snapshot.desired, list(phases(snapshot))) == (2, names)
        assert len(stage.api.writes) == 1


async def test_a_deployment_that_comes_later_than_its_revision_is_taken_over(stage: KubernetesStage) -> None:
    stage.scaler.declare({**stage.specs, "late": stage.specs["good"]})
    stage.cluster.put("deployments", deployment("late", 1))
    snapshot = await stage.watcher.until("late", ready(1))
    assert snapshot.desired == 1


async def test_a_request_for_a_deployment_that_is_not_there_is_told_so(stage: KubernetesStage) -> None:
    stage.scaler.declare({**stage.specs, "gone": stage.specs["good"]})
    stage.scaler.scale("gone", 1)
    (replica,) = stage.scaler.replicas("gone").replicas
    assert (replica.phase, replica.message) == (Phase.PENDING, "there is no Deployment gone in namespace models")


async def test_closing_leaves_the_deployments_as_they_are(stage: KubernetesStage) -> None:
    await started(stage, 2)
    await stage.scaler.close(drain=0)
    await asyncio.sleep(60)
    assert stage.replicas() == 2


class TestPhases:
    async def test_a_pod_without_a_node_is_pending_by_the_schedulers_words(self, stage: KubernetesStage) -> None:
        stage.kubelet.script("good", [Life(unschedulable=60, delay=5)])
        stage.scaler.scale("good", 1)
        await asyncio.sleep(59)
        (replica,) = stage.scaler.replicas("good").replicas
        assert replica.phase is Phase.PENDING
        assert replica.message.startswith("no node for it yet: 0/2 nodes are available: 2 Insufficient nvidia.com/gpu")
        await asyncio.sleep(2)
        (replica,) = stage.scaler.replicas("good").replicas
        assert replica.phase is Phase.STARTING
        assert replica.since == pytest.approx(61, abs=0.1), "the start clock begins with the node"

    async def test_an_image_that_is_pulled_is_told_and_its_node_is_taken(self, stage: KubernetesStage) -> None:
        stage.kubelet.script("good", [Life(pulling=60)])
        stage.scaler.scale("good", 1)
        await asyncio.sleep(30)
        (replica,) = stage.scaler.replicas("good").replicas
        assert (replica.phase, "its image maybe pulled" in replica.message) == (Phase.STARTING, True)
        await stage.watcher.until("good", ready(1))

    async def test_a_pod_is_used_when_it_answers_whatever_the_kubelet_says(self, stage: KubernetesStage) -> None:
        stage.kubelet.script("good", [Life(delay=5, lag=3600)])
        stage.routing.held["good"] = 1
        stage.scaler.scale("good", 1)
        (replica,) = (await stage.watcher.until("good", ready(1))).replicas
        assert replica.since - 1 == pytest.approx(5, abs=0.04)

    async def test_a_pod_is_not_used_before_it_answers_whatever_the_kubelet_says(self, stage: KubernetesStage) -> None:
        (name,) = await started(stage, 1)
        stage.kubelet.actors[name].answers = False
        await asyncio.sleep(35)
        assert stage.cluster.get("pods", name)["status"]["containerStatuses"][0]["ready"]
        (replica,) = stage.scaler.replicas("good").replicas
        assert (replica.phase, replica.message) == (Phase.STARTING, "connection refused")

    async def test_who_may_not_be_asked_is_used_when_the_kubelet_says_so(self, stage: KubernetesStage) -> None:
        gates = [{"conditionType": "example.com/checked"}]
        stage.cluster.put("deployments", deployment("gated", readinessGates=gates))
        stage.kubelet.script("gated", [Life(delay=5, lag=10)])
        stage.scaler.declare({**stage.specs, "gated": stage.specs["good"]})
        stage.scaler.scale("gated", 1)
        (replica,) = (await stage.watcher.until("gated", ready(1))).replicas
        assert replica.since - 1 == pytest.approx(15, abs=0.1)
        assert stage.asked == []

    async def test_a_starting_pod_is_asked_every_20_ms_while_requests_wait_and_slower_otherwise(
        self, stage: KubernetesStage
    ) -> None:
        stage.scaler.scale("slow", 1)
        await asyncio.sleep(10)
        assert 40 <= len(stage.asked) <= 55
        stage.routing.held["slow"] = 1
        stage.asked.clear()
        await asyncio.sleep(10)
        assert 450 <= len(stage.asked) <= 505

    async def test_a_pod_that_someone_deletes_drains_and_another_comes(self, stage: KubernetesStage) -> None:
        stage.kubelet.script("good", [Life(ending=30)])
        (name,) = await started(stage, 1)
        stage.cluster.end_pod(name)
        snapshot = await stage.watcher.until("good", lambda seen: seen.count(Phase.DRAINING) == 1)
        snapshot = await stage.watcher.until("good", lambda seen: seen.count(Phase.READY) == 1)
        assert phases(snapshot)[name] is Phase.DRAINING
        assert len(stage.api.writes) == 1
        await stage.watcher.until("good", ready(1))

    async def test_a_pod_that_was_evicted_is_told_and_another_comes(self, stage: KubernetesStage) -> None:
        (name,) = await started(stage, 1)
        failed = {"phase": "Failed", "reason": "Evicted", "message": "the node was low on memory"}
        stage.cluster.change("pods", name, lambda pod: pod["status"].update(failed))
        snapshot = await stage.watcher.until("good", lambda seen: name not in phases(seen))
        assert "Evicted the node was low on memory" in snapshot.last_failure
        stage.kubelet._sync("good")
        await stage.watcher.until("good", ready(1))


class TestFailingStarts:
    async def test_the_log_is_read_where_a_container_left_no_message(self, stage: KubernetesStage) -> None:
        stage.kubelet.script("good", [Life(failure=" ")])
        stage.cluster.logs["good-1"] = "loading\nRuntimeError: no kernel image\n"
        stage.scaler.scale("good", 1)
        snapshot = await stage.watcher.until("good", lambda seen: "no kernel image" in seen.last_failure)
        assert snapshot.failures == 1
        snapshot = await stage.watcher.until("good", lambda seen: seen.failures == 2)
        assert "no kernel image" in snapshot.last_failure, "the words of the first time, until those of this time come"

    async def test_an_image_that_cannot_be_pulled_counts_again_and_again(self, stage: KubernetesStage) -> None:
        stage.kubelet.script("good", [Life(image="ImagePullBackOff")])
        stage.scaler.scale("good", 1)
        await asyncio.sleep(45)
        snapshot = stage.scaler.replicas("good")
        assert (snapshot.failures, snapshot.doomed, snapshot.replicas) == (5, False, ())
        assert "its image cannot be pulled (ImagePullBackOff)" in snapshot.last_failure

    async def test_another_template_is_another_chance(self, stage: KubernetesStage) -> None:
        stage.scaler.scale("doomed", 1)
        assert (await stage.watcher.until("doomed", lambda seen: seen.failures == 1)).doomed

        def mend(item: dict[str, Any]) -> None:
            item["spec"]["template"]["spec"]["containers"][0]["image"] = "model:2"

        stage.cluster.change("deployments", "doomed", mend)
        snapshot = await stage.watcher.until("doomed", lambda seen: not seen.failures)
        assert (snapshot.doomed, snapshot.edition) == (False, 1)

    async def test_the_kubelets_own_wait_is_told(self, stage: KubernetesStage) -> None:
        stage.kubelet.script("good", [Life(failure="no memory")])
        stage.scaler.scale("good", 1)
        await stage.watcher.until("good", lambda seen: seen.failures == 1)
        (pod,) = stage.kubelet.pods("good")
        waiting = {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container=model"}

        def wait(item: dict[str, Any]) -> None:
            item["status"]["containerStatuses"][0].update(restartCount=1, state={"waiting": waiting})

        stage.cluster.change("pods", pod["metadata"]["name"], wait)
        snapshot = await stage.watcher.until("good", lambda seen: seen.failures == 2)
        assert snapshot.retry_at == pytest.approx(stage.clock() + 300, abs=1)


class TestScalingDown:
    async def test_the_number_is_lowered_as_replicas_become_idle(self, stage: KubernetesStage) -> None:
        names = await started(stage, 4)
        stage.routing.busy |= {names[0]: 1, names[1]: 1}
        stage.scaler.scale("good", 1)
        await asyncio.sleep(1)
        assert stage.replicas() == 2
        assert phases(stage.scaler.replicas("good")) == {names[0]: Phase.READY, names[1]: Phase.DRAINING}
        stage.routing.finish(names[1])
        await stage.watcher.until("good", ready(1))
        assert stage.replicas() == 1

    async def test_costs_are_set_and_seen_before_the_number_is_lowered(self, stage: KubernetesStage) -> None:
        names = await started(stage, 2)
        stage.routing.busy[names[1]] = 1
        seen: list[tuple[str, str]] = []

        def note(event: Event) -> None:
            if event.plural == "pods" and event.item["metadata"].get("annotations"):
                seen.append((event.item["metadata"]["name"], "cost"))
            if event.plural == "deployments" and event.item["spec"]["replicas"] == 1:
                seen.append((event.item["metadata"]["name"], "scale"))

        stage.cluster.on_change.insert(0, note)
        stage.scaler.scale("good", 1)
        await stage.watcher.until("good", ready(1))
        assert seen[:2] == [(names[0], "cost"), ("good", "scale")]
        assert list(phases(stage.scaler.replicas("good"))) == [names[1]]

    async def test_one_that_became_idle_goes_before_one_that_was_less_busy_when_it_was_chosen(
        self, stage: KubernetesStage
    ) -> None:
        names = await started(stage, 3)
        stage.routing.busy |= {names[0]: 9, names[1]: 5, names[2]: 1}
        stage.scaler.scale("good", 1)
        await asyncio.sleep(1)
        stage.api.cost_lag = 0.5
        stage.routing.finish(names[1])
        await asyncio.sleep(1)
        assert phases(stage.scaler.replicas("good")) == {names[0]: Phase.READY, names[2]: Phase.DRAINING}

    async def test_to_zero_no_cost_is_needed(self, stage: KubernetesStage) -> None:
        await started(stage, 2)
        stage.scaler.scale("good", 0)
        await stage.watcher.until("good", gone)
        assert not any(pod["metadata"].get("annotations") for pod in stage.cluster.objects["pods"].values())
        assert stage.api.writes[-1][2] == 0

    async def test_one_that_was_taken_back_is_as_dear_as_the_others_again(self, stage: KubernetesStage) -> None:
        names = await started(stage, 2)
        stage.routing.busy |= dict.fromkeys(names, 1)
        stage.scaler.scale("good", 1)
        await asyncio.sleep(1)
        assert sum(COST in (pod["metadata"].get("annotations") or {}) for pod in stage.kubelet.pods("good")) == 1
        stage.scaler.scale("good", 2)
        await asyncio.sleep(1)
        assert not any(pod["metadata"].get("annotations") for pod in stage.kubelet.pods("good"))

    async def test_without_the_right_to_set_costs_it_waits_until_all_that_may_go_are_idle(
        self, stage: KubernetesStage
    ) -> None:
        names = await started(stage, 2)
        stage.api.may_patch_pods = False
        stage.routing.busy[names[1]] = 1
        stage.scaler.scale("good", 1)
        await asyncio.sleep(60)
        assert stage.replicas() == 2
        ((_, sentence),) = stage.hindrances
        assert sentence == "deletion costs cannot be set: the API server answered 403 Forbidden: pods is forbidden"
        stage.routing.finish(names[1])
        await asyncio.sleep(60)
        assert stage.replicas() == 1

    @pytest.mark.parametrize("status", [400, 422])
    async def test_a_policy_that_denies_costs_is_told_and_waits_like_a_missing_right(
        self, stage: KubernetesStage, status: int
    ) -> None:
        names = await started(stage, 2)
        denial = ApiError(status, "Denied", "admission webhook denied the request")
        stage.api.refuse_costs = lambda pod: denial
        stage.routing.busy[names[1]] = 1
        stage.scaler.scale("good", 1)
        await asyncio.sleep(60)
        assert stage.replicas() == 2
        ((_, sentence),) = stage.hindrances
        assert sentence.startswith("deletion costs cannot be set")
        stage.routing.finish(names[1])
        await asyncio.sleep(60)
        assert stage.replicas() == 1

    @pytest.mark.parametrize("status", [401, 408, 409, 429, 503])
    async def test_a_cost_that_is_refused_for_a_moment_is_set_soon_after_and_holds_up_no_other(
        self, stage: KubernetesStage, status: int
    ) -> None:
        names = await started(stage, 3)
        stage.routing.busy[names[2]] = 1
        refusal, until = ApiError(status, "Later", "try again"), stage.clock() + 20
        stage.api.refuse_costs = lambda pod: refusal if pod == names[0] and stage.clock() < until else None
        stage.scaler.scale("good", 1)
        await asyncio.sleep(10)
        assert stage.replicas() == 2
        await asyncio.sleep(20)
        assert (stage.replicas(), stage.hindrances) == (1, [])

    async def test_during_a_rollout_only_the_way_to_zero_is_open(self, stage: KubernetesStage) -> None:
        await started(stage, 3)
        rolling = {"replicas": 4, "updatedReplicas": 1}
        stage.cluster.change("deployments", "good", lambda item: item.update(status=rolling))
        await asyncio.sleep(0.1)
        stage.scaler.scale("good", 1)
        await asyncio.sleep(60)
        assert stage.replicas() == 3
        stage.scaler.scale("good", 0)
        await stage.watcher.until("good", gone)

    async def test_a_drain_may_have_an_end(self, stage: KubernetesStage) -> None:
        bounded = {**stage.specs, "good": replace(stage.specs["good"], drain_timeout=30.0)}
        stage.scaler.declare(bounded)
        (name,) = await started(stage, 1)
        stage.routing.busy[name] = 1
        stage.scaler.scale("good", 0)
        await asyncio.sleep(29)
        assert stage.replicas() == 1
        await asyncio.sleep(2)
        assert stage.replicas() == 0

    async def test_a_request_that_comes_while_zero_is_written_gets_a_replica(self, stage: KubernetesStage) -> None:
        await started(stage, 1)
        stage.scaler.scale("good", 0)
        await asyncio.sleep(LAG / 2)
        stage.scaler.scale("good", 1)
        await asyncio.sleep(1)
        await stage.watcher.until("good", ready(1))
        assert [number for _, _, number in stage.api.writes][:3] == [1, 0, 1]
        assert stage.replicas() == 1

    async def test_one_that_a_refused_write_would_have_ended_serves_again(self, stage: KubernetesStage) -> None:
        (name,) = await started(stage, 1)
        stage.api.refusals.append(ApiError(500, "InternalError", "etcd"))
        stage.scaler.scale("good", 0)
        await asyncio.sleep(LAG / 2)
        stage.scaler.scale("good", 1)
        assert phases(stage.scaler.replicas("good"))[name] is Phase.DRAINING
        await asyncio.sleep(LAG)
        assert phases(stage.scaler.replicas("good")) == {name: Phase.READY}


class TestOthers:
    async def test_who_does_not_lead_only_wakes(self) -> None:
        async with on_stage(leads=lambda: False) as stage:
            stage.scaler.scale("good", 1)
            await stage.watcher.until("good", ready(1))
            stage.scaler.scale("good", 3)
            stage.scaler.scale("good", 0)
            await asyncio.sleep(10)
            assert stage.replicas() == 1
            assert stage.scaler.replicas("good").count(Phase.READY) == 1

    async def test_who_does_not_lead_follows_the_number_that_is_there(self) -> None:
        async with on_stage(leads=lambda: False) as stage:
            stage.cluster.scale("good", 2, MANAGER)
            assert (await stage.watcher.until("good", ready(2))).desired == 2
            stage.cluster.scale("good", 0, MANAGER)
            assert (await stage.watcher.until("good", gone)).desired == 0

    async def test_while_someone_else_has_his_way_nothing_is_drained_and_those_who_wait_know_why(
        self, stage: KubernetesStage
    ) -> None:
        stage.scaler.scale("good", 1)
        for _ in range(5):
            await asyncio.sleep(10)
            stage.cluster.scale("good", 3, "keda-operator")
        snapshot = await stage.watcher.until("good", ready(3))
        assert snapshot.desired == 3
        ((revision, sentence),) = stage.hindrances
        assert (revision, "pause it with the annotation" in sentence) == ("good", True)
        assert (stage.scaler.corrections()["good"], stage.scaler.held()["good"]) == (3, True)
        stage.cluster.scale("good", 0, "keda-operator")
        await stage.watcher.until("good", gone)
        stage.scaler.scale("good", 1)
        (replica,) = stage.scaler.replicas("good").replicas
        assert replica.phase is Phase.PENDING
        assert "keda-operator also writes" in replica.message

    async def test_a_quota_is_told(self, stage: KubernetesStage) -> None:
        failure = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: gpus"}
        stage.kubelet.close()
        stage.cluster.on_change.remove(stage.kubelet._saw)
        stage.scaler.scale("good", 1)
        await asyncio.sleep(1)
        stage.cluster.change("deployments", "good", lambda item: item.update(status={"conditions": [failure]}))
        await asyncio.sleep(1)
        (replica,) = stage.scaler.replicas("good").replicas
        assert (replica.phase, replica.message) == (Phase.PENDING, "pods cannot be created: exceeded quota: gpus")

    async def test_while_the_api_server_is_away_those_who_wait_know_why(self, stage: KubernetesStage) -> None:
        stage.api.away = True
        stage.scaler.scale("good", 1)
        await asyncio.sleep(60)
        (replica,) = stage.scaler.replicas("good").replicas
        assert replica.phase is Phase.PENDING
        assert "the Kubernetes API cannot be reached: connection refused" in replica.message
        stage.api.away = False
        await stage.watcher.until("good", ready(1))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["scale", "busy", "idle", "wait", "crash"]), st.integers(0, 5)), max_size=25))
def test_no_scale_down_ever_ends_a_pod_that_has_requests(steps: list[tuple[str, int]]) -> None:
    async def play() -> None:
        async with on_stage() as stage:
            ended: list[str] = []

            def note(event: Event) -> None:
                meta = event.item["metadata"]
                if event.plural == "pods" and meta.get("deletionTimestamp") and stage.routing.busy.get(meta["name"]):
                    ended.append(meta["name"])

            stage.cluster.on_change.insert(0, note)
            for action, number in steps:
                serving = [r.name for r in stage.scaler.replicas("good").replicas if r.phase is Phase.READY]
                if action == "scale":
                    stage.scaler.scale("good", number)
                elif action == "busy" and serving:
                    stage.routing.busy[serving[number % len(serving)]] = 1
                elif action == "idle" and stage.routing.busy:
                    stage.routing.finish(sorted(stage.routing.busy)[number % len(stage.routing.busy)])
                elif action == "crash" and serving:
                    name = serving[number % len(serving)]
                    stage.routing.busy.pop(name, None)
                    stage.kubelet.crash(name)
                else:
                    await asyncio.sleep(number / 200)
                assert ended == []
            wanted = next((number for action, number in reversed(steps) if action == "scale"), 0)
            for name in list(stage.routing.busy):
                stage.routing.finish(name)
            await stage.watcher.until("good", ready(wanted))
            await asyncio.sleep(1)  # the last write is under way
            assert (ended, stage.replicas()) == ([], wanted)

    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        runner.run(play())
