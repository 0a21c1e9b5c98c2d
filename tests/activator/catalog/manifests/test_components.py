"""From a component to a pod: custom containers, built-in servers, models on volumes and in buckets, probes, GPUs."""

from __future__ import annotations

from typing import Any

import pytest

from activator.catalog.manifests.fields import EXPLAINERS, FRAMEWORKS
from activator.settings.manifests import Manifests as Settings
from activator.settings.manifests import Runtimes
from tests.activator.catalog.manifests.written import (
    IMAGE,
    OLD_BETA,
    alpha,
    beta,
    component,
    custom,
    knative,
    only,
    problems,
    warnings,
)

MLSERVER = "MLSERVER_MODEL_NAME"
GPU = {"limits": {"nvidia.com/gpu": "1"}}
ACCELERATOR = "serving.kubeflow.org/gke-accelerator"


def built_in(kind: str = "tensorflow", **fields: Any) -> dict[str, Any]:
    return beta({kind: {"storageUri": "pvc://models/m", **fields}, "minReplicas": 0})


def env(container: Any) -> dict[str, Any]:
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container.get("env", ())}


def component_of(role: str, **fields: Any) -> list[str]:
    """Return the arguments of a custom transformer or explainer."""
    name = "m" if role == "transformer" else "m-explainer"
    spec: Any = {role: custom(**fields)}
    found = component(beta(**spec), name)
    return list(found.revisions[0].container["args"])


