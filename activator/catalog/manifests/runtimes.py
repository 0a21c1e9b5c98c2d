"""The servers of the built-in predictors and explainers: how each is started, and where it says that it is ready.

Sources: config/runtimes of kserve/kserve; for the explainers its pkg/apis/serving/v1beta1/explainer_*.go. A model is at
/mnt/models; requests come to port 8080.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from activator.catalog.manifests.storage import MODELS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from activator.settings.manifests import Runtimes

PORT = 8080
V1, V2 = "v1", "v2"
WITH_GPU_TAG = {"tensorflow", "pytorch", "huggingface"}
OF_MLSERVER = {
    "sklearn": "mlserver_sklearn.SKLearnModel",
    "xgboost": "mlserver_xgboost.XGBoostModel",
    "lightgbm": "mlserver_lightgbm.LightGBMModel",
    "mlflow": "mlserver_mlflow.MLflowRuntime",
}
BY_RUNTIME = {
    "kserve-tensorflow-serving": "tensorflow",
    "kserve-torchserve": "pytorch",
    "kserve-sklearnserver": "sklearn",
    "kserve-xgbserver": "xgboost",
    "kserve-lgbserver": "lightgbm",
    "kserve-pmmlserver": "pmml",
    "kserve-paddleserver": "paddle",
    "kserve-huggingfaceserver": "huggingface",
    "kserve-tritonserver": "triton",
    "kserve-mlserver": "mlflow",
}
BY_FORMAT = {"kserve-mlserver": OF_MLSERVER}  # servers of several formats, each of which they must be told
TYPES = {
    "alibi": (),
    "art": ("--adversary_type",),
    "aix": ("--explainer_type",),
}  # what comes before an explainer's type
_PLAIN = re.compile(r"[\w.-]+", re.ASCII)
TRITON = ["tritonserver", f"--model-store={MODELS}", "--grpc-port=9000", "--http-port=8080", "--allow-grpc=true"]


def protocols(framework: str) -> tuple[str, ...]:
    """Return the protocols that a framework's server speaks over HTTP."""
    if framework == "tensorflow":
        return (V1,)
    return (V2,) if framework in {"triton", "onnx", "mlflow"} else (V1, V2)


def runs_on_mlserver(framework: str, protocol: str, runtime: str = "") -> bool:
    """Tell whether MLServer serves a framework's models by a protocol: as KServe chooses, unless a runtime is named."""
    if runtime in BY_RUNTIME:
        return runtime in BY_FORMAT
    return framework == "mlflow" or (framework in OF_MLSERVER and protocol == V2)


def container(framework: str, protocol: str, name: str, spec: Mapping[str, Any], timeout: int) -> dict[str, Any]:
    """Return the container of a built-in predictor without image: command, arguments and environment."""
    if runs_on_mlserver(framework, protocol, spec.get("runtime", "")):
        env = {
            "MLSERVER_MODEL_IMPLEMENTATION": OF_MLSERVER[framework],
            "MLSERVER_MODEL_NAME": name,
            "MLSERVER_MODEL_URI": MODELS,
            "MLSERVER_HTTP_PORT": str(PORT),
            "MLSERVER_GRPC_PORT": "9000",
        }
        return {"env": _variables(env)}
    if framework == "tensorflow":
        arguments = ["--port=9000", f"--rest_api_port={PORT}", f"--model_name={name}", f"--model_base_path={MODELS}"]
        arguments.append(f"--rest_api_timeout_in_ms={timeout * 1000}")
        return {"command": ["/usr/bin/tensorflow_model_server"], "args": arguments}
    if framework == "pytorch":
        config = f"{MODELS}/config/config.properties"
        env = {"TS_SERVICE_ENVELOPE": "kservev2" if protocol == V2 else "kserve", "PROTOCOL_VERSION": protocol or V1}
        arguments = ["torchserve", "--start", f"--model-store={MODELS}/model-store", f"--ts-config={config}"]
        return {"args": arguments, "env": _variables(env)}
    if framework in {"triton", "onnx"}:
        return {"args": TRITON}
    arguments = [f"--model_name={name}", f"--model_dir={MODELS}", f"--http_port={PORT}"]
    return {"args": [*arguments, *([f"--nthread={spec['nthread']}"] if "nthread" in spec else [])]}


def explainer(kind: str, spec: Mapping[str, Any], told: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return the container of a built-in explainer without image; `told` are arguments for all of them, unless the
    manifest writes them itself."""
    own = {each.partition("=")[0] for each in spec.get("args", ())}
    arguments = [word for name, value in told if name not in own for word in (name, value)]
    if spec.get("storageUri"):
        arguments += ["--storage_uri", MODELS]
    if spec.get("type"):
        arguments += [*TYPES[kind], spec["type"]]
    for key, value in sorted(spec.get("config", {}).items()):
        arguments += [f"--{key}", value]
    return {"args": arguments}


def _variables(env: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": key, "value": value} for key, value in env.items()]


def readiness(framework: str, name: str, protocol: str) -> str:
    """Return the path that answers 200 when the model `name` is loaded, not just when its server listens. It is ""
    where no path can be told: TorchServe's models are named by a file beside them, and it listens once they are loaded.
    """
    if framework in {"triton", "onnx"}:
        return "/v2/health/ready"
    if framework == "pytorch" or not _PLAIN.fullmatch(name):
        return ""
    if protocol == V2 or framework == "mlflow":
        return f"/v2/models/{name}/ready"
    return f"/v1/models/{name}"


def image(framework: str, spec: Mapping[str, Any], runtimes: Runtimes, *, protocol: str, gpu: bool) -> str:
    """Return a server's image: the manifest's own or the setting, with runtimeVersion as its tag if there is one."""
    mlserver = runs_on_mlserver(framework, protocol, spec.get("runtime", ""))
    setting: str = spec.get("image") or getattr(runtimes, "mlserver" if mlserver else framework)
    version = spec.get("runtimeVersion", "")
    if "@" in spec.get("image", ""):
        return setting
    if version:
        return f"{_untagged(setting)}:{version}"
    tag = setting.removeprefix(_untagged(setting))
    wants = gpu and framework in WITH_GPU_TAG and tag.startswith(":") and not tag.endswith("-gpu")
    return f"{setting}-gpu" if wants else setting


def _untagged(setting: str) -> str:
    name = setting.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"
