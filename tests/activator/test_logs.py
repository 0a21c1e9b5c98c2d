from __future__ import annotations

import errno
import json
import os
import select
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Timer
from typing import Any

import structlog
from structlog.testing import capture_logs

from activator import logs
from router.table import Revision, Service
from tests.router.fakes import exchange, request

SCRIPT = """
import sys
from activator import logs
logs.configure(pretty=sys.argv[1] == "pretty")
log = logs.logger("edge")
log.debug("too fine")
log.info("scale", service="m", replicas=1, why="Wants 1.")
try:
    1 / 0
except ZeroDivisionError as error:
    log.error("defect", exc_info=error)
"""


def written(style: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", SCRIPT, style], capture_output=True, text=True, check=True, timeout=20)


def access(target: bytes) -> dict[str, Any]:
    """Return the access line of a POST that was held for 2 s and took 5 s in all."""
    ended = exchange(request("POST / HTTP/1.1", "Authorization: Bearer sesame", host="m.example"), now=1000.0)
    ended.request.target = target
    ended.service = Service("m", ("m.example",), ())
    ended.revision = Revision("m-1", "m")
    ended.dispatched, ended.status, ended.body_bytes = 1002.0, 200, 17
    with capture_logs() as lines:
        logs.access(structlog.get_logger(), ended, 1005.0, "192.0.2.7")
    (found,) = lines
    return dict(found)


def test_logs_are_json_lines_on_standard_error() -> None:
    done = written("json")
    assert done.stdout == ""
    first, second = map(json.loads, done.stderr.splitlines())
    assert first.pop("timestamp").endswith("Z")
    assert first == {
        "component": "edge",
        "level": "info",
        "event": "scale",
        "service": "m",
        "replicas": 1,
        "why": "Wants 1.",
    }
    assert "ZeroDivisionError" in second["exception"]


def test_people_get_lines_that_are_easier_to_read() -> None:
    assert "why" in written("pretty").stderr
    assert "{" not in written("pretty").stderr.splitlines()[0]


def test_an_access_line_tells_what_became_of_a_request() -> None:
    assert access(b"/v1/predict") == {
        "event": "request",
        "log_level": "info",
        "client": "192.0.2.7",
        "host": "m.example",
        "method": "POST",
        "path": "/v1/predict",
        "status": 200,
        "reason": None,
        "request_id": None,
        "service": "m",
        "revision": "m-1",
        "hold_ms": 2000.0,
        "total_ms": 5000.0,
        "bytes": 17,
    }


def test_an_access_line_is_written_at_once_however_long_host_and_path_are() -> None:
    ended = exchange(request("POST / HTTP/1.1", host="m.example"), now=1000.0)
    ended.request.host, ended.request.target = b"m" * 60_000, b"/" + b"\xff" * 60_000
    ended.request.id, ended.reason = b"\\" * 128, "replica_connection_failed"
    ended.service, ended.revision = Service("m" * 253, ("m.example",), ()), Revision("m" * 253, "m")
    with capture_logs() as lines:
        logs.access(structlog.get_logger(), ended, 1005.0, "192.0.2.7")
    assert len(json.dumps(lines[0])) < select.PIPE_BUF - 100
    assert lines[0]["host"] == "m" * 253 + "…"
    assert lines[0]["path"] == "/" + "\\xff" * 499 + "…"


def test_an_access_line_has_the_requests_id_if_it_has_one() -> None:
    ended = exchange(request())
    ended.request.id = b"7f3c"
    with capture_logs() as lines:
        logs.access(structlog.get_logger(), ended, 1000.5, "192.0.2.7")
    assert lines[0]["request_id"] == "7f3c"


def test_an_access_line_holds_no_query_and_no_header() -> None:
    text = str(access(b"/chat?key=sesame"))
    assert "sesame" not in text
    assert "/chat" in text


def test_bytes_that_are_no_text_do_not_break_a_line() -> None:
    assert access(b"/caf\xc3\xa9")["path"] == "/caf\\xc3\\xa9"


def test_a_request_that_reached_nobody_has_an_access_line_too() -> None:
    ended = exchange(request(), now=1000.0)
    ended.status, ended.reason = 404, "unknown_host"
    with capture_logs() as lines:
        logs.access(structlog.get_logger(), ended, 1000.5, "192.0.2.7")
    (line,) = lines
    assert (line["status"], line["reason"], line["service"], line["hold_ms"]) == (404, "unknown_host", None, None)


def test_a_pipe_that_nobody_reads_costs_lines_and_never_time() -> None:
    reader, writer = os.pipe()
    output = logs.Output(writer)
    line = "x" * 999 + "\n"
    for _ in range(100):
        output.write(line)
    assert 30 < output.dropped < 50  # a pipe has 64 KiB
    before = output.dropped
    os.read(reader, 1 << 16)
    output.write("the next\n")
    assert output.dropped == before
    assert os.read(reader, 1 << 16) == b"the next\n"
    for descriptor in (reader, writer):
        os.close(descriptor)


def test_a_pipe_in_which_another_process_takes_the_room_costs_a_line_and_no_time() -> None:
    reader, writer = os.pipe()
    other = os.open(f"/proc/self/fd/{writer}", os.O_WRONLY | os.O_NONBLOCK)

    def too_late(descriptor: int, data: bytes) -> int:
        with suppress(BlockingIOError):
            while os.write(other, bytes(select.PIPE_BUF)):
                pass
        return os.write(descriptor, data)

    output = logs.Output(writer, too_late)
    output.share()
    rescue = Timer(5.0, os.read, (reader, 1 << 16))
    rescue.start()
    output.write("z" * 999 + "\n")
    rescue.cancel()
    rescue.join()
    assert output.dropped == 1
    assert set(os.read(reader, 1 << 17)) == {0}
    for descriptor in (reader, writer, other):
        os.close(descriptor)


def test_the_line_after_a_broken_one_is_a_line_of_its_own() -> None:
    reader, writer = os.pipe()
    output = logs.Output(writer)
    output.write("y" * 100_000 + "\n")
    written = os.read(reader, 1 << 17)
    output.write("the next\n")
    assert set(written) == {ord("y")}
    assert os.read(reader, 1 << 16) == b"\nthe next\n"
    assert output.dropped == 1
    for descriptor in (reader, writer):
        os.close(descriptor)


def test_a_full_disk_costs_lines_only() -> None:
    def full(_: int, __: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with Path(os.devnull).open("wb") as file:
        output = logs.Output(file.fileno(), full)
        output.write("lost\n")
    assert output.dropped == 1
