"""Whatever is wrong is told in plain words, to whom it concerns; the rest goes on."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.journeys.daemon import ACTIVATOR
from tests.journeys.services import configuration, revision, service

if TYPE_CHECKING:
    from pathlib import Path

    from tests.journeys.edge import Answer, Edge


async def _run(*arguments: str) -> tuple[int | None, str]:
    """Return how a command ended, and what it said on standard error."""
    process = await asyncio.create_subprocess_exec(ACTIVATOR, *arguments, stderr=subprocess.PIPE)
    async with asyncio.timeout(60):
        _, errors = await process.communicate()
    return process.returncode, errors.decode()


async def test_a_bad_file_is_refused_by_check_and_serve_alike(tmp_path: Path) -> None:
    halves = [{"revision": "m-1", "percent": 50}, {"revision": "m-2", "percent": 49}]
    bad = service("m", {"name": "m-1"}, revision("m-2"), traffic=halves)
    (tmp_path / "broken.yaml").write_text("services: [unclosed")
    (tmp_path / "wrong.yaml").write_text(json.dumps(configuration(bad, lissten="127.0.0.1:0"), indent=1))
    words = {
        "broken.yaml": ["broken.yaml:1: not YAML"],
        "wrong.yaml": ["lissten: unknown key (did you mean listen?)", "revisions[0].command", "sum to 99"],
    }
    for command in (["check"], ["serve", "--config"]):
        ends = await asyncio.gather(*(_run(*command, str(tmp_path / name)) for name in words))
        for (code, said), (name, expected) in zip(ends, words.items(), strict=True):
            assert code == 2
            assert all(line.startswith(str(tmp_path / name)) for line in said.splitlines()), said
            assert [each for each in expected if each not in said] == [], said
    assert set(os.listdir(tmp_path)) == words.keys()  # noqa: PTH208 - an async function has no other way


async def test_an_address_in_use_is_named_and_its_owner_goes_on(edge: Edge, tmp_path: Path) -> None:
    await edge.deploy(service("owner"))
    warm = service("eager", autoscaling={"min-scale": 1})
    taken = {"listen": edge.daemon.listen, "admin": edge.daemon.admin}
    states = [tmp_path / key / "revisions.json" for key in taken]
    for state in states:
        state.parent.mkdir()
        state.write_text("what an earlier run left")
    for key, address in taken.items():
        (tmp_path / f"{key}.yaml").write_text(json.dumps(configuration(warm, **{key: address, "state-dir": key})))
    ends = await asyncio.gather(*(_run("serve", "--config", str(tmp_path / f"{key}.yaml")) for key in taken))
    for (code, said), (key, address) in zip(ends, taken.items(), strict=True):
        assert code == 1
        assert said.startswith(f"activator: {key}: cannot listen on {address}"), said
        assert "Traceback" not in said
    for state in states:
        assert os.listdir(state.parent) == [state.name]  # noqa: PTH208 - an async function has no other way
        assert state.read_text() == "what an earlier run left"
    assert (await edge.request("owner")).status == 200


async def test_a_state_dir_in_use_is_named_and_what_its_owner_has_counted_stays(edge: Edge, tmp_path: Path) -> None:
    state = edge.daemon.home / "state"
    config = configuration(service("eager", autoscaling={"min-scale": 1}), **{"state-dir": str(state)})
    (tmp_path / "second.yaml").write_text(json.dumps(config))
    code, said = await _run("serve", "--config", str(tmp_path / "second.yaml"))
    assert (code, said) == (1, f"activator: state-dir: another edge that runs has {state}; each needs its own\n")


async def test_models_that_cannot_start_are_told_about_and_harm_nobody_else(edge: Edge) -> None:
    impatient = {"requests": {"hold-timeout": "1s"}, "autoscaling": {"start-attempts": 2}}
    last_words = "print('no weights found', flush=True); raise SystemExit(3)"
    await edge.deploy(
        service("healthy"),
        service("absent", revision("absent-1", ["no-such-model", "--fast"]), **impatient),
        service("fleeting", revision("fleeting-1", [sys.executable, "-SEc", last_words]), **impatient),
        service("unready", revision("unready-1", env={"READY_STATUS": "503"}), **impatient),
    )
    absent, fleeting, unready, healthy = await asyncio.gather(
        *(edge.request(name, "/?id=1") for name in ("absent", "fleeting", "unready", "healthy"))
    )
    _refused(absent, "start_failed", "'no-such-model' was not found")
    _refused(fleeting, "start_failed", "no weights found")
    _refused(unready, "hold_timeout", "")
    assert "503" in unready.json["start"]["message"]
    assert healthy.status == 200
    assert edge.stamps("unready-1") == []


def _refused(answer: Answer, reason: str, words: str) -> None:
    assert (answer.status, answer.reason) == (503, reason)
    assert int(answer.headers["Retry-After"]) >= 1
    assert words in answer.json["start"]["message"]
    assert "Traceback" not in answer.body.decode()


async def test_garbage_is_refused_and_harms_nobody_else(edge: Edge) -> None:
    await edge.deploy(service("sturdy"))
    garbage = (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
        b"hello?\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: sturdy.localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: sturdy.localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/9.9\r\nHost: sturdy.localhost\r\n\r\n",
        b"\0" * 100_000,
    )
    answers = await asyncio.gather(*(_said(edge, piece) for piece in garbage))
    for answer in answers:
        assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 505 ")), answer
        assert b"\r\nActivator-Reason: " in answer
    assert (await edge.request("sturdy")).status == 200
    assert await edge.metric("activator_refused_total", reason="bad_request") >= 5


async def _said(edge: Edge, sent: bytes) -> bytes:
    """Return all that the edge answers to bytes on a connection of their own."""
    reader, writer = await edge.connect()
    writer.write(sent)
    async with asyncio.timeout(60):
        answer = await reader.read()
    writer.close()
    return answer


async def test_a_body_above_its_limit_is_refused_and_reaches_no_model(edge: Edge) -> None:
    await edge.deploy(service("small", requests={"max-request-bytes": "10KiB"}))
    declared = await edge.request("small", "/?id=declared", "POST", data=b"x" * 10_241)
    chunks = b"2000\r\n" + b"x" * 0x2000 + b"\r\n"
    head = b"POST /?id=chunked HTTP/1.1\r\nHost: small.localhost\r\nConnection: close\r\n"
    head += b"Transfer-Encoding: chunked\r\n\r\n"
    chunked = await _said(edge, head + chunks * 2 + b"0\r\n\r\n")
    assert (declared.status, declared.reason) == (413, "body_too_large")
    assert chunked.startswith(b"HTTP/1.1 413 ")
    assert edge.stamps("small-1") == []
    assert (await edge.request("small", "/?id=fits", "POST", data=b"x" * 10_240)).status == 200