class TestCustom:
    def test_the_container_is_passed_on_with_port_and_probe(self) -> None:
        revision = only(beta(custom(minReplicas=0)))
        assert (revision.port, revision.readiness) == (8080, "")
        assert revision.container == {
            **IMAGE,
            "ports": [{"containerPort": 8080, "protocol": "TCP"}],
            "env": [{"name": "PORT", "value": "8080"}],
            "readinessProbe": {"tcpSocket": {"port": 8080}},
        }

    def test_the_named_container_is_the_models_wherever_it_stands(self) -> None:
        sidecar = {"name": "sidecar", "image": "s:1"}
        revision = only(beta({"containers": [sidecar, {"name": "kfserving-container", "image": "m:1"}]}, api=OLD_BETA))
        assert [each["name"] for each in revision.spec["containers"]] == ["kfserving-container", "sidecar"]

    def test_fields_of_the_pod_are_passed_on(self) -> None:
        affinity: Any = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}
        spec = {
            "affinity": affinity,
            "nodeSelector": {"gpu.nvidia.com/class": "A40"},
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
            "serviceAccountName": "reader",
            "terminationGracePeriodSeconds": 600,
        }
        found = only(beta(custom(**spec))).spec
        assert {key: found[key] for key in spec} == spec

    def test_a_port_of_its_own_is_asked(self) -> None:
        revision = only(beta({"containers": [{**IMAGE, "ports": [{"containerPort": 80}]}]}))
        assert (revision.port, env(revision.container)["PORT"]) == (80, "80")
        assert revision.container["readinessProbe"] == {"tcpSocket": {"port": 80}}

    def test_a_port_for_grpc_is_warned_of(self) -> None:
        ports = [{"containerPort": 8033, "name": "h2c"}]
        [told] = warnings(beta({"containers": [{**IMAGE, "ports": ports}], "minReplicas": 0}))
        assert "port h2c: requests are sent as HTTP/1.1 all the same" in told

    def test_its_port_variable_is_its_own(self) -> None:
        own = {**IMAGE, "env": [{"name": "PORT", "value": "9"}, {"name": "A", "valueFrom": {"fieldRef": {}}}]}
        assert env(only(beta({"containers": [own]})).container) == {"PORT": "9", "A": {"fieldRef": {}}}

    @pytest.mark.parametrize(
        ("probe", "path", "made"),
        [
            ({"httpGet": {"path": "/up"}}, "/up", {"httpGet": {"port": 8080, "path": "/up"}}),
            ({"httpGet": {"path": "/up", "port": 0}}, "/up", {"httpGet": {"port": 8080, "path": "/up"}}),
            ({"httpGet": {"path": "/up", "port": 9000}}, "", {"httpGet": {"path": "/up", "port": 9000}}),
            ({"httpGet": {"path": "/up", "port": "http1"}}, "/up", {"httpGet": {"path": "/up", "port": "http1"}}),
            ({"httpGet": {}}, "/", {"httpGet": {"port": 8080}}),
            ({"periodSeconds": 3}, "", {"periodSeconds": 3, "tcpSocket": {"port": 8080}}),
            ({"exec": {"command": ["ok"]}}, "", {"exec": {"command": ["ok"]}}),
        ],
    )
    def test_its_readiness_probe_tells_the_path_that_is_asked(self, probe: Any, path: str, made: Any) -> None:
        revision = only(beta({"containers": [{**IMAGE, "readinessProbe": probe}]}))
        assert (revision.readiness, revision.container["readinessProbe"]) == (path, made)

    def test_other_probes_get_their_port(self) -> None:
        probes = {"livenessProbe": {"httpGet": {"path": "/"}}, "startupProbe": {"tcpSocket": {}}}
        container = only(beta({"containers": [{**IMAGE, **probes}]})).container
        assert container["livenessProbe"] == {"httpGet": {"port": 8080, "path": "/"}}
        assert container["startupProbe"] == {"tcpSocket": {"port": 8080}}

    def test_a_model_named_by_the_environment_is_mounted(self) -> None:
        box = {**IMAGE, "env": [{"name": "STORAGE_URI", "value": "pvc://model-storage/sentiment"}]}
        revision = only(beta({"containers": [box]}, api=OLD_BETA))
        assert env(revision.container)["STORAGE_URI"] == "/mnt/models"
        [volume] = revision.spec["volumes"]
        assert volume["persistentVolumeClaim"] == {"claimName": "model-storage"}
        assert revision.models == ("pvc://model-storage/sentiment",)

    def test_a_custom_transformer_is_told_where_its_predictor_is(self) -> None:
        for api, host in ((OLD_BETA, "m-predictor-default.ml"), ("serving.kserve.io/v1beta1", "m-predictor.ml")):
            found = component(beta(api=api, transformer=custom()), "m")
            assert found.role == "transformer"
            arguments = found.revisions[0].container["args"]
            assert arguments == ["--model_name", "m", "--predictor_host", host, "--http_port", "8080"]

    def test_what_a_transformer_says_itself_stays(self) -> None:
        box = {**IMAGE, "args": ["--predictor_host=other", "--model_name", "x"]}
        found = component(beta(transformer={"containers": [box]}), "m")
        assert found.revisions[0].container["args"] == [*box["args"], "--http_port", "8080"]

    def test_a_transformer_in_the_pod_of_its_predictor_takes_the_requests(self) -> None:
        ports = [{"containerPort": 9000, "protocol": "TCP"}]
        transformer = {"name": "transformer-container", "image": "t:1", "ports": ports, "args": ["--model_name=x"]}
        model = {**IMAGE, "env": [{"name": "STORAGE_URI", "value": "pvc://a/b"}]}
        found = component(beta({"containers": [model, transformer]}), "m")
        [revision] = found.revisions
        predictor, front = revision.spec["containers"]
        assert (revision.port, revision.readiness, found.keys["models"]) == (9000, "", ["x"])
        assert front["readinessProbe"] == {"tcpSocket": {"port": 9000}}
        assert ("ports" in predictor, "readinessProbe" in predictor) == (False, False)
        assert front["volumeMounts"] == predictor["volumeMounts"]

    def test_a_transformer_beside_a_built_in_server_is_asked_by_its_port(self) -> None:
        transformer = {"name": "transformer-container", "image": "t:1"}
        revision = only(beta({"sklearn": {"storageUri": "pvc://a/b"}, "containers": [transformer]}))
        assert (revision.port, revision.readiness) == (8080, "")

    @pytest.mark.parametrize("role", ["transformer", "explainer"])
    def test_those_that_call_a_predictor_are_told_how_many_may_run(self, role: str) -> None:
        arguments = component_of(role, containerConcurrency=4)
        assert arguments[-2:] == ["--workers", "4"]
        assert "--workers" not in component_of(role, containerConcurrency=0)

    def test_v1alpha2_has_one_container(self) -> None:
        default = {"predictor": {"custom": {"container": {"image": "m:1"}}, "serviceAccountName": "reader"}}
        revision = only(alpha(default))
        assert (revision.container["name"], revision.container["image"]) == ("kserve-container", "m:1")
        assert revision.spec["serviceAccountName"] == "reader"


