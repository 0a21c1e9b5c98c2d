"""An edge by TLS as an operator runs it: certificates are renewed under it, wrong ones told; models speak it, too."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from tests.certificates import CA, client_context, pair, serial, shown
from tests.journeys.services import MODELS, configuration, revision, service

if TYPE_CHECKING:
    from pathlib import Path

    from tests.journeys.conftest import Serve
    from tests.journeys.edge import Edge

HOST = "a.example"


class Caller:
    """A client that keeps its connection to an edge that speaks TLS."""

    async def open(self, edge: Edge) -> Caller:
        host, _, port = edge.daemon.listen.rpartition(":")
        self._reader, self._writer = await asyncio.open_connection(
            host, int(port), ssl=client_context(), server_hostname=HOST
        )
        return self

    @property
    def certificate(self) -> bytes:
        return serial(self._writer.get_extra_info("ssl_object"))

    async def ask(self, *fields: str, host: str = HOST, target: str = "/") -> tuple[int, str, str]:
        """Return the status, the head and the body of an answer."""
        head = "\r\n".join((f"GET {target} HTTP/1.1", f"Host: {host}", *fields, "", ""))
        self._writer.write(head.encode())
        async with asyncio.timeout(60):
            told = (await self._reader.readuntil(b"\r\n\r\n")).decode()
            length = int(told.lower().partition("content-length: ")[2].partition("\r")[0])
            return int(told.split()[1]), told, (await self._reader.readexactly(length)).decode()

    def close(self) -> None:
        self._writer.transport.abort()


def put(home: Path, certificate: str, key: str = "") -> None:
    """Put these files where the edge has its certificate and key, one after the other as tools do."""
    for file, name in ((pair(certificate)[0], "tls.pem"), (pair(key or certificate)[1], "tls.key")):
        shutil.copy(file, home / "new")
        (home / "new").replace(home / name)


def secured(home: Path, *services: Any, **changes: Any) -> dict[str, Any]:
    put(home, "a")
    tls = [{"certificate": str(home / "tls.pem"), "key": str(home / "tls.key")}]
    return configuration(*services, tls=tls, **changes)


def model(**process: str) -> dict[str, Any]:
    command = [sys.executable, "-S", "-E", str(MODELS / "secret.py"), *map(str, pair("local"))]
    return service("a", revision("a-1", command), hosts=[HOST], process=process)


async def renewed(edge: Edge, certificate: str) -> None:
    async def found() -> bool | None:
        caller = await Caller().open(edge)
        caller.close()
        return caller.certificate == shown(certificate) or None

    await edge.eventually(found)


async def test_a_certificate_is_renewed_while_a_connection_stays_up(serve: Serve, tmp_path: Path) -> None:
    edge = serve(secured(tmp_path, service("a", hosts=[HOST])))
    caller = await Caller().open(edge)
    assert (await caller.ask())[0] == 200
    put(tmp_path, "renewed")
    await renewed(edge, "renewed")
    assert (await caller.ask())[0] == 200
    assert caller.certificate == shown("a")
    assert await edge.metric("activator_config_valid") == 1
    assert await edge.metric("activator_certificate_not_after_seconds") > time.time()
    caller.close()


async def test_a_key_that_does_not_match_keeps_the_old_certificate_and_is_told(serve: Serve, tmp_path: Path) -> None:
    edge = serve(secured(tmp_path))
    put(tmp_path, "renewed", key="b")
    await edge.until(lambda: edge.logs("configuration refused"))
    (problem,) = edge.logs("configuration refused")[-1]["problems"]
    assert "tls[0].key" in problem
    assert "does not belong to the certificate" in problem
    assert await edge.metric("activator_config_valid") == 0
    await renewed(edge, "a")

    put(tmp_path, "renewed")
    await renewed(edge, "renewed")
    assert await edge.metric("activator_config_valid") == 1


async def test_a_bad_configuration_does_not_keep_a_certificate_from_being_renewed(serve: Serve, tmp_path: Path) -> None:
    edge = serve(secured(tmp_path))
    edge.daemon.write_text("services: [unclosed")
    await edge.until(lambda: edge.logs("configuration refused"))
    put(tmp_path, "renewed")
    await renewed(edge, "renewed")
    assert await edge.metric("activator_config_valid") == 0


async def test_nor_the_cas_of_replicas(serve: Serve, tmp_path: Path) -> None:
    cas = tmp_path / "ca.pem"
    shutil.copy(CA, cas)
    described = model(**{"upstream-tls": "on", "upstream-ca": str(cas)})
    edge = serve(configuration(described | {"requests": {"hold-timeout": "300ms"}, "autoscaling": {"min-scale": 1}}))
    await edge.ready("a", 1)
    assert (await edge.request(HOST)).status == 200
    edge.daemon.write_text("services: [unclosed")
    await edge.until(lambda: edge.logs("configuration refused"))
    shutil.copy(pair("a")[0], tmp_path / "new")
    (tmp_path / "new").replace(cas)

    async def no_longer_trusted() -> bool | None:
        return (await edge.request(HOST)).reason == "hold_timeout" or None

    await edge.eventually(no_longer_trusted)


async def test_a_configuration_that_was_refused_for_want_of_a_certificate_is_taken_when_that_comes(
    serve: Serve, tmp_path: Path
) -> None:
    edge = serve(secured(tmp_path))
    later = {"certificate": str(tmp_path / "later.pem"), "key": str(tmp_path / "later.key"), "hosts": [HOST]}
    edge.daemon.write({**edge.daemon.config, "tls": [later]})
    await edge.until(lambda: edge.logs("configuration refused"))
    certificate, key = pair("renewed")
    shutil.copy(key, tmp_path / "later.key")
    shutil.copy(certificate, tmp_path / "later.pem")
    await renewed(edge, "renewed")
    assert await edge.metric("activator_config_valid") == 1


async def test_a_server_name_that_is_no_text_leaves_no_trace_in_the_log(serve: Serve, tmp_path: Path) -> None:
    edge = serve(secured(tmp_path))
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        client_context().wrap_bio(back, there, server_hostname=HOST).do_handshake()
    reader, writer = await edge.connect()
    writer.write(there.read().replace(HOST.encode(), b"\xff" * len(HOST)))
    assert (await reader.read(100)).startswith(b"\x15"), "an alert"
    writer.close()
    assert "UnicodeDecodeError" not in edge.daemon.said


async def test_ids_hops_and_plain_http_beside_tls(serve: Serve, tmp_path: Path) -> None:
    more = {"listen-plain": "127.0.0.1:0", "trusted-hops": ["127.0.0.0/8"], "request-ids": True, "access-log": True}
    edge = serve(secured(tmp_path, model(**{"upstream-tls": "on", "upstream-ca": str(CA)}), **more))
    caller = await Caller().open(edge)
    _, _, got = await caller.ask("X-Request-Id: mine", "X-Forwarded-For: 203.0.113.5")
    assert "X-Request-Id: mine\n" in got
    assert "\ntraceparent: 00-" in got
    assert "X-Forwarded-For: 203.0.113.5, 127.0.0.1\n" in got
    assert "X-Forwarded-Proto: https\n" in got
    status, head, _ = await caller.ask("X-Request-Id: lost", host="nobody.example")
    assert (status, "X-Request-Id: lost\r\n" in head) == (404, True)
    await edge.until(lambda: len(edge.logs("request")) == 2)
    assert [line["request_id"] for line in edge.logs("request")] == ["mine", "lost"]
    told = [(line["client"], line["host"]) for line in edge.logs("request")]
    assert told == [("203.0.113.5", HOST), ("127.0.0.1", "nobody.example")]
    caller.close()

    edge.daemon.listen = edge.daemon.plain
    assert b"X-Forwarded-Proto: http\n" in (await edge.request(HOST)).body


@pytest.mark.parametrize(
    "process",
    [{"upstream-tls": "insecure"}, {"upstream-tls": "on", "upstream-ca": str(CA), "upstream-name": "localhost"}],
)
async def test_a_model_may_speak_tls(edge: Edge, process: dict[str, str]) -> None:
    await edge.deploy(model(**process))
    assert (await edge.request(HOST)).status == 200


async def test_a_model_with_the_wrong_certificate_never_becomes_ready_and_the_reason_is_told(edge: Edge) -> None:
    process = {"upstream-tls": "on", "upstream-ca": str(CA), "upstream-name": HOST}
    await edge.deploy(model(**process) | {"requests": {"hold-timeout": "1500ms"}})
    answer = await edge.request(HOST)
    assert (answer.status, answer.reason) == (503, "hold_timeout")
    assert "Hostname mismatch" in answer.body.decode()
