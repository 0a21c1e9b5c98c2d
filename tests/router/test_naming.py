"""Which model a request names, and the wait for the body that does. Nothing is ready here: whoever has been led to a
service is held."""

from __future__ import annotations

import asyncio
import gzip
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from router.body import BUFFER
from router.errors import Reason
from router.exchange import ClientGone
from router.proxy import Proxy
from router.table import EdgeLimits, Service, Share, Table
from tests.router.fakes import Client, Clock, Wakes, exchange, replicas, request, revision, service, table

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from router.body import Body

    Staged = Callable[..., "Stage"]

CHAT = "POST /v1/chat/completions HTTP/1.1"
CHUNKED = "Transfer-Encoding: chunked"
NAMED = "X-Gateway-Model-Name: large"
SMALL, LARGE = service(name="s", models=("small",)), service(name="l", models=("large", "org/large"))


class Stage:
    """A proxy with two services that share a host, and a request to it."""

    def __init__(self, *fields: str, line: str = CHAT, services: tuple[Service, ...] = (SMALL, LARGE)) -> None:
        self.clock = Clock()
        self.wakes = Wakes()
        self.proxy = Proxy(self.wakes, self.clock)
        self.proxy.replace_table(table(*services))
        self.client = Client()
        usual = () if line.startswith(("GET", "HEAD")) else (CHUNKED,)
        self.asked = exchange(request(line, *(fields or usual)), self.client)

    @property
    def body(self) -> Body:
        assert self.asked.request.body is not None
        return self.asked.request.body

    async def run(self, data: bytes = b"", *, whole: bool = True) -> Stage:
        """Have the request served once `data` of its body is here."""
        if data:
            self.body.feed(data)
            if whole:
                self.body.finish()
        self.asked.run(self.proxy.serve(self.asked))
        await asyncio.sleep(0)
        return self

    async def come(self, data: bytes, *, whole: bool = False) -> None:
        """Have more of the body come."""
        self.body.feed(data)
        if whole:
            self.body.finish()
        await asyncio.sleep(0)

    async def leave(self) -> None:
        self.asked.fail(ClientGone())
        await asyncio.sleep(0)

    @property
    def led_to(self) -> str:
        """The service that the request was led to, or why it was refused; "" while neither is known."""
        return self.asked.service.name or self.asked.reason

    @property
    def buffered(self) -> int:
        return self.proxy.admission.buffers.total

    @property
    def told(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.client.got.partition(b"\r\n\r\n")[2])
        return found


@pytest.fixture
async def staged() -> AsyncIterator[Staged]:
    """Makes stages; at the end of a test their requests leave, and nothing may be left of them."""
    made: list[Stage] = []

    def stage(*fields: str, **changes: Any) -> Stage:
        made.append(Stage(*fields, **changes))
        return made[-1]

    yield stage
    for each in made:
        await each.leave()
        assert each.client.ended == [each.asked]
        assert each.buffered == 0
        assert each.proxy.naming._awaited == {}


def body(model: object, size: int = 0) -> bytes:
    return json.dumps({"model": model, "prompt": "x" * size}).encode()


@pytest.mark.parametrize(
    ("model", "name"), [("small", "s"), ("large", "l"), ("org/large", "l"), ("none", "model_not_found")]
)
async def test_the_body_names_the_model(staged: Staged, model: str, name: str) -> None:
    assert (await staged().run(body(model))).led_to == name
    assert (await staged().run(body(model, 2 * BUFFER), whole=False)).led_to == name
    assert (await staged(CHUNKED, "Content-Encoding: gzip").run(gzip.compress(body(model)))).led_to == name


@pytest.mark.parametrize("line", ["POST /openai/v1/embeddings HTTP/1.1", "PUT / HTTP/1.1", "POST /score?x HTTP/1.1"])
async def test_any_path_may_have_a_body_that_names_the_model(staged: Staged, line: str) -> None:
    assert (await staged(line=line).run(body("small"))).led_to == "s"


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("POST /v1/models/small:predict HTTP/1.1", "s"),
        ("POST /v2/models/org/large/infer HTTP/1.1", "l"),
        ("DELETE /v1/models/large HTTP/1.1", "l"),
        ("POST /v1/models/none:predict HTTP/1.1", "model_not_found"),
        ("GET /v1/models/none HTTP/1.1", "model_not_found"),
        ("GET /v1/models HTTP/1.1", "models"),
        ("HEAD /v1/models HTTP/1.1", "models"),
    ],
)
async def test_a_path_that_names_the_model_decides_without_a_look_at_the_body(
    staged: Staged, line: str, name: str
) -> None:
    assert (await staged(line=line).run()).led_to == name
    assert (await staged(CHUNKED, NAMED, line=line).run(body("large"))).led_to == name


