"""Who answers: shares, tags, hosts, and which answers are the edge's own."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.journeys.services import by_tag_only, configuration, revision, service

if TYPE_CHECKING:
    from tests.journeys.conftest import Serve
    from tests.journeys.edge import Edge

SAMPLE = 1000
TAG = "Knative-Serving-Tag"


async def test_shares_are_drawn_as_configured(edge: Edge) -> None:
    traffic = [{"revision": "split-1", "percent": 90}, {"revision": "split-2", "percent": 10}]
    both = (revision("split-1"), revision("split-2"))
    await edge.deploy(service("split", *both, traffic=traffic, **{"show-revision": True}))
    await asyncio.gather(*(_ask(edge, SAMPLE // 10) for _ in range(10)))
    got = Counter({name: len(edge.stamps(name)) for name in ("split-1", "split-2")})
    assert got.total() == SAMPLE
    assert abs(got["split-2"] - SAMPLE / 10) < 50  # five standard deviations


async def _ask(edge: Edge, times: int) -> None:
    for _ in range(times):
        answer = await edge.request("split")
        assert answer.status == 200
        assert answer.headers["Activator-Revision"] == answer.json["replica"].rpartition("-")[0]


async def test_a_revision_without_a_share_is_reached_by_its_tag_only(edge: Edge) -> None:
    await edge.deploy(by_tag_only("tagged", first=revision("tagged-1"), second=revision("tagged-2")))
    assert {answer.status for answer in await edge.requests("tagged", *["/?id=all"] * 50)} == {200}
    await edge.request("next-tagged", "/?id=host")
    await edge.request("tagged", "/?id=header", headers={TAG: "next"})
    await edge.request("tagged", "/?id=no-such-tag", headers={TAG: "other"})
    assert [stamp.request for stamp in edge.stamps("tagged-2")] == ["host", "header"]
    assert len(edge.stamps("tagged-1")) == 51


async def test_a_tag_in_a_header_counts_for_nothing_where_it_is_switched_off(edge: Edge) -> None:
    both = by_tag_only("strict", first=revision("strict-1"), second=revision("strict-2"))
    await edge.deploy({**both, "tag-header": False})
    await edge.request("strict", "/?id=header", headers={TAG: "next"})
    assert [stamp.request for stamp in edge.stamps("strict-1")] == ["header"]
    assert edge.stamps("strict-2", "start") == []


async def test_services_share_a_host_by_path(edge: Edge) -> None:
    host = {"hosts": ["shop.localhost"]}
    await edge.deploy(
        service("shop-one", paths=["/one"], **host),
        service("shop-two", paths=["/one/two"], **host),
    )
    one, two, none = await edge.requests("shop", "/one?id=1", "/one/two/three?id=2", "/onetwo")
    assert one.json["replica"].startswith("shop-one-1")
    assert two.json["replica"].startswith("shop-two-1")
    assert (none.status, none.reason) == (404, "unknown_path")


async def test_an_unknown_host_gets_404_with_a_reason(edge: Edge) -> None:
    answer = await edge.request("nobody.example")
    assert (answer.status, answer.reason) == (404, "unknown_host")
    assert answer.json["reason"] == "unknown_host"
    assert "nobody.example" in answer.json["message"]


async def test_a_models_own_errors_pass_untouched_and_do_not_look_like_the_edges(edge: Edge) -> None:
    await edge.deploy(service("honest"))
    for status in (404, 500, 503):
        answer = await edge.request("honest", f"/?id={status}&status={status}")
        assert (answer.status, answer.json["id"], answer.reason) == (status, str(status), None)
        assert "Activator-Revision" not in answer.headers


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="there is no IPv6 here")
async def test_an_edge_on_an_ipv6_address_tells_it_as_it_can_be_asked(serve: Serve) -> None:
    edge = serve(configuration(service("six"), listen="[::1]:0", admin="[::1]:0"))
    assert edge.daemon.listen.startswith("[::1]:")
    assert (await edge.request("six")).status == 200
    assert await edge.metric("activator_config_valid") == 1
