"""The load: wrk on its own core, closed loop, keep-alive, and what it tells of a run."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.peers import find
from benchmarks.processes import pinned
from benchmarks.upstream import LARGE_BYTES, LARGE_PATH

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = """
wrk.method = {method}
wrk.body = string.rep("x", {body})
wrk.headers = {{ {headers} }}
if {body} == 0 then wrk.body = nil end
if {differs} then
  local number = 0
  request = function()
    number = number + 1
    wrk.headers["X-Request-Id"] = number
    return wrk.format()
  end
end
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('RESULT {{"requests": %d, "seconds": %f, "errors": %d, "p99_ms": %f}}\\n',
    summary.requests, summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(99) / 1e3))
end
"""
TIMEOUT_SECONDS = 10
HOST = (("Host", "model.example"),)
TWELVE = (  # with Content-Length, which wrk adds
    *HOST,
    ("User-Agent", "OpenAI/Python 2.9.0"),
    ("Accept", "application/json"),
    ("Accept-Encoding", "gzip, deflate"),
    ("Accept-Language", "en"),
    ("Authorization", "Bearer 0123456789abcdef0123456789abcdef"),
    ("Content-Type", "application/json"),
    ("Origin", "https://app.example"),
    ("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("X-Request-Id", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"),
    ("X-Client-Version", "2.9.0"),
)
POST = "POST, 12 headers, 1 KiB body"


@dataclass(frozen=True)
class Scenario:
    """One kind of request. `body` is its size in bytes, `moved` the bytes that pass the proxy per request (0 = a small
    request, of which the number counts). Heads are the same in all requests of a run, unless `differs`: then a field
    counts them."""

    name: str
    title: str
    method: str = "GET"
    path: str = "/v1/models/model"
    headers: tuple[tuple[str, str], ...] = HOST
    body: int = 0
    moved: int = 0
    connections: int = 32
    differs: bool = False


SCENARIOS = (
    Scenario("small", "GET, small JSON answer"),
    Scenario("differing", "GET, small JSON answer, a different head each time", differs=True),
    Scenario("post", POST, "POST", headers=TWELVE, body=1024),
    Scenario("differing_post", f"{POST}, a different head each time", "POST", headers=TWELVE, body=1024, differs=True),
    Scenario("download", "GET, 10 MiB answer", path=LARGE_PATH, moved=LARGE_BYTES, connections=4),
    Scenario("upload", "POST, 10 MiB body", "POST", body=LARGE_BYTES, moved=LARGE_BYTES, connections=4),
)


@dataclass(frozen=True)
class Answered:
    """What wrk tells of a run. `errors` are failed connections and answers other than 2xx and 3xx."""

    requests: int
    seconds: float
    errors: int
    p99_ms: float


class Wrk:
    """wrk, for one scenario, on one core. Absent if it is not here."""

    def __init__(self, scenario: Scenario, core: int, directory: Path) -> None:
        self._path = scenario.path
        self._connections = scenario.connections
        self._script = directory / f"{scenario.name}.lua"
        self._script.write_text(_script(scenario))
        self._command = pinned(
            core,
            [find("wrk", "apt-get install wrk"), "-t1", "--timeout", f"{TIMEOUT_SECONDS}s", "-s", str(self._script)],
        )

    def run(self, port: int, seconds: int) -> Answered:
        """Load `port` for so many seconds."""
        url = f"http://127.0.0.1:{port}{self._path}"
        command = [*self._command, f"-c{self._connections}", f"-d{seconds}s", url]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return Answered(**json.loads(told.partition("RESULT ")[2].partition("\n")[0]))


def _script(scenario: Scenario) -> str:
    headers = ", ".join(f"[{json.dumps(name)}] = {json.dumps(value)}" for name, value in scenario.headers)
    differs = str(scenario.differs).lower()
    return SCRIPT.format(method=json.dumps(scenario.method), body=scenario.body, headers=headers, differs=differs)
