"""Cold starts are measured through a whole edge, in parts that add up."""

from benchmarks.coldstart import Start, measure, summarize


def test_the_parts_of_a_start_lie_within_what_the_client_sees() -> None:
    told = measure(2, tell=lambda _: None)
    assert told["starts"] == 2
    assert 0 < told["request_to_process"]["median"] < told["overhead"]["median"]
    assert told["overhead"]["max"] < told["seen_by_the_client"]["max"]


def test_the_overhead_leaves_out_what_the_model_takes_to_start() -> None:
    told = summarize([Start(to_process=3.0, to_receipt=10.0, whole=500.0)] * 2)
    assert told["overhead"] == {"median": 13.0, "p99": 13.0, "max": 13.0}