class TestBuiltIn:
    def test_tensorflow_serving_is_started_as_kserve_does(self) -> None:
        revision = only(built_in(runtimeVersion="2.1.0-gpu", resources=GPU))
        container = revision.container
        assert container["image"] == "tensorflow/serving:2.1.0-gpu"
        assert container["command"] == ["/usr/bin/tensorflow_model_server"]
        assert "--model_name=m" in container["args"]
        assert "--rest_api_port=8080" in container["args"]
        assert container["resources"] == GPU
        assert (revision.port, revision.readiness) == (8080, "/v1/models/m")
        assert container["readinessProbe"]["httpGet"] == {"port": 8080, "path": "/v1/models/m"}

    @pytest.mark.parametrize("kind", FRAMEWORKS)
    def test_every_framework_has_an_image_arguments_and_a_readiness_of_the_model(self, kind: str) -> None:
        revision = only(built_in(kind))
        assert revision.container["image"] == getattr(Runtimes(), kind)
        assert revision.container["args"]
        path = {"pytorch": "", "triton": "/v2/health/ready", "onnx": "/v2/health/ready"}.get(kind, "/v1/models/m")
        assert revision.readiness == path
        assert revision.container["volumeMounts"][-1]["mountPath"] == "/mnt/models"

    def test_its_arguments_and_variables_may_ask_for_the_name_as_with_kserve(self) -> None:
        asked = [{"name": "NAME", "value": "{{ .Name }}"}, {"name": "PLAIN", "value": "{x}"}]
        data = built_in("sklearn", args=["--served={{.Name}}-{{.Name}}"], env=asked)
        (container,) = only(data).template["spec"]["containers"]
        assert container["args"][-1] == "--served=m-m"
        assert (env(container)["NAME"], env(container)["PLAIN"]) == ("m", "{x}")
        assert warnings(data) == []

    def test_what_else_they_ask_for_is_told_to_stay(self) -> None:
        data = built_in("sklearn", args=["--team={{.Labels.team}}"])
        assert only(data).template["spec"]["containers"][0]["args"][-1] == "--team={{.Labels.team}}"
        [told] = warnings(data)
        assert "is passed on as it is: of these, only {{.Name}} is filled in (got '{{.Labels.team}}')" in told

    def test_the_image_is_a_setting_and_the_version_its_tag(self) -> None:
        images = Settings.model_validate({"runtimes": {"sklearn": "registry.example:5000/a/sk@sha256:00"}})
        data = {"sklearn": {"storageUri": "pvc://a/b"}}
        assert only(beta(data), images).container["image"] == "registry.example:5000/a/sk@sha256:00"
        data["sklearn"]["runtimeVersion"] = "v9"
        assert only(beta(data), images).container["image"] == "registry.example:5000/a/sk:v9"

    def test_a_gpu_takes_the_gpu_image_where_there_is_one(self) -> None:
        assert only(built_in(resources=GPU)).container["image"] == "tensorflow/serving:2.6.2-gpu"
        torch = beta({"pytorch": {"storageUri": "pvc://a", "resources": GPU}})
        assert only(torch).container["image"] == "pytorch/torchserve-kfs:0.9.0-gpu"
        assert only(built_in("sklearn", resources=GPU)).container["image"] == Runtimes().sklearn
        assert only(built_in()).container["image"] == "tensorflow/serving:2.6.2"

    @pytest.mark.parametrize(
        ("own", "image"),
        [
            ({"image": "own:1", "runtimeVersion": "2"}, "own:2"),
            ({"image": "own:1", "resources": GPU}, "own:1-gpu"),
            ({"image": "own@sha256:00", "runtimeVersion": "2", "resources": GPU}, "own@sha256:00"),
        ],
    )
    def test_the_manifests_own_image_has_the_version_and_the_gpu_as_with_kserve(self, own: Any, image: str) -> None:
        assert only(built_in(**own)).container["image"] == image

    def test_its_timeout_is_told_to_tensorflow_serving(self) -> None:
        data = beta({"tensorflow": {"storageUri": "pvc://a/b"}, "timeout": 300})
        assert "--rest_api_timeout_in_ms=300000" in only(data).container["args"]

    def test_what_the_manifest_writes_is_added_and_counts(self) -> None:
        own: Any = {"args": ["--more"], "env": [{"name": "A", "value": "1"}], "name": "mine", "image": "own:1"}
        container = only(built_in(**own)).container
        assert container["args"][-1] == "--more"
        assert (container["name"], container["image"], env(container)["A"]) == ("mine", "own:1", "1")

    @pytest.mark.parametrize("kind", ["sklearn", "xgboost", "lightgbm"])
    def test_protocol_v2_is_mlserver(self, kind: str) -> None:
        revision = only(built_in(kind, protocolVersion="v2"))
        assert revision.container["image"] == Runtimes().mlserver
        assert revision.readiness == "/v2/models/m/ready"
        assert env(revision.container)["MLSERVER_MODEL_NAME"] == "m"

    @pytest.mark.parametrize(
        ("runtime", "kind"),
        [("kserve-sklearnserver", "sklearn"), ("kserve-xgbserver", "xgboost"), ("kserve-lgbserver", "lightgbm")],
    )
    def test_a_runtime_that_is_named_speaks_protocol_v2_itself(self, runtime: str, kind: str) -> None:
        model = {"modelFormat": {"name": kind}, "runtime": runtime, "protocolVersion": "v2", "storageUri": "pvc://a"}
        revision = only(beta({"model": model}))
        assert (revision.container["image"], revision.readiness) == (getattr(Runtimes(), kind), "/v2/models/m/ready")
        assert revision.container["args"] == ["--model_name=m", "--model_dir=/mnt/models", "--http_port=8080"]

    @pytest.mark.parametrize(
        ("kind", "fields", "path"),
        [
            ("huggingface", {"args": ["--model_name=llama3", "--model_id=org/llama"]}, "/v1/models/llama3"),
            ("sklearn", {"args": ["--model_name", "iris"]}, "/v1/models/iris"),
            ("tensorflow", {"args": ["--model_name=$(NAME)"]}, ""),
            (
                "sklearn",
                {"protocolVersion": "v2", "env": [{"name": MLSERVER, "value": "iris"}]},
                "/v2/models/iris/ready",
            ),
        ],
    )
    def test_it_is_asked_for_the_model_by_the_name_that_it_is_given(self, kind: str, fields: Any, path: str) -> None:
        assert only(built_in(kind, **fields)).readiness == path

    def test_a_variable_that_the_manifest_writes_is_there_once(self) -> None:
        own = [{"name": MLSERVER, "value": "iris"}]
        container = only(built_in("sklearn", protocolVersion="v2", env=own)).container
        assert [each["value"] for each in container["env"] if each["name"] == MLSERVER] == ["iris"]

    @pytest.mark.parametrize(
        ("protocol", "envelope", "version"), [({}, "kserve", "v1"), ({"protocolVersion": "v2"}, "kservev2", "v2")]
    )
    def test_torchserve_is_told_its_protocol(self, protocol: Any, envelope: str, version: str) -> None:
        found = env(only(built_in("pytorch", **protocol)).container)
        assert (found["TS_SERVICE_ENVELOPE"], found["PROTOCOL_VERSION"]) == (envelope, version)

    @pytest.mark.parametrize("protocol", [{}, {"protocolVersion": "v2"}])
    def test_mlserver_by_name_serves_the_format_that_is_named(self, protocol: Any) -> None:
        model = {
            "modelFormat": {"name": "xgboost"},
            "runtime": "kserve-mlserver",
            "storageUri": "pvc://a/b",
            **protocol,
        }
        revision = only(beta({"model": model}))
        assert (revision.container["image"], revision.readiness) == (Runtimes().mlserver, "/v2/models/m/ready")
        assert env(revision.container)["MLSERVER_MODEL_IMPLEMENTATION"] == "mlserver_xgboost.XGBoostModel"

    def test_a_model_of_hugging_face_has_shared_memory_as_kserves_runtime_gives_it(self) -> None:
        revision = only(built_in("huggingface"))
        assert {"name": "devshm", "mountPath": "/dev/shm"} in revision.container["volumeMounts"]
        assert {"name": "devshm", "emptyDir": {"medium": "Memory"}} in revision.spec["volumes"]
        own: Any = {"volumeMounts": [{"name": "mine", "mountPath": "/dev/shm"}]}
        assert "devshm" not in str(only(built_in("huggingface", **own)).template)

    def test_a_model_of_hugging_face_needs_no_place(self) -> None:
        model = {"modelFormat": {"name": "huggingface"}, "args": ["--model_id=org/llama"]}
        assert warnings(beta({"model": model, "minReplicas": 0})) == []

    def test_another_protocol_is_warned_of(self) -> None:
        [told] = warnings(built_in(protocolVersion="v2"))
        assert "has no effect: of tensorflow, v1 over HTTP can be passed on (got 'v2')" in told
        [told] = warnings(built_in("sklearn", protocolVersion="grpc-v2"))
        assert "v1 and v2 over HTTP" in told

    @pytest.mark.parametrize(
        ("model", "image"),
        [
            ({"modelFormat": {"name": "sklearn"}}, Runtimes().sklearn),
            ({"modelFormat": {"name": "mlflow"}}, Runtimes().mlserver),
            ({"runtime": "kserve-tensorflow-serving"}, Runtimes().tensorflow),
            ({"modelFormat": {"name": "onnx"}, "runtime": "kserve-tritonserver"}, Runtimes().triton),
        ],
    )
    def test_a_model_is_served_by_its_format_or_runtime(self, model: Any, image: str) -> None:
        assert only(beta({"model": {"storageUri": "pvc://a/b", **model}})).container["image"] == image

    def test_a_runtime_that_is_not_known_is_warned_of(self) -> None:
        model = {"modelFormat": {"name": "sklearn"}, "runtime": "mine", "storageUri": "pvc://a/b"}
        [told] = warnings(beta({"model": model, "minReplicas": 0}))
        assert "is no runtime that is known here" in told

    def test_a_format_that_is_not_known_is_refused(self) -> None:
        [told] = problems(beta({"model": {"modelFormat": {"name": "cobol"}, "storageUri": "pvc://a/b"}}))
        assert "spec.predictor.model.modelFormat (m): is no format that is known here (got 'cobol'" in told
        assert "else write containers" in told

    def test_v1alpha2_knows_threads(self) -> None:
        data = alpha({"predictor": {"xgboost": {"storageUri": "gs://a/b", "nthread": 4}}})
        assert "--nthread=4" in only(data).container["args"]

    @pytest.mark.parametrize("kind", EXPLAINERS)
    def test_explainers_are_told_their_predictor_and_their_type(self, kind: str) -> None:
        explainer = {kind: {"type": "AnchorImages", "storageUri": "gs://a/b", "config": {"seed": "1"}}}
        flags = {"alibi": [], "art": ["--adversary_type"], "aix": ["--explainer_type"]}[kind]
        found = component(beta(explainer=explainer), "m-explainer")
        container = found.revisions[0].container
        assert container["image"] == getattr(Runtimes(), kind)
        assert "m-predictor.ml" in container["args"]
        assert container["args"][8:] == [*flags, "AnchorImages", "--seed", "1"]

    def test_an_explainer_needs_no_files_of_its_own(self) -> None:
        explainer = {"alibi": {"type": "AnchorText"}, "minReplicas": 0}
        assert warnings(beta(custom(minReplicas=0), explainer=explainer)) == []

    def test_v1alpha2_has_explainers_of_aix(self) -> None:
        predictor = {"custom": {"container": {"image": "m:1"}}}
        found = component(alpha({"predictor": predictor, "explainer": {"aix": {"type": "LimeImages"}}}), "m-explainer")
        assert found.revisions[0].container["args"][-2:] == ["--explainer_type", "LimeImages"]

    def test_what_an_explainer_is_told_by_the_manifest_counts(self) -> None:
        explainer = {"art": {"type": "SquareAttack", "args": ["--predictor_host=other"]}}
        container = component(beta(explainer=explainer), "m-explainer").revisions[0].container
        assert "--predictor_host" not in container["args"]

    def test_containers_beside_a_built_in_server_stay(self) -> None:
        data = beta({"sklearn": {"storageUri": "pvc://a/b"}, "containers": [{"name": "sidecar", "image": "s:1"}]})
        assert [each["name"] for each in only(data).spec["containers"]] == ["kserve-container", "sidecar"]


