"""The cluster that KUBECONFIG names, a namespace in it, the shipped base, and edges that hold its ServiceAccount's
token.

Only the set-up uses KUBECONFIG. One loop serves all tests, since the connections to the API server outlive each.
"""

from __future__ import annotations

import inspect
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import pytest_asyncio

from tests.e2e.api import Api
from tests.e2e.edge_pods import PodFleet
from tests.e2e.edge_processes import ProcessFleet, write_kubeconfig
from tests.e2e.edges import SECRET
from tests.e2e.load import Client
from tests.e2e.options import Options
from tests.e2e.tenant import Tenant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.e2e.edges import Edge, Fleet

    Serve = Callable[..., Awaitable[list[Edge]]]

HERE = Path(__file__).parent
BASE = HERE.parents[1] / "deploy" / "base"
ACCOUNT = EDGE = "gpu-activator"
FIGURES: list[str] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents and inspect.iscoroutinefunction(getattr(item, "function", None)):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if FIGURES:
        terminalreporter.section("figures")
        for line in FIGURES:
            terminalreporter.write_line(line)


@pytest.fixture
def figure() -> Callable[[str], None]:
    """Tells of a figure at the end of the run."""
    return FIGURES.append


@pytest.fixture(scope="session")
def options() -> Options:
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG names no cluster")
    return Options.of_environment()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def tenant(options: Options) -> AsyncIterator[Tenant]:
    """The namespace, which is removed in the end."""
    async with await Api.of_kubeconfig() as api:
        tenant = Tenant(api, options)
        await tenant.open()
        yield tenant
        await tenant.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def base(tenant: Tenant, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What `kubectl apply -k deploy/base` says in the namespace. No edge is left running: tests start theirs."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("there is no kubectl on PATH")
    directory = with_image(BASE, tenant.options.edge_image, tmp_path_factory.mktemp("kustomize"))
    secret = {"metadata": {"name": f"{EDGE}-peers"}, "stringData": {"secret": SECRET}}
    await tenant.api.post(tenant.path("secrets"), secret)
    command = [kubectl, "--namespace", tenant.namespace, "apply", "--kustomize", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: ASYNC221 - nothing else runs
    assert done.returncode == 0, done.stderr
    await tenant.scale(EDGE, 0)
    return done.stdout


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def account(tenant: Tenant, base: str) -> AsyncIterator[Api]:
    """The API server as the product's ServiceAccount."""
    async with tenant.api.as_account(await tenant.token(ACCOUNT)) as api:
        yield api


@pytest_asyncio.fixture(loop_scope="session")
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


@pytest_asyncio.fixture(loop_scope="session")
async def serve(tenant: Tenant, base: str, tmp_path: Path) -> AsyncIterator[Serve]:
    """Starts edges, as many as asked for; `changes` are settings. All end with the test, and must end well."""
    fleet: Fleet
    if tenant.options.edge_image:
        fleet = PodFleet(tenant, EDGE)
    else:
        kubeconfig = tmp_path / "kubeconfig"
        write_kubeconfig(kubeconfig, tenant.api.cluster, tenant.namespace, await tenant.token(ACCOUNT))
        fleet = ProcessFleet(tmp_path, kubeconfig)

    async def start(count: int = 1, **changes: Any) -> list[Edge]:
        return list(await fleet.start(count, changes))

    yield start
    await fleet.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def client(serve: Serve, session: aiohttp.ClientSession) -> Client:
    """A client of one edge."""
    (edge,) = await serve()
    return Client(session, edge.listen)


def with_image(base: Path, image: str, directory: Path) -> Path:
    """Return the kustomization to apply: the base, or one that only sets its image."""
    if not image:
        return base
    name, _, tag = image.rpartition(":")
    images = [{"name": EDGE, "newName": name, "newTag": tag}]
    text = {"resources": [os.path.relpath(base, directory)], "images": images}
    (directory / "kustomization.yaml").write_text(json.dumps(text))
    return directory