async def test_a_header_counts_where_the_body_names_none(staged: Staged) -> None:
    assert (await staged(CHUNKED, NAMED).run(b'{"prompt": "x"}')).led_to == "l"
    assert (await staged(CHUNKED, NAMED).run(b"\xff" * 2 * BUFFER)).led_to == "l"
    assert (await staged(NAMED, line="GET /v1/responses/1 HTTP/1.1").run()).led_to == "l"
    assert (await staged(NAMED.replace("large", "none"), line="GET / HTTP/1.1").run()).led_to == "model_not_found"


async def test_a_header_that_says_otherwise_than_the_body_is_refused(staged: Staged) -> None:
    assert (await staged(CHUNKED, NAMED).run(body("large"))).led_to == "l"
    stage = await staged(CHUNKED, NAMED).run(body("small"))
    assert stage.led_to == "model_ambiguous"
    assert stage.told["error"] == {
        "message": "The body names the model 'small', the header 'large'.",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_ambiguous",
    }
    assert (await staged(NAMED, NAMED, line="GET / HTTP/1.1").run()).led_to == "model_ambiguous"


async def test_two_models_in_a_body_are_refused_whatever_the_header_says(staged: Staged) -> None:
    stage = await staged(CHUNKED, NAMED).run(b'{"model": "large", "Model": "small"}')
    assert (stage.led_to, stage.told["error"]["param"]) == ("model_ambiguous", "model")
    assert stage.proxy.counters.refusals == {"model_ambiguous": 1}


async def test_a_request_that_names_no_model_is_told_how(staged: Staged) -> None:
    for stage in (staged(), staged(line="GET / HTTP/1.1")):
        await stage.run(b"" if stage.asked.request.body is None else b"{}")
        assert stage.led_to == "model_required"
        assert "x-gateway-model-name" in stage.told["message"]
    assert stage.wakes == []


async def test_where_there_is_one_service_only_a_request_need_not_name_a_model(staged: Staged) -> None:
    alone = (LARGE,)
    assert (await staged(services=alone).run(b"{}")).led_to == "l"
    assert (await staged(line="GET / HTTP/1.1", services=alone).run()).led_to == "l"
    assert (await staged(services=alone).run(body("none"))).led_to == "model_not_found"
    assert (await staged(services=alone).run(body(""))).led_to == "l"


async def test_an_empty_name_is_no_model(staged: Staged) -> None:
    assert (await staged().run(body(""))).led_to == "model_not_found"


