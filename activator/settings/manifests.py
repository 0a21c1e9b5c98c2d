"""The keys about manifests that are rendered: InferenceServices name frameworks, somebody must name their images."""

from __future__ import annotations

from typing import Annotated

from activator.settings.group import Group
from activator.settings.numbers import Whole
from activator.settings.texts import Host, Image, Label


class Runtimes(Group):
    """The image that serves the models of each framework; a manifest's runtimeVersion replaces the tag."""

    tensorflow: Annotated[str, Image()] = "tensorflow/serving:2.6.2"
    """TensorFlow Serving."""
    pytorch: Annotated[str, Image()] = "pytorch/torchserve-kfs:0.9.0"
    """TorchServe with KServe's protocol."""
    sklearn: Annotated[str, Image()] = "kserve/sklearnserver:v0.15.2"
    """KServe's server for scikit-learn."""
    xgboost: Annotated[str, Image()] = "kserve/xgbserver:v0.15.2"
    """KServe's server for XGBoost."""
    lightgbm: Annotated[str, Image()] = "kserve/lgbserver:v0.15.2"
    """KServe's server for LightGBM."""
    pmml: Annotated[str, Image()] = "kserve/pmmlserver:v0.15.2"
    """KServe's server for PMML."""
    paddle: Annotated[str, Image()] = "kserve/paddleserver:v0.15.2"
    """KServe's server for Paddle."""
    huggingface: Annotated[str, Image()] = "kserve/huggingfaceserver:v0.15.2"
    """KServe's server for Hugging Face models, with vLLM."""
    onnx: Annotated[str, Image()] = "nvcr.io/nvidia/tritonserver:23.05-py3"
    """Triton, for ONNX."""
    triton: Annotated[str, Image()] = "nvcr.io/nvidia/tritonserver:23.05-py3"
    """Triton, for its own model repositories."""
    mlserver: Annotated[str, Image()] = "docker.io/seldonio/mlserver:1.7.1"
    """MLServer, for MLflow, and for sklearn, xgboost and lightgbm by protocol v2."""
    alibi: Annotated[str, Image()] = "kserve/alibi-explainer:v0.12.1"
    """Explainers of Alibi."""
    art: Annotated[str, Image()] = "kserve/art-explainer:v0.15.2"
    """Explainers of the Adversarial Robustness Toolbox."""
    aix: Annotated[str, Image()] = "kserve/aix-explainer:v0.10.2"
    """Explainers of AI Explainability 360."""


class Manifests(Group):
    """How InferenceServices and Knative Services are read and rendered."""

    min_replicas_default: Annotated[int, Whole(0)] = 0
    """min-scale of an InferenceService that names no minReplicas; KServe says 1."""
    domain: Annotated[str | None, Host()] = None
    """Domain below which rendered services are reached from outside, as NAME.NAMESPACE.DOMAIN."""
    edge: Annotated[str, Label()] = "gpu-activator"
    """app.kubernetes.io/name of the edge's pods, which rendered Services lead to."""
    storage_initializer: Annotated[str, Image()] = "kserve/storage-initializer:v0.15.2"
    """Image of the init container that fetches models."""
    storage_secret: Annotated[str | None, Host()] = None
    """Secret with awsAccessKeyID and awsSecretAccessKey for that container."""
    runtimes: Runtimes = Runtimes()
    """The image for each framework."""
