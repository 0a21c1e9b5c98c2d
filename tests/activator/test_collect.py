from __future__ import annotations

from typing import Any

import pytest

from activator.collect import Collector
from activator.kpa.spec import Algorithm, Metric
from router.ports import RevisionStats
from tests.activator.stage import spec


def recorded(collector: Collector, now: float) -> list[float]:
    """Return what the stable window holds, oldest second first."""
    values: Any = collector.windows.stable.dump(now)["values"]
    return list(reversed(values))


def stats(concurrency: float = 0.0, requests: int = 0, is_open: int = 0) -> RevisionStats:
    return RevisionStats(concurrency=concurrency, requests=requests, open=is_open)


class TestRecording:
    def test_concurrency_is_recorded_second_by_second(self) -> None:
        collector = Collector(spec())
        for second, concurrency in enumerate([0.5, 2.0, 1.25]):
            collector.record(stats(concurrency, 1), second)
        assert recorded(collector, 2) == [0.5, 2.0, 1.25]

    def test_requests_are_recorded_where_the_metric_is_their_rate(self) -> None:
        collector = Collector(spec(metric=Metric.RPS))
        collector.record(stats(0.1, 7), 0)
        collector.record(stats(0.1, 9), 1)
        assert recorded(collector, 1) == [7, 9]

    @pytest.mark.parametrize(("metric", "each"), [(Metric.CONCURRENCY, 2.0), (Metric.RPS, 3.0)])
    def test_seconds_in_which_nobody_counted_are_recorded_as_what_came_in_all_of_them(
        self, metric: Metric, each: float
    ) -> None:
        collector = Collector(spec(metric=metric))
        collector.record(stats(each, round(each)), 0)
        collector.record(stats(2.0, 135), 45, 45)
        assert recorded(collector, 45) == [each] * 46

    def test_of_a_long_time_in_which_nobody_counted_a_window_is_recorded(self) -> None:
        collector = Collector(spec(stable_window=60.0))
        collector.record(stats(2.0, 1), 10**7, 10**7)
        assert recorded(collector, 10**7) == [2.0] * 60

    def test_the_end_of_traffic_is_recorded_once_as_zero_and_then_nothing(self) -> None:
        collector = Collector(spec())
        collector.record(stats(1.0, 1), 0)
        for second in (1, 2, 3):
            collector.record(stats(), second)
        assert recorded(collector, 3) == [1.0, 0.0]

    def test_silence_from_the_start_records_nothing(self) -> None:
        collector = Collector(spec())
        for second in range(5):
            collector.record(stats(), second)
        assert recorded(collector, 5) == []
        assert collector.averages(5) == (0.0, 0.0)

    def test_an_open_request_is_no_silence(self) -> None:
        collector = Collector(spec(metric=Metric.RPS))
        collector.record(stats(1.0, 1, is_open=1), 0)
        for second in (1, 2, 3):
            collector.record(stats(1.0, 0, is_open=1), second)
        assert recorded(collector, 3) == [1, 0, 0, 0]

    def test_traffic_that_comes_back_is_recorded_again_and_again_ends_with_one_zero(self) -> None:
        collector = Collector(spec())
        for second, concurrency in enumerate([1.0, 0.0, 0.0, 2.0, 0.0, 0.0]):
            collector.record(stats(concurrency), second)
        assert recorded(collector, 5) == [1.0, 0.0, 0.0, 2.0, 0.0]


