from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from activator.scalers.base import Phase, ReplicaSpec
from activator.scalers.kubernetes.member import CONNECT, Member, follow
from activator.scalers.kubernetes.pods import Pod, Probe

if TYPE_CHECKING:
    from router.ports import UpstreamTls

pytestmark = pytest.mark.looptime

POD = Pod("m-1", "u", "", node="n", ip="10.0.0.7", port=9000, probe=Probe(9000, "/ready"))
SPEC = ReplicaSpec(startup_period=0.02, probe_period=10.0, failure_threshold=3)


class Model:
    """Answers probes as a test wants it; a probe takes `seconds`."""

    def __init__(self) -> None:
        self.complaint = "connection refused"
        self.seconds = 0.0
        self.asked: list[tuple[float, str, float | None]] = []

    async def __call__(
        self,
        host: str,
        port: int,
        path: str,
        *,
        within: float,
        tls: UpstreamTls | None = None,
        connect: float | None = None,
    ) -> str:
        self.asked.append((asyncio.get_running_loop().time(), f"{host}:{port}{path}", connect))
        await asyncio.sleep(self.seconds)
        return self.complaint


class Followed:
    def __init__(self, *, hurried: bool = True) -> None:
        self.model = Model()
        self.member = Member(POD, {}, Phase.STARTING, 0.0)
        self.heard: list[tuple[bool, str]] = []
        self.task = asyncio.ensure_future(follow(self.member, SPEC, lambda: hurried, self._hear, self.model))

    def _hear(self) -> None:
        self.heard.append((self.member.answers, self.member.complaint))

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def test_it_is_asked_until_it_answers_and_rarely_from_then_on() -> None:
    followed = Followed()
    await asyncio.sleep(0.99)
    followed.model.complaint = ""
    await asyncio.sleep(100)
    await followed.stop()
    assert followed.heard == [(False, "connection refused"), (True, "")]
    assert followed.model.asked[0] == (0.0, "10.0.0.7:9000/ready", CONNECT)
    assert 50 <= len(followed.model.asked) <= 52 + 10
    assert followed.model.asked[-1][2] is None


async def test_a_slow_answer_is_waited_for_and_not_asked_for_twice() -> None:
    followed = Followed()
    followed.model.seconds = 0.5
    await asyncio.sleep(10.1)
    await followed.stop()
    assert 20 <= len(followed.model.asked) <= 21


async def test_one_that_answered_may_fail_twice() -> None:
    followed = Followed()
    followed.model.complaint = ""
    await asyncio.sleep(5)
    followed.model.complaint = "timeout"
    await asyncio.sleep(20)
    assert followed.heard == [(True, "")]
    await asyncio.sleep(10)
    followed.model.complaint = ""
    await asyncio.sleep(0.1)
    await followed.stop()
    assert followed.heard == [(True, ""), (False, "timeout"), (True, "")]


@pytest.mark.parametrize(
    ("pod", "answers", "phase"),
    [
        (POD, True, Phase.READY),
        (POD, False, Phase.STARTING),
        (replace(POD, ready=True), False, Phase.STARTING),
        (replace(POD, probe=None, ready=True), False, Phase.READY),
        (replace(POD, probe=None), True, Phase.STARTING),
        (replace(POD, ip=""), True, Phase.STARTING),
        (replace(POD, stuck="CrashLoopBackOff"), True, Phase.STARTING),
        (replace(POD, ending=True), True, Phase.DRAINING),
        (replace(POD, node="", waits="no GPU"), False, Phase.PENDING),
        (replace(POD, node=""), False, Phase.STARTING),
    ],
)
def test_its_phase_is_what_its_pod_and_its_answers_say(pod: Pod, answers: bool, phase: Phase) -> None:
    assert Member(pod, {}, Phase.STARTING, 0.0, answers=answers).current()[0] is phase


def test_a_phase_begins_when_it_is_entered() -> None:
    member = Member(POD, {}, Phase.STARTING, 1.0)
    member.enter(5.0)
    assert (member.since, member.ready_at) == (1.0, None)
    member.answers = True
    member.enter(7.0)
    member.enter(9.0)
    assert (member.phase, member.since, member.ready_at) == (Phase.READY, 7.0, 7.0)


def test_a_chosen_one_drains_whether_it_answers_or_not() -> None:
    member = Member(POD, {}, Phase.READY, 1.0, answers=True, chosen=True)
    assert member.current() == (Phase.DRAINING, "")