class TestStorage:
    def test_a_volume_is_mounted_read_only_at_its_path(self) -> None:
        revision = only(built_in(storageUri="pvc://models/inception/"))
        assert revision.spec["volumes"] == [{"name": "model", "persistentVolumeClaim": {"claimName": "models"}}]
        mount = {"name": "model", "mountPath": "/mnt/models", "subPath": "inception", "readOnly": True}
        assert revision.container["volumeMounts"] == [mount]
        assert "initContainers" not in revision.spec
        assert "subPath" not in only(built_in(storageUri="pvc://models")).container["volumeMounts"][0]

    def test_a_volume_of_the_manifest_keeps_its_name(self) -> None:
        names = ["model", "model-0"]
        own: Any = {
            "volumes": [{"name": each, "emptyDir": {}} for each in names],
            "sklearn": {"storageUri": "pvc://a/b"},
        }
        revision = only(beta(own))
        assert [each["name"] for each in revision.spec["volumes"]] == [*names, "model-1"]
        assert revision.container["volumeMounts"][0]["name"] == "model-1"

    def test_a_volume_may_be_writable(self) -> None:
        data = beta({"sklearn": {"storageUri": "pvc://a/b"}}, annotations={"storage.kserve.io/readonly": "false"})
        assert "readOnly" not in only(data).container["volumeMounts"][0]

    @pytest.mark.parametrize("uri", ["s3://bucket/m", "gs://bucket/m", "https://host/m.tgz", "hf://org/model"])
    def test_everything_else_is_fetched_by_an_init_container(self, uri: str) -> None:
        settings = Settings.model_validate({"storage-initializer": "fetch:1"})
        revision = only(built_in(storageUri=uri), settings)
        [fetch] = revision.spec["initContainers"]
        assert (fetch["image"], fetch["args"]) == ("fetch:1", [uri, "/mnt/models"])
        assert fetch["volumeMounts"] == [{"name": "model", "mountPath": "/mnt/models"}]
        assert revision.spec["volumes"] == [{"name": "model", "emptyDir": {}}]
        assert revision.container["volumeMounts"][0]["readOnly"] is True

    def test_a_secret_is_given_to_it(self) -> None:
        settings = Settings.model_validate({"storage-secret": "s3"})
        [fetch] = only(built_in(storageUri="s3://a/b"), settings).spec["initContainers"]
        reference = {"name": "s3", "key": "awsAccessKeyID", "optional": True}
        assert env(fetch)["AWS_ACCESS_KEY_ID"] == {"secretKeyRef": reference}

    def test_keys_that_kserve_finds_by_the_service_account_are_warned_of(self) -> None:
        fields: Any = {"sklearn": {"storageUri": "hf://org/m"}, "minReplicas": 0}
        [told] = warnings(beta({**fields, "serviceAccountName": "reader"}))
        assert "hf:// may need keys, which KServe looks up by the service account" in told
        assert told.endswith("keep the model on a volume (pvc://) (got 'reader')")
        assert warnings(beta(fields)) == []

    def test_a_storage_spec_is_a_place_with_a_secret(self) -> None:
        storage = {"key": "mine", "path": "a/m", "parameters": {"type": "s3", "bucket": "models"}}
        revision = only(beta({"sklearn": {"storage": storage}}))
        [fetch] = revision.spec["initContainers"]
        assert fetch["args"][0] == "s3://models/a/m"
        assert env(fetch)["STORAGE_CONFIG"] == {"secretKeyRef": {"name": "storage-config", "key": "mine"}}
        [told] = problems(beta({"sklearn": {"storage": {"path": "x"}}}))
        assert "does not tell the place of the model" in told

    def test_a_storage_spec_overrules_its_secret_and_names_none_that_must_be_there(self) -> None:
        parameters = {"type": "s3", "bucket": "b", "endpoint_url": "http://minio:9000"}
        [fetch] = only(beta({"sklearn": {"storage": {"path": "/m", "parameters": parameters}}})).spec["initContainers"]
        assert fetch["args"][0] == "s3://b/m"
        reference = {"name": "storage-config", "key": "default_s3", "optional": True}
        assert env(fetch)["STORAGE_CONFIG"] == {"secretKeyRef": reference}
        overrule = '{"bucket":"b","endpoint_url":"http://minio:9000","type":"s3"}'
        assert env(fetch)["STORAGE_OVERRIDE_CONFIG"] == overrule

    def test_a_storage_spec_has_a_bucket_for_s3_alone(self) -> None:
        storage = {"key": "k", "path": "user/m", "parameters": {"type": "hdfs"}}
        [fetch] = only(beta({"sklearn": {"storage": storage}})).spec["initContainers"]
        assert fetch["args"][0] == "hdfs://user/m"

    def test_two_places_of_one_model_are_refused(self) -> None:
        [told] = problems(beta({"sklearn": {"storage": {"key": "k", "path": "m"}, "storageUri": "s3://a/b"}}))
        assert "each name a place of the model" in told

    def test_several_models_each_have_a_place(self) -> None:
        uris = [{"uri": "hf://a/base", "mountPath": "/mnt/base"}, {"uri": "pvc://b/c", "mountPath": "/mnt/lora"}]
        revision = only(beta(custom(storageUris=uris)))
        assert [each["name"] for each in revision.spec["volumes"]] == ["model-0", "model-1"]
        assert [each["name"] for each in revision.spec["initContainers"]] == ["storage-initializer-model-0"]
        assert [each["mountPath"] for each in revision.container["volumeMounts"]] == ["/mnt/base", "/mnt/lora"]

    @pytest.mark.parametrize(
        ("uri", "expected"),
        [
            ("pvc://", "names no volume claim"),
            ("pvc://Bad_Name/x", "names no volume claim"),
            ("oci://a/b", "models in images need KServe's own helper"),
            ("ftp://a/b", "is of no kind that can be fetched"),
        ],
    )
    def test_what_cannot_be_fetched_is_refused(self, uri: str, expected: str) -> None:
        [told] = problems(built_in(storageUri=uri))
        assert expected in told
        assert "spec.predictor.tensorflow.storageUri (m)" in told

    def test_a_path_in_the_image_is_warned_of(self) -> None:
        [told] = warnings(built_in(storageUri="/opt/model"))
        assert "is a path in the image" in told

    def test_a_place_without_a_path_to_mount_at_is_refused(self) -> None:
        [told] = problems(beta(custom(storageUris=[{"uri": "pvc://a", "mountPath": "here"}])))
        assert "spec.predictor.storageUris[0] (m): needs a uri and an absolute mountPath" in told


