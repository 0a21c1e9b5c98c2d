"""The proxies that are written here do what is measured, and what is measured is what is told."""

import http.client
import sys
from pathlib import Path

import pytest

from benchmarks import peers
from benchmarks.load import SCENARIOS
from benchmarks.processes import cpu_seconds, new_port, running
from benchmarks.proxies import Sample, summarize
from benchmarks.upstream import JSON, LARGE_BYTES, LARGE_PATH

SMALL, _, _, _, DOWNLOAD, _ = SCENARIOS


def ask(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, int]:
    """Return the status, and how many bytes were answered."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, body, {"Host": "model.example"})
    answer = connection.getresponse()
    size = len(answer.read())
    connection.close()
    return answer.status, size


@pytest.mark.parametrize("name", ["router", "sketch", "aiohttp"])
def test_a_proxy_passes_large_bodies_whole_both_ways(name: str, tmp_path: Path) -> None:
    model = peers.Place(tmp_path, new_port(), 0)
    proxy = peers.Place(tmp_path, new_port(), model.port)
    with (
        running(peers.python_model(model), model.port, tmp_path / "model.log"),
        running(peers.PEERS[name](proxy), proxy.port, tmp_path / "proxy.log") as pid,
    ):
        assert ask(proxy.port, "GET", LARGE_PATH) == (200, LARGE_BYTES)
        assert ask(proxy.port, "POST", "/predict", bytes(LARGE_BYTES)) == (200, len(JSON))
        assert cpu_seconds(pid) > 0


def test_a_process_that_does_not_listen_is_told_with_its_last_words(tmp_path: Path) -> None:
    command = [sys.executable, "-S", "-c", "raise SystemExit('no port for me')"]
    with pytest.raises(RuntimeError, match="no port for me"), running(command, new_port(), tmp_path / "mute.log"):
        pass


def test_a_program_that_is_absent_is_named_with_the_way_to_get_it() -> None:
    with pytest.raises(peers.Absent, match="no-such-program is not here; get it with: apt-get install it"):
        peers.find("no-such-program", "apt-get install it")


def test_the_least_cpu_of_the_rounds_is_the_figure_of_a_small_request() -> None:
    quiet, noisy = Sample(1000, 1.0, 0.05, 0, 2.0), Sample(500, 1.0, 0.04, 1, 9.0)
    told = summarize([noisy, quiet], SMALL)
    assert (told["cpu_us_min"], told["cpu_us_median"], told["errors"]) == (50, 65, 1)
    assert (told["requests_per_second_max"], told["core_used"], told["p99_ms_min"]) == (1000, 0.045, 2)


def test_bytes_per_cpu_second_is_the_figure_of_a_large_body() -> None:
    told = summarize([Sample(100, 1.0, 1.0, 0, 50.0)], DOWNLOAD)
    assert told["mb_per_cpu_second_max"] == pytest.approx(LARGE_BYTES * 100 / 1e6, rel=1e-3)
