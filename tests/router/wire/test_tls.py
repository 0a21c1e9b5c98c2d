"""TLS on real sockets, on both sides of the edge: which certificate, for whom, and what becomes of it while it runs."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING

import pytest
from aiohttp import ClientSession, TCPConnector

from router.arrival import HASTE_SECONDS, SHUTDOWN_SECONDS
from router.connection import LINGER_SECONDS, NEWCOMER_SECONDS
from router.door import TURNED_AWAY
from router.errors import Reason
from router.http1 import SLICE
from router.ports import Replicas, StartStatus, UpstreamTls
from router.sockets import read_nothing_ahead
from router.tls import load_certificate
from tests.certificates import CA, client_context, pair, serial, server_context, shown
from tests.router.fakes import HELLO
from tests.router.wire.edge import LOCAL, answer
from tests.router.wire.talk import PATIENCE, Script
from tests.router.wire.test_tunnel import ACCEPT, OFFER

if TYPE_CHECKING:
    from tests.router.wire.edge import Edge, Replica
    from tests.router.wire.talk import Talk

GET = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
LAST = "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"


def certificate(client: Talk) -> bytes:
    connection: ssl.SSLObject = client.writer.get_extra_info("ssl_object")
    return serial(connection)


async def test_a_request_comes_by_tls_and_its_replica_is_told_so(edge: Edge) -> None:
    await edge.speak_tls("a")
    replica = await edge.serving()
    client = await edge.client(GET, GET, tls="a.example")
    assert [(await client.response()).body for _ in range(2)] == [b"hello"] * 2
    assert replica.heard.count(b"\r\nX-Forwarded-Proto: https\r\n") == 2
    assert b'Forwarded: for=127.0.0.1;proto=https;host="a.example"\r\n' in replica.heard


async def test_bodies_and_streams_of_any_size_pass(edge: Edge) -> None:
    await edge.speak_tls("a")
    size = 3 << 20

    async def echo(talk: Talk) -> None:
        request = await talk.request()
        await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size, request.body)

    await edge.serving(echo)
    body = bytes(range(256)) * (size // 256)
    client = await edge.client(tls="a.example")
    head = f"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: {size}\r\n\r\n"
    sending = asyncio.ensure_future(client.send(head, body))
    assert (await client.response()).body == body
    await sending


async def test_the_name_that_a_client_asks_for_chooses_the_certificate(edge: Edge) -> None:
    await edge.speak_tls("a", "b")
    for name, expected in (("a.example", "a"), ("x.a.example", "a"), ("b.example", "b")):
        assert certificate(await edge.client(tls=name)) == shown(expected)


async def test_a_name_that_no_certificate_covers_is_refused_by_an_alert(edge: Edge) -> None:
    await edge.speak_tls("a", "b")
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        await edge.client(tls="c.example")


async def test_a_client_that_asks_for_no_name_gets_the_first_certificate(edge: Edge) -> None:
    await edge.speak_tls("local", "a")
    assert certificate(await edge.client(tls=LOCAL)) == shown("local")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_client_and_edge_agree_on_http_1_1(edge: Edge, version: ssl.TLSVersion) -> None:
    await edge.speak_tls("a")
    assert await asyncio.to_thread(agreed, edge.port, version) == "http/1.1"


def agreed(port: int, version: ssl.TLSVersion) -> str | None:
    """Return the protocol that is agreed on with a client of one version of TLS that would rather have HTTP/2."""
    context = client_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    context.maximum_version = context.minimum_version = version
    with (
        socket.create_connection((LOCAL, port), timeout=PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname="a.example") as connection,
    ):
        return connection.selected_alpn_protocol()


async def test_a_renewed_certificate_is_for_the_next_handshake_and_cuts_no_connection(edge: Edge) -> None:
    certificates = await edge.speak_tls("a")
    await edge.serving()
    before = await edge.client(GET, tls="a.example")
    await before.response()
    certificates.replace([load_certificate(*pair("renewed"))])
    after = await edge.client(GET, tls="a.example")
    assert (await after.response()).body == b"hello"
    await before.send(GET)
    assert (await before.response()).body == b"hello"
    assert [certificate(before), certificate(after)] == [shown("a"), shown("renewed")]


async def test_a_request_for_a_host_of_another_certificate_is_421_and_in_its_turn(edge: Edge) -> None:
    await edge.speak_tls("a", "b")
    replica = await edge.serving()
    client = await edge.client(GET, GET.replace("a.example", "B.example:443"), GET, tls="a.example")
    answers = [await client.response() for _ in range(3)]
    assert [each.status for each in answers] == [200, 421, 200]
    assert answers[1].get("Activator-Reason") == "misdirected"
    assert b"Host: B.example" not in replica.heard
    assert edge.proxy.collect()["a-1"].requests == 2, "it is no demand"


async def test_a_client_without_a_name_may_ask_for_any_host(edge: Edge) -> None:
    await edge.speak_tls("local", "a")
    await edge.serving()
    assert (await (await edge.client(GET, tls=LOCAL)).response()).status == 200


async def test_an_absolute_https_target_is_taken(edge: Edge) -> None:
    await edge.speak_tls("a")
    replica = await edge.serving()
    client = await edge.client("GET https://a.example/x HTTP/1.1\r\nHost: b.example\r\n\r\n", tls="a.example")
    assert (await client.response()).status == 200
    assert replica.heard.startswith(b"GET /x HTTP/1.1\r\nHost: a.example\r\n")


async def test_a_response_that_ends_with_its_connection_ends_at_once(edge: Edge) -> None:
    await edge.speak_tls("a")

    async def once(talk: Talk) -> None:
        await talk.request()
        await talk.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        talk.leave()

    async def taken() -> float:
        client = await edge.client("GET / HTTP/1.0\r\nHost: a.example\r\n\r\n", tls="a.example")
        begun = asyncio.get_running_loop().time()
        response = await client.response()
        assert (response.body, response.whole) == (b"hello", True)
        return asyncio.get_running_loop().time() - begun

    await edge.serving(once)
    assert min([await taken() for _ in range(3)]) < LINGER_SECONDS / 2  # what stops the machine, does so once


async def last_bytes(edge: Edge, *, keep_alive: bool = False) -> tuple[Talk, int]:
    """Return a client that has read as much of a large answer as is needed for all of it to be with the edge or on its
    way, and how much is left."""
    await edge.speak_tls("a")
    size = 8 << 20
    await edge.serving(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
    client = await edge.client(GET if keep_alive else LAST, tls="a.example")
    read_nothing_ahead(client.writer.transport)  # type: ignore[arg-type]
    await client.reader.readuntil(b"\r\n\r\n")
    while not edge.ended:
        size -= len(await client.reader.read(1 << 16))
        await asyncio.sleep(0.001)
    return client, size


@pytest.mark.parametrize("keep_alive", [False, True])
async def test_a_client_that_takes_its_answer_slowly_gets_all_of_it_before_the_connection_is_closed(
    edge: Edge, keep_alive: bool
) -> None:
    client, left = await last_bytes(edge, keep_alive=keep_alive)
    drained = asyncio.ensure_future(edge.listener.drain(30))
    await edge.until(lambda: edge.listener.draining)
    edge.later(NEWCOMER_SECONDS + 0.1)
    await asyncio.sleep(SHUTDOWN_SECONDS + 0.2)
    assert len(await client.reader.read()) == left
    await drained
    await edge.until(lambda: not edge.listener.connections)


async def test_and_one_that_takes_nothing_more_is_cut_off_in_the_end(edge: Edge) -> None:
    edge.bound(write=10.0)
    await last_bytes(edge)
    for _ in range(3):
        edge.later(6.0)
    await edge.until(lambda: not edge.listener.connections)


async def test_a_refusal_is_heard_although_the_client_still_sends(edge: Edge) -> None:
    await edge.speak_tls("a")
    client = await edge.client("rubbish\r\n\r\n", b"x" * 100_000, tls="a.example")
    assert (await client.response()).status == 400


async def test_a_stream_that_breaks_is_visibly_cut(edge: Edge) -> None:
    await edge.speak_tls("a")

    async def breaking(talk: Talk) -> None:
        await talk.request()
        await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")
        talk.reset()

    await edge.serving(breaking)
    client = await edge.client(GET, tls="a.example")
    response = await client.response()
    assert (response.status, response.whole) == (200, False)


async def test_a_client_that_leaves_while_held_is_noticed(edge: Edge, caplog: pytest.LogCaptureFixture) -> None:
    await edge.speak_tls("a")
    client = await edge.client(GET, tls="a.example")
    await edge.until(lambda: edge.held == 1)
    client.leave()
    await edge.until(lambda: edge.held == 0)
    assert caplog.records == []


async def test_a_client_that_has_yet_to_agree_on_tls_counts_as_a_connection(edge: Edge) -> None:
    await edge.speak_tls("a", handshake=10 * PATIENCE)
    edge.bound(connections_per_source=TURNED_AWAY)
    mute = [await edge.client() for _ in range(2 * TURNED_AWAY)]
    await edge.until(lambda: len(edge.listener.door.guests) == TURNED_AWAY)
    late = await edge.client()
    assert await late.ended()
    assert [refusal.reason for refusal in edge.refusals] == [Reason.TOO_MANY_FROM_SOURCE]
    for client in mute:
        client.writer.close()
    await edge.until(lambda: not edge.listener.door.guests)
    await edge.serving()
    assert (await (await edge.client(GET, tls="a.example")).response()).body == b"hello"


async def test_a_handshake_that_has_had_its_time_makes_room_for_others(edge: Edge) -> None:
    await edge.speak_tls("a")
    await edge.serving()
    edge.bound(connections=1)
    mute = await edge.client()
    await edge.until(lambda: len(edge.listener.door.guests) == 1)
    early = await edge.client(GET, tls="a.example")
    assert (await early.response()).status == 503
    edge.clock.ahead += HASTE_SECONDS
    assert (await (await edge.client(GET, tls="a.example")).response()).body == b"hello"
    assert await mute.ended()


async def test_on_shutdown_nobody_waits_long_for_a_handshake(edge: Edge) -> None:
    await edge.speak_tls("a")
    mute = await edge.client()
    await edge.until(lambda: len(edge.listener.door.guests) == 1)
    drained = asyncio.ensure_future(edge.listener.drain(5))
    await asyncio.sleep(0)
    edge.later(HASTE_SECONDS + 0.1)
    assert await mute.ended()
    edge.later(0.1)
    await drained


async def test_a_handshake_that_does_not_come_is_given_up(edge: Edge) -> None:
    await edge.speak_tls("a", handshake=0.1)
    for said in ("", "GET / HTTP/1.1\r\n\r\n"):
        client = await edge.client(said)
        while await client.hear():  # an alert, or nothing
            pass
    assert not edge.listener.connections


async def test_a_client_that_goes_on_after_a_failed_handshake_is_cut_off(edge: Edge) -> None:
    await edge.speak_tls("a", handshake=10 * PATIENCE)
    client = await edge.client(b"\x16\x03\x01\x00\x05hello")
    assert (await client.hear()).startswith(b"\x15"), "an alert"
    await client.send("GET / HTTP/1.1\r\n\r\n")
    assert await client.ended()


async def test_a_client_that_speaks_no_tls_is_cut_off(edge: Edge) -> None:
    await edge.speak_tls("a", handshake=10 * PATIENCE)
    assert await (await edge.client(GET)).ended()


async def test_one_connection_too_many_is_told_so_by_tls(edge: Edge) -> None:
    await edge.speak_tls("a")
    edge.bound(connections_per_source=1)
    await edge.client(GET, tls="a.example")
    await edge.until(lambda: edge.held == 1)
    late = await edge.client(GET, tls="a.example")
    assert (await late.response()).status == 429
    edge.later(1)
    assert await late.ended()


@pytest.mark.parametrize("first", ["client", "replica"])
async def test_a_websocket_is_a_tunnel_between_two_connections_of_tls(
    edge: Edge, caplog: pytest.LogCaptureFixture, first: str
) -> None:
    await edge.speak_tls("a")
    script = Script()
    replica = edge.replica(script)
    await replica.open(tls="local")
    ready_by_tls(edge, replica, UpstreamTls(ca=str(CA)))
    client = await edge.client(OFFER, tls="a.example")
    talk = await script.at
    await talk.head()
    await talk.send(ACCEPT)
    assert (await client.head()).status == 101
    for data in (b"\x81\x05hello", b"\x00" * 300_000):
        for one, other in ((client, talk), (talk, client)):
            sending = asyncio.ensure_future(one.send(data))
            assert await other._exactly(len(data)) == data
            await sending
    leaves, stays = (client, talk) if first == "client" else (talk, client)
    leaves.leave()
    assert await stays.ended()
    await edge.settle()
    assert caplog.records == []


async def test_on_shutdown_what_runs_by_tls_is_finished(edge: Edge) -> None:
    await edge.speak_tls("a")
    client = await edge.client(GET, tls="a.example")
    await edge.until(lambda: edge.held == 1)
    drained = asyncio.ensure_future(edge.listener.drain(5))
    await edge.serving()
    response = await client.response()
    assert (response.body, response.get("Connection")) == (b"hello", "close")
    assert await client.ended()
    await drained


async def test_other_clients_get_along(edge: Edge) -> None:
    await edge.speak_tls("local")
    await edge.serving()
    url, headers = f"https://{LOCAL}:{edge.port}/", {"Host": "a.example"}
    async with ClientSession(connector=TCPConnector(ssl=client_context())) as session:
        for _ in range(3):
            async with session.get(url, headers=headers) as response:
                assert await response.text() == "hello"
    curl = await asyncio.create_subprocess_exec(
        "curl", "-sS", "--http1.1", "--cacert", str(CA), "-H", "Host: a.example", url, stdout=asyncio.subprocess.PIPE
    )
    assert (await curl.communicate())[0] == b"hello"


def ready_by_tls(edge: Edge, replica: Replica, tls: UpstreamTls) -> None:
    edge.proxy.update(Replicas("a-1", (replica.endpoint,), StartStatus("ready"), {replica.name: tls}))


@pytest.mark.parametrize(
    ("shows", "tls"),
    [
        ("local", UpstreamTls(ca=str(CA))),
        ("a", UpstreamTls(ca=str(CA), name="a.example")),
        ("a", UpstreamTls(verify=False)),
        ("local", UpstreamTls(verify=False)),
    ],
)
async def test_a_replica_is_connected_by_tls(edge: Edge, shows: str, tls: UpstreamTls) -> None:
    replica = edge.replica(answer(HELLO))
    await replica.open(tls=shows)
    ready_by_tls(edge, replica, tls)
    client = await edge.client(GET, GET)
    assert [(await client.response()).body for _ in range(2)] == [b"hello"] * 2
    assert len(replica.talks) == 1, "a connection is reused"


@pytest.mark.parametrize(
    ("shows", "tls"),
    [("a", UpstreamTls(ca=str(CA))), ("local", UpstreamTls(ca=str(CA), name="a.example")), ("local", UpstreamTls())],
)
async def test_a_replica_with_the_wrong_certificate_is_sent_nothing(edge: Edge, shows: str, tls: UpstreamTls) -> None:
    edge.limit(hold=5.0)
    replica = edge.replica(answer(HELLO))
    await replica.open(tls=shows)
    ready_by_tls(edge, replica, tls)
    client = await edge.client(GET)
    await edge.until(lambda: edge.held == 1)
    edge.later(6)
    assert (await client.response()).status == 503
    assert replica.heard == b""


async def test_a_limit_holds_while_it_changes_how_a_replica_is_connected_and_the_next_request_goes_by_that(
    edge: Edge,
) -> None:
    edge.limit(container_concurrency=1)
    go = asyncio.Event()
    replica = edge.replica(answer(go=go))
    await replica.open(tls="local")
    ready_by_tls(edge, replica, UpstreamTls(verify=False))
    first = await edge.client(GET)
    await edge.until(lambda: bool(replica.talks))
    ready_by_tls(edge, replica, UpstreamTls(ca=str(CA)))
    second = await edge.client(GET)
    await edge.until(lambda: edge.held == 1)
    go.set()
    assert [(await client.response()).body for client in (first, second)] == [b"hello"] * 2
    assert len(replica.talks) == 2


async def test_of_an_upload_that_is_held_no_more_is_read_than_a_little_beyond_what_is_kept(edge: Edge) -> None:
    await edge.speak_tls("a")
    client = await edge.client(
        f"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: {8 << 20}\r\n\r\n", tls="a.example"
    )
    for _ in range(128):  # piece by piece, as one read alone may bring more than is to be kept
        client.writer.write(b"x" * (SLICE // 4))
        await asyncio.sleep(0.001)
    (connection,) = edge.listener.connections
    assert connection._transport.get_read_buffer_size() < 4 * SLICE  # type: ignore[attr-defined]
    client.writer.write(b"x" * (6 << 20))
    await edge.serving()
    assert (await client.response()).status == 200


async def test_trust_and_names_are_settled_when_a_connection_is_made(edge: Edge) -> None:
    replica = await edge.serving()
    told = GET.replace("\r\n\r\n", "\r\nX-Forwarded-For: 203.0.113.5\r\n\r\n")
    first = await edge.client(told)
    await first.response()
    edge.listener.policy.trusts = LOCAL.__eq__
    second = await edge.client(told)
    await second.response()
    await first.send(told)
    await first.response()
    lines = [line for line in replica.heard.decode().split("\r\n") if line.startswith("X-Forwarded-For")]
    assert [line.partition(": ")[2] for line in lines] == [LOCAL, f"203.0.113.5, {LOCAL}", LOCAL]


@pytest.mark.parametrize("properly", [True, False])
async def test_an_answer_that_ends_with_its_connection_ends_by_the_replicas_word_only(
    edge: Edge, properly: bool
) -> None:
    async def ends(talk: Talk) -> None:
        await talk.request()
        await talk.send(b"HTTP/1.1 200 OK\r\n\r\nhalf of it")
        await asyncio.sleep(0.05)
        if properly:
            talk.leave()
        else:
            talk.writer.transport.abort()

    replica = edge.replica(ends)
    await replica.open(tls="local")
    ready_by_tls(edge, replica, UpstreamTls(ca=str(CA)))
    for version in ("1.1", "1.0"):
        client = await edge.client(GET.replace("1.1", version))
        response = await client.response()
        assert (response.body, response.whole) == (b"half of it", properly)
    assert {exchange.reason for exchange in edge.ended} == {"" if properly else "upstream_broke"}


def send_and_close(server: socket.socket, data: bytes) -> None:
    """Answer one request with `data`, and close as many models do: without the last word of TLS, nor waiting for it."""
    with server.accept()[0] as plain, server_context("local").wrap_socket(plain, server_side=True) as connection:
        connection.recv(SLICE)
        connection.sendall(data)


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1 << 20), ACCEPT])
async def test_a_slow_client_gets_all_that_its_replica_sent_before_it_closed(edge: Edge, head: bytes) -> None:
    size = 1 << 20
    with socket.create_server((LOCAL, 0)) as server:
        answered = asyncio.ensure_future(asyncio.to_thread(send_and_close, server, head + b"x" * size))
        replica = edge.replica(answer())
        replica.port = server.getsockname()[1]
        ready_by_tls(edge, replica, UpstreamTls(ca=str(CA)))
        client = await edge.client()
        await edge.until(lambda: bool(edge.listener.connections))
        (connection,) = edge.listener.connections
        connection._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SLICE)
        await client.send(OFFER if head is ACCEPT else GET)
        await client.head()
        await answered
        while size and (data := await client.hear(SLICE)):
            size -= len(data)
            await asyncio.sleep(0.002)
    assert size == 0