class TestPoke:
    def test_the_first_request_is_reported_at_once(self) -> None:
        collector = Collector(spec())
        collector.poke(10.4)
        assert recorded(collector, 10.4) == [1.0]
        assert collector.averages(10.4) == (1.0, 1.0)

    def test_what_was_reported_at_once_is_taken_off_the_next_report(self) -> None:
        collector = Collector(spec())
        collector.poke(10.4)
        collector.record(stats(1.2, 2, is_open=2), 11)
        collector.record(stats(2.0, 0, is_open=2), 12)
        assert recorded(collector, 12) == [pytest.approx(1.0), pytest.approx(1.0), 2.0]

    def test_a_burst_that_ends_a_silence_is_not_averaged_with_it(self) -> None:
        collector = Collector(spec())
        collector.poke(3.75)
        collector.record(stats(3.0, 12, is_open=12), 4)
        assert recorded(collector, 4) == [1.0, 11.0]

    def test_of_a_burst_no_more_is_recorded_than_has_come_however_late_it_is_counted(self) -> None:
        collector = Collector(spec())
        collector.poke(3.99)
        collector.record(stats(2.0, 12, is_open=12), 4)
        assert recorded(collector, 4) == [1.0, pytest.approx(11.0)]
        late = Collector(spec())
        late.poke(4.5)
        late.record(stats(3.0, 12, is_open=12), 4)
        assert recorded(late, 4) == [3.0]

    def test_the_next_report_is_never_negative(self) -> None:
        collector = Collector(spec())
        collector.poke(10.9)
        collector.record(stats(0.1, 1, is_open=1), 11)
        assert recorded(collector, 11) == [1.0, 0.0]

    def test_requests_per_second_are_told_ahead_and_taken_off_too(self) -> None:
        collector = Collector(spec(metric=Metric.RPS))
        collector.poke(0.2)
        collector.record(stats(0.5, 4), 1)
        assert recorded(collector, 1) == [1.0, 3.0]

    def test_only_the_first_of_a_series_is_reported_at_once(self) -> None:
        collector = Collector(spec())
        for _ in range(5):
            collector.poke(0.5)
        assert recorded(collector, 0.5) == [1.0]

    def test_after_silence_the_next_is_first_again(self) -> None:
        collector = Collector(spec())
        collector.poke(0.5)
        collector.record(stats(0.1, 1), 1)
        collector.record(stats(), 2)
        collector.poke(2.5)
        assert recorded(collector, 2.5) == [1.0, 0.0, 1.0]


class TestConfigure:
    def test_a_longer_window_keeps_what_was_recorded(self) -> None:
        collector = Collector(spec(stable_window=10.0))
        for second in range(10):
            collector.record(stats(3.0), second)
        collector.configure(spec(stable_window=20.0), 9)
        assert collector.averages(9)[0] == 3.0

    def test_another_algorithm_keeps_what_was_recorded(self) -> None:
        collector = Collector(spec())
        for second in range(200):
            collector.record(stats(3.0), second)
        collector.configure(spec(algorithm=Algorithm.WEIGHTED), 199)
        assert collector.averages(199)[0] == pytest.approx(3.0, rel=1e-3)

    def test_another_metric_begins_afresh(self) -> None:
        collector = Collector(spec())
        collector.record(stats(3.0, 40), 0)
        collector.configure(spec(metric=Metric.RPS), 0)
        assert collector.averages(0) == (0.0, 0.0)
        collector.record(stats(3.0, 40), 1)
        assert recorded(collector, 1) == [40]


class TestRestart:
    def test_a_restored_collector_goes_on_as_if_no_time_had_passed(self) -> None:
        collector = Collector(spec())
        for second in range(5):
            collector.record(stats(2.0), second)
        restored = Collector.load(spec(), collector.dump(4.5), 1000.5)
        assert restored.averages(1000.5) == collector.averages(4.5)

    def test_a_restored_collector_still_owes_the_zero_at_the_end_of_traffic(self) -> None:
        collector = Collector(spec())
        collector.record(stats(2.0), 0)
        restored = Collector.load(spec(), collector.dump(0), 0)
        restored.record(stats(), 1)
        assert recorded(restored, 1) == [2.0, 0.0]

    def test_a_silent_one_stays_silent(self) -> None:
        restored = Collector.load(spec(), Collector(spec()).dump(0), 0)
        restored.record(stats(), 1)
        assert recorded(restored, 1) == []

    @pytest.mark.parametrize("data", [None, {}, {"metric": "concurrency", "silent": "no", "windows": {}}])
    def test_what_is_no_collector_is_refused(self, data: object) -> None:
        with pytest.raises(ValueError, match=r"collector|windows"):
            Collector.load(spec(), data, 0)