async def test_a_body_is_waited_for_until_it_is_whole_or_fills_the_look(staged: Staged) -> None:
    stage = staged()
    await stage.run(b"{", whole=False)
    for piece in (b'"model"', b': "small"', b', "prompt": "'):
        await stage.come(piece)
        assert stage.led_to == ""
    await stage.come(b'"}', whole=True)
    assert stage.led_to == "s"
    assert stage.asked.arrived == 1000.0
    large = staged()
    await large.run(body("large", BUFFER // 2)[:-2], whole=False)
    assert large.led_to == ""
    await large.come(b"x" * BUFFER)
    assert large.led_to == "l"


async def test_what_comes_behind_the_look_is_not_seen_however_it_comes(staged: Staged) -> None:
    text = b'{"prompt": "' + b"x" * (BUFFER - 14) + b'","model": "small"}'
    assert (await staged().run(text)).led_to == "model_required"
    stage = await staged().run(text[:-3], whole=False)
    assert stage.led_to == "model_required"
    assert (await staged().run(text[:BUFFER])).led_to == "model_required"


async def test_a_body_of_just_the_size_of_the_look_is_read_alike_with_and_without_its_end(staged: Staged) -> None:
    broken = body("small", BUFFER - len(body("small")) - 1) + b","
    assert len(broken) == BUFFER
    assert (await staged().run(broken)).led_to == "model_required"
    assert (await staged().run(broken, whole=False)).led_to == "model_required"


async def test_the_client_is_told_to_go_on_once_and_the_memory_counts_meanwhile(staged: Staged) -> None:
    stage = await staged(CHUNKED, "Expect: 100-continue").run()
    assert stage.client.got == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert (stage.buffered, stage.proxy.admission.buffers.by_revision) == (BUFFER, {"": BUFFER})
    await stage.come(body("small"), whole=True)
    assert stage.client.got == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert stage.proxy.admission.buffers.by_revision == {"s-1": len(body("small"))}


async def test_a_declared_length_is_what_counts(staged: Staged) -> None:
    assert (await staged("Content-Length: 300").run()).buffered == 300


async def test_without_memory_for_its_beginning_a_body_is_not_awaited(staged: Staged) -> None:
    stage = staged()
    stage.proxy.replace_table(Table((SMALL, LARGE), EdgeLimits(buffered=BUFFER - 1)))
    await stage.run()
    assert (stage.led_to, stage.asked.status) == ("buffer_full", 503)
    assert b"Retry-After" in stage.client.got


async def test_the_wait_for_a_body_ends_with_the_longest_hold(staged: Staged) -> None:
    shares = (Share(revision("s-1", "s", hold=5.0), 100),)
    stage = await staged(services=(service(*shares, name="s", models=("small",)), LARGE)).run(b"{", whole=False)
    stage.clock.now += 599.0
    stage.proxy.sweep()
    await asyncio.sleep(0)
    assert stage.led_to == ""
    stage.clock.now += 1.0
    stage.proxy.sweep()
    await asyncio.sleep(0)
    assert (stage.led_to, stage.asked.status) == ("request_timeout", 408)
    assert "600 s" in stage.told["message"]


async def test_no_hold_is_a_wait_without_end(staged: Staged) -> None:
    shares = (Share(revision("s-1", "s", hold=0.0), 100),)
    stage = await staged(services=(service(*shares, name="s", models=("small",)), LARGE)).run(b"{", whole=False)
    stage.clock.now += 1e6
    stage.proxy.sweep()
    await asyncio.sleep(0)
    assert stage.led_to == ""


async def test_a_client_that_leaves_meanwhile_leaves_nothing(staged: Staged) -> None:
    stage = await staged().run(b"{", whole=False)
    await stage.leave()
    assert (stage.led_to, stage.buffered) == ("client_left", 0)
    assert stage.client.got == b""


async def test_the_services_of_a_new_table_are_chosen_from_by_a_body_that_was_awaited(staged: Staged) -> None:
    stage = await staged().run(b"{", whole=False)
    stage.proxy.replace_table(table(service(name="new", models=("small",))))
    await stage.come(body("small")[1:], whole=True)
    assert stage.led_to == "new"


async def test_a_held_request_follows_its_model_to_another_service(staged: Staged) -> None:
    stage = await staged().run(body("large"))
    assert stage.asked.revision.name == "l-1"
    stage.proxy.replace_table(table(SMALL, service(name="m", models=("medium", "large"))))
    await asyncio.sleep(0)
    assert (stage.led_to, stage.asked.revision.name) == ("m", "m-1")
    stage.proxy.replace_table(table(SMALL, service(name="m", models=("medium",))))
    await asyncio.sleep(0)
    assert stage.asked.reason == ""  # its revision is still there


async def test_a_held_request_whose_model_is_gone_is_told_so(staged: Staged) -> None:
    stage = await staged().run(body("large"))
    stage.proxy.replace_table(table(SMALL))
    await asyncio.sleep(0)
    assert stage.asked.reason == Reason.MODEL_NOT_FOUND


def states(stage: Stage) -> dict[str, str]:
    return {card["id"]: card["state"] for card in stage.told["data"]}


async def test_the_list_tells_the_phase_of_each_model(staged: Staged) -> None:
    stage = staged(line="GET /v1/models HTTP/1.1")
    stage.proxy.update(replicas(1, "l-1"))
    stage.proxy.update(replicas(0, "s-1", "pending"))
    await stage.run()
    assert states(stage) == {"small": "pending", "large": "ready", "org/large": "ready"}
    assert b"Activator-Reason: models" in stage.client.got
    assert stage.proxy.counters.refusals == {}
    assert stage.asked.status == 200


@pytest.mark.parametrize(
    ("stable", "canary", "percent", "state"),
    [
        ("asleep", "ready", 10, "ready"),
        ("starting", "pending", 10, "starting"),
        ("failing", "asleep", 10, "failing"),
        ("asleep", "ready", 0, "asleep"),
    ],
)
async def test_a_model_is_as_near_to_ready_as_the_nearest_of_its_revisions_with_a_share(
    staged: Staged, stable: str, canary: str, percent: int, state: str
) -> None:
    shares = (Share(revision("s-1", "s"), 100 - percent), Share(revision("s-2", "s"), percent, "next"))
    stage = staged(line="GET /v1/models HTTP/1.1", services=(service(*shares, name="s", models=("small",)),))
    for name, phase in (("s-1", stable), ("s-2", canary)):
        stage.proxy.update(replicas(int(phase == "ready"), name, phase))
    await stage.run()
    assert states(stage) == {"small": state}


async def test_at_a_tags_host_models_are_those_with_the_tag_and_in_its_state(staged: Staged) -> None:
    shares = (Share(revision("s-1", "s"), 100), Share(revision("s-2", "s"), 0, "next"))
    services = (service(*shares, name="s", models=("small",)), LARGE)
    listing = staged(services=services)
    listing.asked = exchange(request("GET /v1/models HTTP/1.1", host="next-a.example"), listing.client)
    listing.proxy.update(replicas(1, "s-1"))
    await listing.run()
    assert states(listing) == {"small": "asleep"}
    stage = staged(services=services)
    stage.asked = exchange(request(CHAT, CHUNKED, host="next-a.example"), stage.client)
    await stage.run(body("small"))
    assert (stage.led_to, stage.asked.revision.name, stage.asked.tagged) == ("s", "s-2", True)


async def test_hosts_without_models_are_not_looked_into(staged: Staged) -> None:
    stage = staged(services=(service(name="plain"),))
    await stage.run(body("none"))
    assert (stage.led_to, stage.asked.model) == ("plain", "")
    listing = await staged(line="GET /v1/models HTTP/1.1", services=(service(name="plain"),)).run()
    assert (listing.led_to, listing.wakes) == ("plain", ["plain-1"])


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


BODIES = {
    "small": body("small", 1000),
    "twice": body("small", 1000)[:-1] + b', "model": "large"}',
    "just a look": body("large", BUFFER - len(body("large"))),
    "just a look, broken": body("large", BUFFER - len(body("large")) - 1) + b"}",
    "one byte less": body("large", BUFFER - len(body("large")) - 1),
    "one byte more": body("large", BUFFER - len(body("large")) + 1),
    "broken behind the look": body("large", BUFFER) + b"}",
    "twice, behind the look": body("large", BUFFER)[:-1] + b', "model": "small"}',
    "named behind the look": b'{"prompt": "' + b"x" * BUFFER + b'", "model": "small"}',
}


@pytest.mark.parametrize("data", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("coding", ["identity", "gzip"])
async def test_how_a_body_is_read_does_not_depend_on_how_it_comes(staged: Staged, data: bytes, coding: str) -> None:
    sent = gzip.compress(data) if coding == "gzip" else data
    found = set()
    for size in (len(sent), 40_000, 7001, 999):
        for ends_apart in (True, False):
            stage = await staged(CHUNKED, f"Content-Encoding: {coding}").run()
            *pieces, last = cut(sent, size)
            for piece in pieces:
                await stage.come(piece)
            await stage.come(last, whole=not ends_apart)
            stage.body.finish()
            await asyncio.sleep(0)
            found.add(stage.led_to)
    assert len(found) == 1
    assert found < {"s", "l", "model_ambiguous", "model_required"}


class TestOtherModels:
    """A service that takes requests for models which it does not list."""

    ANY = replace(service(name="any", models=("small",)), other_models=True)

    @pytest.mark.parametrize(
        "line",
        [CHAT, "POST /v1/models/none:predict HTTP/1.1", "POST /v2/models/none/infer HTTP/1.1"],
    )
    async def test_where_it_is_alone_it_gets_all_requests(self, staged: Staged, line: str) -> None:
        assert (await staged(line=line, services=(self.ANY,)).run(body("none"))).led_to == "any"

    async def test_their_bodies_are_not_waited_for_or_looked_into(self, staged: Staged) -> None:
        stage = await staged(services=(self.ANY,)).run()
        assert stage.led_to == "any"
        twice = b'{"model": "small", "model": "large"}'
        assert (await staged(services=(self.ANY,)).run(twice)).led_to == "any"

    async def test_what_the_edge_knows_it_still_tells(self, staged: Staged) -> None:
        stage = await staged(line="GET /v1/models HTTP/1.1", services=(self.ANY,)).run()
        assert stage.told["models"] == ["small"]
        stage = await staged(line="GET /v1/models/small HTTP/1.1", services=(self.ANY,)).run()
        assert stage.told["state"] == "asleep"
        assert (await staged(line="GET /v1/models/none HTTP/1.1", services=(self.ANY,)).run()).led_to == "any"

    async def test_where_others_share_the_place_names_decide_as_ever(self, staged: Staged) -> None:
        both = (self.ANY, LARGE)
        assert (await staged(services=both).run(body("none"))).led_to == "model_not_found"
        assert (await staged(services=both).run(body("large"))).led_to == "l"
        assert (await staged(services=both).run(body("small"))).led_to == "any"
