"""The programs that make load see what is there: nothing lost, nothing merged, everything in its place."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from benchmarks import held, helpers, idle, latency, slow, streams, workers
from benchmarks.field import Started
from benchmarks.peers import Place, python_model
from benchmarks.processes import new_port, resident_bytes, running
from benchmarks.report import Report

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def model(directory: Path, stack: ExitStack) -> Started:
    place = Place(directory, new_port(), 0)
    return Started(stack.enter_context(running(python_model(place), place.port, directory / "model.log")), place.port)


def test_every_token_is_read_and_its_age_told(tmp_path: Path) -> None:
    port, count, seconds = new_port(), 5, 1
    command = helpers.command("sse_model", port, count, streams.RATE, seconds)
    with running(command, port, tmp_path / "model.log"), helpers.helper("sse", port, count) as crowd:
        assert crowd.wait() == "all"
        told = crowd.figures()
    assert count * (streams.RATE - 2) <= told["events"] <= count * streams.RATE
    assert (told["merged"], 0 < told["p50_ms"] <= told["p99_ms"] <= told["max_ms"]) == (0, True)


def test_idle_connections_are_open_while_memory_is_read(tmp_path: Path) -> None:
    with ExitStack() as stack:
        told = idle._cost(model(tmp_path, stack), 20)
    assert told["open"] == 20
    assert told["after"] >= told["before"] > 0


def test_an_open_loop_asks_at_its_rate_and_waits_for_all_answers(tmp_path: Path) -> None:
    with ExitStack() as stack:
        told = helpers.run("open_load", model(tmp_path, stack).port, 200, 1, 4)
    assert told["asked"] == told["answered"] == 200
    assert 0 < told["p50_ms"] <= told["p99_ms"] <= told["p999_ms"] <= told["max_ms"]


def test_slow_clients_come_and_stay(tmp_path: Path) -> None:
    with ExitStack() as stack:
        proxy = model(tmp_path, stack)
        with helpers.helper("slow", proxy.port, 3, 2) as crowd:
            assert crowd.wait() == "all"
            assert resident_bytes(proxy.pid) > 0
            assert crowd.figures() == {"senders came": 3, "readers came": 2}


def test_held_requests_are_answered_in_order_through_a_whole_edge(capsys: pytest.CaptureFixture[str]) -> None:
    told = held.measure(30, lambda _: None)
    assert (told["answered"], told["statuses"]) == (30, {"200": 30})
    assert told["out_of_place"] <= held.CONCURRENCY
    report = Report()
    held.show(told | {"bytes_each": 20_000}, report)
    assert report.missed == ["19.5 KiB each above idle, required below 12"]
    assert "30 of 30 answered" in capsys.readouterr().out


def test_several_workers_are_compared_with_one(capsys: pytest.CaptureFixture[str]) -> None:
    def start(one: float, several: float) -> dict[str, list[dict[str, float]]]:
        costs = {"one": (one, 0.5), "several": (several, 0.7), "apart": (130, 0.9)}
        return {
            label: [{"cpu_us": cost + noise, "split": split, "answered": 100, "asked": 100} for noise in (5, 0)]
            for label, (cost, split) in costs.items()
        }

    cost = workers.summarize([start(100, 110), start(90, 120), start(110, 121)])
    assert (cost["one"], cost["several"], cost["apart"]) == (100, 120, 130)
    assert (cost["ratio"], cost["ratios"]) == (1.2, [1.1, 1.333])
    assert (cost["split"], cost["answered"]) == (0.7, 1800)
    report, of_held = Report(), {"requests": 9, "bytes_each": 9, "answered": 9, "out_of_place": 0, "seconds": 1.0}
    workers.show({"rate": 100, "costs": {"unlimited": cost}, "held": of_held}, report)
    assert report.missed == [
        "unlimited: 1.20 x the CPU of one process, required at most 1.15",
        "unlimited: split 70/30, required no worse than 60/40",
    ]
    assert "1800 of 1800 answered" in capsys.readouterr().out


def test_what_is_required_and_missed_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    ages = {"p50_ms": 0.1, "p99_ms": 1.0, "p999_ms": 2.0, "max_ms": 9.0}
    stream = ages | {"events": 100, "merged": 0, "lost": 0, "cpu_us": 20.0, "core_used": 0.5}
    load = ages | {"asked": 10, "answered": 10, "peak": 100, "rate": 70}
    attacked = {
        "before": load,
        "during": load | {"p99_ms": 3.0},
        "bytes_before": 1,
        "bytes_halfway": 2,
        "bytes_after": 3,
    }
    report = Report()
    late = stream | {"p99_ms": 3.5, "merged": 2}
    streams.show({"streams": 5, "rate": 20, "peers": {"no proxy": stream, "router": late}}, report)
    calm = attacked | {"during": load | {"p99_ms": 0.5}, "bytes_after": 2}
    peers = {"router": slow.summarize([attacked, attacked, calm])}
    slow.show({"senders": 2, "readers": 1, "rate": 9, "peers": peers}, report)
    latency.show({"peers": {"router": load}}, report)
    idle.show({"connections": 5, "peers": {"router": {"bytes_each": 4096, "before": 1, "open": 5}}}, report)
    assert [text.partition(",")[0] for text in report.missed] == [
        "a token is 2.50 ms later",
        "2 merged that were sent more than 20 ms apart",
        "p99 3.00 ms beside 1.00 ms before",
        "memory changed by +50.0% from the first half to the second",
    ]
    assert "open loop at 70% of the peak" in capsys.readouterr().out
