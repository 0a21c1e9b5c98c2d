"""What dies, and what goes on: replicas and the edge itself are killed in the middle of their work."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING

from tests.activator.scalers.processes import all_gone, dead, some
from tests.journeys.services import MODELS, configuration, revision, service

if TYPE_CHECKING:
    from tests.journeys.conftest import Serve
    from tests.journeys.edge import Answer, Edge

LOAD = 80
TOGETHER = 4
SLEEPERS = 3  # what a forking model leaves about: a child, a daemon, and one that forgot its environment


async def test_killing_a_replica_fails_only_the_requests_on_it(edge: Edge) -> None:
    limits = {"container-concurrency": TOGETHER}
    await edge.deploy(service("victim", requests=limits, autoscaling={"min-scale": 2, "max-scale": 2}))
    before = await edge.ready("victim", 2)
    targets = [f"/?id={number}&gate=killed" for number in range(LOAD)]
    load = [asyncio.create_task(edge.request("victim", target, "POST")) for target in targets]
    await edge.until(lambda: len(edge.stamps("victim-1")) == 2 * TOGETHER)
    killed = edge.stamps("victim-1", "start")[0]
    os.kill(killed.process, signal.SIGKILL)
    await edge.until(lambda: dead(killed.process))
    edge.open("killed")
    answers = await asyncio.gather(*load)

    _only_its_own_failed(edge, answers, killed.replica)
    after = await edge.ready("victim", 2)
    assert killed.replica in before
    assert killed.replica not in after
    assert len(set(before) & set(after)) == 1


def _only_its_own_failed(edge: Edge, answers: list[Answer], killed: str) -> None:
    assert Counter(answer.status for answer in answers).keys() == {200, 502}
    failed = {str(number) for number, answer in enumerate(answers) if answer.status == 502}
    assert {answer.reason for answer in answers if answer.status == 502} == {"upstream_broke"}
    assert len(failed) == TOGETHER
    received = edge.stamps("victim-1")
    assert failed.isdisjoint(stamp.request for stamp in received if stamp.replica != killed)
    assert Counter(stamp.request for stamp in received).most_common(1)[0][1] == 1


async def test_a_model_that_crashes_in_the_middle_is_replaced(edge: Edge) -> None:
    await edge.deploy(service("clumsy"))
    answer = await edge.request("clumsy", "/?id=1&crash=1")
    assert (answer.status, answer.reason) == (502, "upstream_broke")
    assert answer.headers["X-Should-Retry"] == "false"
    dead = edge.stamps("clumsy-1")[0].replica
    await edge.until(lambda: any(line["replica"] == dead and line["phase"] == "gone" for line in edge.logs("replica")))
    assert (await edge.request("clumsy", "/?id=2")).status == 200
    assert [stamp.request for stamp in edge.stamps("clumsy-1")] == ["1", "2"]


async def test_an_answer_that_breaks_off_is_seen_to_be_incomplete(edge: Edge) -> None:
    await edge.deploy(service("torn"))
    answer = await edge.request("torn", "/?id=1&cut=1")
    assert (answer.status, answer.reason, answer.cut) == (200, None, True)
    assert answer.body == b"only the beginning"


async def test_a_model_that_takes_too_long_to_answer_is_given_up(edge: Edge) -> None:
    await edge.deploy(service("tardy", requests={"first-byte-timeout": "300ms"}))
    answer = await edge.request("tardy", "/?id=1&delay=2")
    assert (answer.status, answer.reason) == (504, "upstream_timeout")
    assert (await edge.request("tardy", "/?id=2")).status == 200


async def test_a_killed_edge_leaves_nothing_behind_and_its_successor_goes_on(serve: Serve) -> None:
    keep = {"scale-to-zero-grace-period": "1h"}
    scaling = {"max-scale": 3, "max-scale-up-rate": 10, "stable-window": "1m"}  # so slowly may its successor start
    busy = service("busy", requests={"container-concurrency": 1}, autoscaling=scaling)
    forking = service("forking", revision("forking-1", ["sh", "-c", f". {MODELS / 'forking.sh'}"]), autoscaling=keep)
    edge = serve(configuration(service("idle", autoscaling=keep), busy, forking))
    streams = [asyncio.create_task(edge.request("busy", f"/?id={number}&stream=60")) for number in range(3)]
    assert {answer.status for answer in await asyncio.gather(edge.request("idle"), edge.request("forking"))} == {200}
    replicas = await edge.ready("busy", 3)
    clocks = await _idle_clocks(edge)
    await edge.until(lambda: _is_saved(edge))

    await some(f".{edge.daemon.mark}", SLEEPERS)
    edge.daemon.signal(signal.SIGKILL)
    assert edge.daemon.ended() == -signal.SIGKILL
    assert await all_gone(edge.daemon.mark, within=30)
    assert all(answer.cut for answer in await asyncio.gather(*streams))

    again = time.time()
    edge.daemon.start()
    assert set(await edge.ready("busy", 3)).isdisjoint(replicas)
    apart = [abs(after - before) for before, after in zip(clocks, await _idle_clocks(edge), strict=True)]
    assert max(apart) < (again - clocks[0]) / 2, "they are not those of a clock that began anew"


async def _idle_clocks(edge: Edge) -> tuple[float, float]:
    """Wait until the idle service's clocks are known; return since when it has been idle, and when its replica goes."""

    async def known() -> tuple[float, float] | None:
        view = await edge.look("idle")
        if view["zero_at"] is None:
            return None
        since, end = (datetime.fromisoformat(view[key]).timestamp() for key in ("idle_since", "zero_at"))
        return since, end

    found: tuple[float, float] = await edge.eventually(known)
    return found


def _is_saved(edge: Edge) -> bool:
    """Tell whether what the successor needs is on disk; it is saved every few seconds."""
    file = edge.daemon.home / "state" / "revisions.json"
    revisions = json.loads(file.read_text())["revisions"] if file.exists() else {}
    return bool(revisions and revisions["busy-1"]["desired"] == 3 and revisions["idle-1"]["idle_age"])
