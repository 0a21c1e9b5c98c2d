"""Durations and sizes read as Go and Kubernetes read them, and survive being written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activator.settings.durations import LARGEST, format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("0s", 0.0),
        ("10s", 10.0),
        ("1m30s", 90.0),
        ("1.5h", 5400.0),
        ("20ms", 0.02),
        ("30m", 1800.0),
        ("1h2m3.5s", 3723.5),
        ("1us", 1e-6),
        ("1µs", 1e-6),
        ("1μs", 1e-6),
        ("5ns", 5e-9),
        (".5s", 0.5),
        ("5.s", 5.0),
        ("-1m", -60.0),
        ("+1m", 60.0),
        ("1m1m", 120.0),
        ("0.1s", 0.1),
    ],
)
def test_a_duration_is_read_as_go_reads_it(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10",
        "s",
        ".s",
        "1 s",
        "1d",
        "10S",
        " 10s",
        "10s ",
        "1,5s",
        "٣s",
        "1e3s",
        "--1s",
        "1m-1s",
        "2562048h",
        "9" * 70,
    ],
)
def test_what_go_refuses_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a duration|too long"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"),
        (120.0, "2m"),
        (90.0, "1m30s"),
        (3600.0, "1h"),
        (0.02, "20ms"),
        (1.5, "1.5s"),
        (-60, "-1m"),
        (1e-9, "1ns"),
    ],
)
def test_a_duration_is_written_as_briefly_as_it_can_be(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(-(10**16), 10**16))
def test_every_duration_to_the_nanosecond_survives_being_written(nanoseconds: int) -> None:
    seconds = nanoseconds / 10**9
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, abs=1e-9, rel=1e-15)


@given(st.integers(0, 10**9))
def test_whole_seconds_survive_exactly(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("10B", 10),
        ("64MiB", 64 << 20),
        ("1GiB", 1 << 30),
        ("1.5Gi", 3 << 29),
        ("10MB", 10**7),
        ("1 KiB", 1024),
    ],
)
def test_a_size_is_a_number_with_a_unit(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "1mib", "1M", "-1", "0.3B", "1e3", "1_000", "٣", "99999999TiB", "1 2"])
def test_a_size_that_is_no_whole_number_of_bytes_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        parse_size(text)


@given(st.integers(0, LARGEST))
def test_every_size_survives_being_written(size: int) -> None:
    assert parse_size(format_size(size)) == size


@given(st.text(max_size=80))
def test_any_other_text_is_a_value_error(text: str) -> None:
    for parse in (parse_duration, parse_size):
        try:
            assert parse(text) == parse(text)
        except ValueError:
            continue
