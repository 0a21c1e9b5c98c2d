"""The five examples of inference services, each as a user would take it: rendered with a command, served, and awake
only while it is needed. The servers are stand-ins that speak the paths of TensorFlow Serving and KServe."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from typer.testing import CliRunner

from activator.cli import app
from tests.journeys.services import MODELS, configuration
from tests.journeys.test_kubernetes import on_stage
from tests.models.cluster import NAMESPACE
from tests.ports import free_ports

if TYPE_CHECKING:
    from tests.journeys.conftest import Serve
    from tests.journeys.edge import Answer, Edge

EXAMPLES = Path(__file__).parents[2] / "examples" / "inferenceservices"
SERVER = f"{sys.executable} -S -E {MODELS / 'inference.py'}"
SCALING = {"max-scale-up-rate": 100, "max-scale-down-rate": 100, "panic-threshold-percentage": 1000}


def rendered(name: str, home: Path, **env: str) -> dict[str, Any]:
    """Return what `render --local` makes of an example, on short clocks."""
    base = home / "base.yaml"
    (port,) = free_ports(1)
    settings = configuration(listen=f"127.0.0.1:{port}")
    settings["autoscaling"] |= {"scale-to-zero-grace-period": "300ms", **SCALING}
    base.write_text(json.dumps(settings))
    described = " ".join(f"{key}={value}" for key, value in {"MODEL_NAME": name, **env}.items())
    command = f"{name}=env {described} {SERVER}"
    result = CliRunner().invoke(
        app, ["render", str(EXAMPLES / f"{name}.yaml"), "--local", "--command", command, "--config", str(base)]
    )
    assert result.exit_code == 0, result.output
    data: dict[str, Any] = yaml.safe_load(result.stdout)
    return data


@pytest.fixture
def start(serve: Serve, tmp_path: Path) -> Any:
    """Starts an edge with an example."""
    return lambda name, **env: serve(rendered(name, tmp_path, **env))


async def predict(edge: Edge, host: str, path: str = "") -> Answer:
    body = json.dumps({"instances": ["a"]}).encode()
    return await edge.request(host, path or f"/v1/models/{host}:predict", "POST", data=body)


def started(edge: Edge, revision: str) -> int:
    return len(edge.stamps(revision, "start"))


async def test_gpt2_wakes_transformer_and_predictor_and_both_go_back_to_sleep(start: Any) -> None:
    edge = start("gpt2")
    for _ in range(2):
        await edge.ready("gpt2", 0)
        await edge.ready("gpt2-predictor-default", 0)
        answer = await predict(edge, "gpt2")
        assert (answer.status, answer.json["predictions"]) == (200, ["gpt2 saw a"])
        assert answer.json["through"].startswith("gpt2-transformer-")
        assert answer.json["replica"].startswith("gpt2-predictor-")


async def test_a_chain_of_2_s_and_4_s_answers_after_the_longest_start(serve: Serve, tmp_path: Path) -> None:
    """Not after their sum, which is 6 s, or more on a busy machine."""
    config = rendered("gpt2", tmp_path)
    starts = {"gpt2": "2", "gpt2-predictor-default": "4"}
    for service in config["services"]:
        [revision] = service["revisions"]
        revision["command"] = revision["command"].replace("env ", f"env START_SECONDS={starts[service['name']]} ", 1)
    edge = serve(config)
    answer = await predict(edge, "gpt2")
    answered = time.time()
    assert (answer.status, answer.json["predictions"]) == (200, ["gpt2 saw a"])
    transformer, predictor = (service["revisions"][0]["name"] for service in config["services"])
    begun, listening = (
        [edge.stamps(name, event)[0].at / 1e9 for name in (transformer, predictor)] for event in ("start", "listening")
    )
    assert begun[1] < listening[0]
    assert 4.0 <= answered - min(begun) < sum(listening) - sum(begun)


async def test_classifier_has_a_transformer_that_stays_and_a_predictor_that_sleeps(start: Any) -> None:
    edge = start("classifier")
    [transformer] = await edge.ready("classifier", 1)
    for _ in range(2):
        await edge.ready("classifier-predictor", 0)
        answer = await predict(edge, "classifier")
        assert (answer.status, answer.json["through"]) == (200, transformer)
    await edge.ready("classifier-predictor", 0)
    assert await edge.ready("classifier", 1) == [transformer]


async def test_basnet_is_asked_at_its_root_and_one_replica_stays(start: Any) -> None:
    edge = start("basnet", WORK_SECONDS="0.3")
    [kept] = await edge.ready("basnet", 1)
    asked = [asyncio.create_task(predict(edge, "basnet", "/")) for _ in range(12)]
    await edge.until(lambda: started(edge, kept.rpartition("-")[0]) > 1)
    answers = await asyncio.gather(*asked)
    assert {answer.status for answer in answers} == {200}
    await edge.ready("basnet", 1)


async def test_sentiment_sleeps_and_is_woken_by_a_request(start: Any) -> None:
    edge = start("sentiment", START_SECONDS="0.3")
    for _ in range(2):
        await edge.ready("sentiment", 0)
        answer = await predict(edge, "sentiment")
        assert (answer.status, answer.json["predictions"]) == (200, ["sentiment saw a"])
        assert answer.timing["hold"] >= 300
    assert (await edge.request("sentiment-predictor-default", "/v1/models/sentiment")).json["ready"]


async def test_aitextgen_starts_three_replicas_keeps_them_and_scales_above(start: Any) -> None:
    edge = start("aitextgen", WORK_SECONDS="0.3")
    three = await edge.ready("aitextgen", 3)
    await asyncio.sleep(1.0)
    assert await edge.ready("aitextgen", 3) == three
    enough = asyncio.Event()

    async def come_again() -> set[int]:
        seen = set()
        while not enough.is_set():
            seen.add((await predict(edge, "aitextgen")).status)
        return seen

    crowd = [asyncio.create_task(come_again()) for _ in range(7)]
    await edge.eventually(lambda: _more_than_three(edge))
    enough.set()
    assert set().union(*await asyncio.gather(*crowd)) == {200}
    assert len(await edge.ready("aitextgen", 3)) == 3


async def _more_than_three(edge: Edge) -> bool | None:
    phases = [each["phase"] for each in (await edge.look("aitextgen"))["replicas"]]
    return phases.count("ready") > 3 or None


def deployments(name: str, port: int, file: Path) -> list[Any]:
    """Return the Deployments that are rendered of an example whose container listens at a port."""
    data = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text())
    [container] = data["spec"]["predictor"]["containers"]
    container["ports"] = [{"containerPort": port}]
    file.write_text(yaml.safe_dump(data))
    result = CliRunner().invoke(app, ["render", str(file), "--namespace", NAMESPACE])
    assert result.exit_code == 0, result.output
    return [each for each in yaml.safe_load_all(result.stdout) if each["kind"] == "Deployment"]


async def test_what_is_rendered_for_a_cluster_is_served_there(tmp_path: Path) -> None:
    async with on_stage(tmp_path) as stage:
        [made] = deployments("sentiment", stage.pods.port, tmp_path / "sentiment.yaml")
        name = made["metadata"]["name"]
        made["spec"]["replicas"] = 1  # as the API server has it where there is none
        made["spec"]["template"]["metadata"]["labels"]["app"] = name  # by which the stand-in knows its pods
        stage.cluster.put("deployments", made)
        await stage.edge.eventually(lambda: _known(stage.edge, "sentiment"))
        await stage.zero(name)
        hosts = [f"{each}.{NAMESPACE}" for each in ("sentiment", "sentiment-predictor-default")]
        for host in (*hosts, f"sentiment.{NAMESPACE}.svc.cluster.local"):
            answer = await stage.edge.request(host, "/v1/models/sentiment:predict", "POST", data=b"{}")
            assert (answer.status, answer.headers["Pod"].startswith(name)) == (200, True)
        await stage.zero(name)


async def _known(edge: Edge, service: str) -> bool | None:
    services = (await edge.admin("/v1/services"))["services"]
    return service in {each["name"] for each in services} or None