class TestGpus:
    @pytest.mark.parametrize("name", ["nvidia.com/gpu", "nvidia.com/mig-1g.5gb", "amd.com/gpu", "habana.ai/gaudi"])
    def test_the_accelerator_is_a_node_selector_with_a_gpu_limit(self, name: str) -> None:
        model = {"storageUri": "pvc://a/b", "resources": {"limits": {name: 1}}}
        data = alpha({"predictor": {"tensorflow": model}})
        data["metadata"]["annotations"] = {ACCELERATOR: "Tesla_V100"}
        assert only(data).spec["nodeSelector"] == {"cloud.google.com/gke-accelerator": "Tesla_V100"}

    def test_without_a_gpu_limit_it_has_no_effect_and_that_is_told(self) -> None:
        data = beta(custom(minReplicas=0), annotations={ACCELERATOR: "Tesla_V100"})
        assert "nodeSelector" not in only(data).spec
        assert "has no effect: no container has a limit of GPUs" in warnings(data)[0]

    def test_other_resources_can_be_called_gpus(self) -> None:
        box = {**IMAGE, "resources": {"limits": {"example.com/npu": 1}}}
        notes = {ACCELERATOR: "npu", "serving.kserve.io/gpu-resource-types": '["example.com/npu"]'}
        assert only(beta({"containers": [box]}, annotations=notes)).spec["nodeSelector"]


