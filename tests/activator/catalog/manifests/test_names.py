"""By which names the model of a manifest is called: as its server is told, else as the manifest."""

from __future__ import annotations

from typing import Any

import pytest

from tests.activator.catalog.manifests.test_render import from_a_file, from_deployments
from tests.activator.catalog.manifests.written import IMAGE, alpha, beta, custom, joined, knative, warnings

MODELS = "gpu-activator/models"


def box(*arguments: str, **more: Any) -> Any:
    return {"containers": [{**IMAGE, "args": list(arguments), **more}]}


def models(data: Any) -> dict[str, tuple[str, ...]]:
    manifests = joined(data, None)
    found, same = (
        {service.name: service.models for service in catalog_of(manifests).table.services}
        for catalog_of in (from_deployments, from_a_file)
    )
    assert found == same
    return found


@pytest.mark.parametrize(
    ("predictor", "names"),
    [
        (custom(), ("m",)),
        ({"sklearn": {"storageUri": "pvc://a/b"}}, ("m",)),
        ({"sklearn": {"storageUri": "pvc://a/b", "protocolVersion": "v2"}}, ("m",)),
        ({"huggingface": {"args": ["--model_name=llama", "--model_id=org/llama"]}}, ("llama",)),
        (box("--model_name", "gpt"), ("gpt",)),
        (box("--model-name=gpt", "--served-model-name", "org/a", "b", "--port=1"), ("org/a", "b")),
        (box("--served-model-name=a", "b"), ("a",)),
        (box("--model_name=a", "--model_name=b"), ("b",)),
        (box("exec vllm serve org/x --served-model-name 'x'", command=["sh", "-c"]), ("x",)),
        (box("--model_name=$(NAME)"), ("m",)),
        (box("--model_name"), ("m",)),
    ],
)
def test_a_model_is_called_as_its_server_is_told(predictor: Any, names: tuple[str, ...]) -> None:
    assert models(beta(predictor)) == {"m": names}


def test_all_revisions_of_a_service_are_called_alike_or_by_all_their_names() -> None:
    canary = {"predictor": {"name": "c", **box("--model_name=two")}, "trafficPercent": 5}
    assert models(beta(box("--model_name=one"), canary=[canary])) == {"m": ("one", "two")}


def test_what_lies_behind_a_transformer_is_not_chosen_by_name() -> None:
    assert models(beta(transformer=custom())) == {"m": ("m",), "m-predictor": ()}
    old = {"custom": {"container": {"image": "m:1"}}}
    assert models(alpha({"predictor": old, "transformer": old}))["m-predictor-default"] == ()


def test_an_annotation_names_them_instead() -> None:
    data = beta(annotations={MODELS: "org/a, b"})
    assert models(data) == {"m": ("org/a", "b")}
    [service] = from_deployments(joined(data, None)).table.services
    assert not service.other_models
    assert models(beta(annotations={MODELS: ""})) == {"m": ()}


def test_names_that_were_only_guessed_refuse_no_other() -> None:
    [service] = from_deployments(joined(beta(), None)).table.services
    assert service.other_models


def test_a_knative_service_has_models_only_if_it_names_them() -> None:
    assert models(knative()) == {"m": ()}
    assert models(knative(annotations={MODELS: "a"})) == {"m": ("a",)}
    data = knative(annotations={"gpu-activator/sleeping-probes": "wake"})
    assert models(data) == {"m": ()}
    assert [each for each in warnings(data) if "sleeping-probes has no effect: name the gpu-activator/models" in each]
