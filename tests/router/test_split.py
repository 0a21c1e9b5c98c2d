from __future__ import annotations

from collections import Counter
from math import exp, lgamma, log
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.match import compile_routes, match
from router.split import by_draw, split
from router.table import Share
from tests.router.fakes import request, revision, service, table

if TYPE_CHECKING:
    from router.table import Service


def shares(*percents: int, tags: tuple[str | None, ...] = ()) -> Service:
    names = [f"a-{number}" for number in range(1, len(percents) + 1)]
    labels = (*tags, *[None] * len(percents))
    return service(*[Share(revision(n), p, tag) for n, p, tag in zip(names, percents, labels, strict=False)])


def chosen(of: Service, *fields: str, host: str = "a.example", draw: float = 0.0) -> tuple[str, bool]:
    route = match(compile_routes(table(of)), host.encode(), b"/")
    found, tagged = split(route, request("GET / HTTP/1.1", *fields, host=host), draw)
    return found.revision.name, tagged


def chi_square_p(statistic: float, freedom: int) -> float:
    """Return the upper tail of the chi-square distribution, by the series of the lower incomplete gamma function."""
    half, x = freedom / 2, statistic / 2
    term = total = 1 / half
    for step in range(1, 1000):
        term *= x / (half + step)
        total += term
    return 1 - total * exp(-x + half * log(x) - lgamma(half)) if x else 1.0


def test_the_p_value_agrees_with_the_printed_tables() -> None:
    assert chi_square_p(10.828, 1) == pytest.approx(0.001, rel=1e-3)
    assert chi_square_p(18.467, 4) == pytest.approx(0.001, rel=1e-3)
    assert chi_square_p(3.357, 4) == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize("percents", [(90, 10), (50, 50), (1, 99), (70, 0, 20, 10), (33, 33, 34), (100, 0)])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_ten_thousand_seeded_draws_fall_as_the_percentages_say(percents: tuple[int, ...], seed: int) -> None:
    random, of = Random(seed), shares(*percents)
    counts = Counter(by_draw(of, random.random()).revision.name for _ in range(10_000))
    expected = {f"a-{index}": percent * 100 for index, percent in enumerate(percents, 1) if percent}
    assert counts.keys() == expected.keys()
    statistic = sum((counts[name] - count) ** 2 / count for name, count in expected.items())
    assert len(expected) == 1 or chi_square_p(statistic, len(expected) - 1) > 0.001


@given(st.floats(0, 1, exclude_max=True), st.sampled_from([(0, 100, 0), (0, 60, 0, 40, 0), (100, 0), (0, 100)]))
def test_a_revision_with_no_percent_gets_no_draw(draw: float, percents: tuple[int, ...]) -> None:
    assert by_draw(shares(*percents), draw).percent > 0


@pytest.mark.parametrize(("draw", "name"), [(0.0, "a-1"), (0.8999, "a-1"), (0.9, "a-2"), (0.9999999, "a-2")])
def test_a_draw_falls_on_the_share_that_spans_it(draw: float, name: str) -> None:
    assert chosen(shares(90, 10), draw=draw) == (name, False)


def test_a_revision_without_traffic_is_reached_by_its_tags_host() -> None:
    of = shares(100, 0, tags=(None, "next"))
    assert chosen(of, host="next-a.example") == ("a-2", True)


def test_a_revision_without_traffic_is_reached_by_the_tag_header() -> None:
    of = shares(100, 0, tags=(None, "next"))
    assert chosen(of, "Knative-Serving-Tag: next") == ("a-2", True)


@pytest.mark.parametrize(("field", "tagged"), [("Knative-Serving-Tag: now", True), ("Accept: */*", False)])
def test_a_tag_names_also_the_only_revision(field: str, tagged: bool) -> None:
    assert chosen(shares(100, tags=("now",)), field) == ("a-1", tagged)


def test_a_revision_without_traffic_and_tag_is_not_reached() -> None:
    of = shares(100, 0, tags=("now", None))
    assert {chosen(of, f"Knative-Serving-Tag: {tag}", draw=0.999)[0] for tag in ("next", "a-2", "None", "")} == {"a-1"}


def test_an_unknown_tag_falls_back_to_the_split() -> None:
    of = shares(90, 10, tags=("now", "next"))
    assert chosen(of, "Knative-Serving-Tag: other", draw=0.95) == ("a-2", False)


def test_the_tag_header_is_ignored_where_the_service_does_not_allow_it() -> None:
    of = service(Share(revision("a-1"), 100), Share(revision("a-2"), 0, "next"), tag_header=False)
    assert chosen(of, "Knative-Serving-Tag: next") == ("a-1", False)
    assert chosen(of, host="next-a.example") == ("a-2", True)


def test_the_host_s_tag_wins_over_the_header_s() -> None:
    of = shares(100, 0, 0, tags=(None, "next", "last"))
    assert chosen(of, "Knative-Serving-Tag: last", host="next-a.example") == ("a-2", True)