class TestLabelsAndAnnotations:
    def test_labels_are_on_the_pods_and_those_of_the_component_win(self) -> None:
        data = beta(custom(labels={"a": "2", "b": 3}))
        data["metadata"]["labels"] = {"a": "1", "c": "x"}
        assert only(data).template["labels"] == {"a": "2", "b": "3", "c": "x"}

    def test_annotations_that_mean_nothing_here_are_on_the_pods(self) -> None:
        notes = {"example.com/team": "vision", "autoscaling.knative.dev/target": "1", "serving.kserve.io/stop": "false"}
        assert only(beta(annotations=notes)).template["annotations"] == {"example.com/team": "vision"}

    def test_prometheus_is_told_where_to_look(self) -> None:
        data = beta(annotations={"serving.kserve.io/enable-prometheus-scraping": "true"})
        assert only(data).template["annotations"] == {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"}

    def test_the_strategy_of_the_deployment_is_kept(self) -> None:
        assert only(beta(custom(deploymentStrategy={"type": "Recreate"}))).strategy == {"type": "Recreate"}


class TestKnative:
    def test_the_template_is_a_revision(self) -> None:
        revision = only(knative({"serviceAccountName": "s"}, labels=None))
        assert revision.name.startswith("m-")
        assert revision.spec["serviceAccountName"] == "s"
        assert revision.container["name"] == "user-container"
        assert revision.keys["autoscaling"] == {}

    def test_the_container_with_a_port_is_the_one_that_serves(self) -> None:
        containers = [{"image": "a:1"}, {"image": "b:1", "ports": [{"containerPort": 9000}]}]
        revision = only(knative({"containers": containers}))
        assert (revision.container["image"], revision.port) == ("b:1", 9000)

    def test_every_container_has_a_name(self) -> None:
        revision = only(knative({"containers": [{"image": "a:1", "ports": [{"containerPort": 80}]}, {"image": "b:1"}]}))
        assert [each["name"] for each in revision.spec["containers"]] == ["user-container", "user-container-1"]

    def test_annotations_of_the_service_itself_reach_no_pod(self) -> None:
        data = knative()
        data["metadata"]["annotations"] = {"autoscaling.knative.dev/min-scale": "1"}
        [told] = warnings(data)
        assert "write them in spec.template.metadata" in told
        assert only(data).keys["autoscaling"] == {}


class TestNames:
    def test_a_revision_is_named_after_what_its_pods_are(self) -> None:
        first = only(beta(custom(minReplicas=0)))
        assert first.name == only(beta(custom(minReplicas=0))).name
        assert first.name.rpartition("-")[0] == "m-predictor"
        changed = [
            custom(nodeSelector={"a": "b"}),
            custom(labels={"a": "b"}),
            custom(annotations={"example.com/a": "b"}),
            {"containers": [{**IMAGE, "image": "m:2"}]},
            {"containers": [{**IMAGE, "ports": [{"containerPort": 81}]}]},
        ]
        names = {only(beta(each)).name for each in changed}
        assert len(names | {first.name}) == len(changed) + 1

    def test_scaling_and_traffic_do_not_change_it(self) -> None:
        first = only(beta(custom()))
        for change in ({"minReplicas": 3}, {"timeout": 9}, {"containerConcurrency": 1}, {"scaleTarget": 2}):
            assert only(beta(custom(**change))).name == first.name

    def test_the_order_of_keys_does_not_change_it(self) -> None:
        turned = {"containers": [dict(reversed(IMAGE.items()))]}
        assert only(beta(turned)).name == only(beta()).name

    def test_a_long_name_is_cut_and_stays_a_label(self) -> None:
        data = beta(custom(name="x" * 40))
        data["metadata"]["name"] = "m" * 43
        assert len(only(data).name) == 63
