"""What the environment says of the cluster. docs/end-to-end.md is the reference."""

from __future__ import annotations

import os
import shlex
from typing import NamedTuple


class Options(NamedTuple):
    """All of it has defaults but the cluster, which is KUBECONFIG's."""

    model_image: str  # an image with a Python 3 in it
    model_python: str  # how that is called
    edge_image: str  # an image of this product; none = the edges run beside the tests, as processes
    cold_starts: int  # in a row
    gpu: str  # the resource that stands for a GPU
    stop_api: list[str]  # a command that stops the API server; none = those tests are skipped
    start_api: list[str]
    stop_etcd: list[str]  # a command that stops etcd
    start_etcd: list[str]

    @classmethod
    def of_environment(cls) -> Options:
        def of(name: str, default: str = "") -> str:
            return os.environ.get(f"E2E_{name}", default)

        return cls(
            model_image=of("MODEL_IMAGE", "lab/model:1"),
            model_python=of("MODEL_PYTHON", "python3"),
            edge_image=of("EDGE_IMAGE"),
            cold_starts=int(of("COLD_STARTS", "20")),
            gpu=of("GPU_RESOURCE", "amd.com/gpu"),
            stop_api=shlex.split(of("STOP_API")),
            start_api=shlex.split(of("START_API")),
            stop_etcd=shlex.split(of("STOP_ETCD")),
            start_etcd=shlex.split(of("START_ETCD")),
        )
