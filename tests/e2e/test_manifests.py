"""What `activator render` makes of the shipped InferenceServices is taken by the API server, as it is, and by the edge.

Their images and volumes are not there, so that nothing of them starts.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.edge_processes import RUN
from tests.e2e.tenant import eventually

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from tests.e2e.conftest import Serve
    from tests.e2e.tenant import Tenant

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "inferenceservices").glob("*.yaml"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
async def test_a_rendered_inferenceservice_is_applied_as_it_is_and_known_to_the_edge(
    tenant: Tenant, serve: Serve, session: ClientSession, example: Path
) -> None:
    (edge,) = await serve()
    rendered = await run(sys.executable, "-c", RUN, "render", "--namespace", tenant.namespace, str(example))
    first = await apply(rendered)
    assert first
    assert all(line.endswith(" created") for line in first), first
    again = await apply(rendered)
    assert all(line.endswith(" unchanged") for line in again), again

    async def known() -> list[str] | None:
        async with session.get(f"http://{edge.admin}/v1/services") as response:
            told = (await response.json())["services"]
        hosts = [host for service in told for host in service["hosts"]]
        return hosts if f"{example.stem}.{tenant.namespace}" in hosts else None

    await eventually(known, 20)
    await kubectl("delete", "--wait=false", "--filename", "-", given=rendered)


async def apply(manifests: str) -> list[str]:
    """Return what kubectl says of each object."""
    return (await kubectl("apply", "--filename", "-", given=manifests)).splitlines()


async def kubectl(*arguments: str, given: str) -> str:
    command = shutil.which("kubectl")
    if command is None:
        pytest.skip("there is no kubectl on PATH")
    return await run(command, *arguments, given=given)


async def run(*command: str, given: str = "") -> str:
    """Return what a command prints; it must end well."""
    done = await asyncio.to_thread(subprocess.run, command, input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
