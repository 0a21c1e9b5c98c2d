from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import EdgeError, Reason
from router.match import SHOWN, Models, Route, choose, compile_routes, match, normal_host
from router.table import Share, Table
from tests.router.fakes import revision, service, table

ROUTES = compile_routes(
    table(
        service(
            Share(revision("a-1"), 100),
            Share(revision("a-2"), 0, "next"),
            name="a",
            hosts=("a.example", "alias.example"),
        ),
        service(name="root", hosts=("m.example",)),
        service(name="v1", hosts=("m.example",), paths=("/v1",)),
        service(name="chat", hosts=("m.example",), paths=("/v1/chat", "/other")),
        service(name="only", hosts=("only.example",), paths=("/v1",)),
        service(name="six", hosts=("[2001:db8::1]",)),
    )
)


def led_to(host: str, target: str = "/") -> str:
    return match(ROUTES, host.encode(), target.encode()).service.name


def refused(host: str, target: str = "/") -> str:
    with pytest.raises(EdgeError) as refusal:
        match(ROUTES, host.encode(), target.encode())
    assert refusal.value.status == 404
    return refusal.value.reason


@pytest.mark.parametrize(
    "host", ["a.example", "A.Example", "a.example.", "a.example:8080", "A.EXAMPLE.:80", "alias.example", "a.example:"]
)
def test_a_host_is_found_whatever_its_case_port_and_trailing_dot(host: str) -> None:
    assert led_to(host) == "a"


@pytest.mark.parametrize("host", ["[2001:db8::1]", "[2001:DB8::1]", "[2001:db8::1]:8080"])
def test_an_ipv6_host_is_found_with_and_without_its_port(host: str) -> None:
    assert led_to(host) == "six"


@pytest.mark.parametrize(
    "host", ["", "b.example", "xa.example", "a.example.evil", "a.example..", "prefix-a.example", "[::1]", "."]
)
def test_an_unknown_host_leads_nowhere(host: str) -> None:
    assert refused(host) == Reason.UNKNOWN_HOST


def test_there_is_no_default_service_in_an_empty_table() -> None:
    with pytest.raises(EdgeError, match="No service has the host"):
        match(compile_routes(Table()), b"a.example", b"/")


def test_a_message_about_a_host_cannot_carry_control_characters() -> None:
    with pytest.raises(EdgeError) as refusal:
        match(ROUTES, b"evil\r\n\x1b[31m\xff" * 100, b"/")
    assert refusal.value.message.isascii()
    assert refusal.value.message.isprintable()
    assert len(refusal.value.message) < 2000


@pytest.mark.parametrize("host", ["next-a.example", "NEXT-a.example:80", "next-alias.example"])
def test_a_tags_host_leads_to_its_share(host: str) -> None:
    route = match(ROUTES, host.encode(), b"/")
    assert isinstance(route, Route)
    assert route.share is not None
    assert route.share.revision.name == "a-2"


def test_the_plain_host_leads_to_no_share_in_particular() -> None:
    assert match(ROUTES, b"a.example", b"/").share is None


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("/", "root"),
        ("/v", "root"),
        ("/v10", "root"),
        ("/v1", "v1"),
        ("/v1/", "v1"),
        ("/v1?x=/chat", "v1"),
        ("/v1/chatter", "v1"),
        ("/v1/chat", "chat"),
        ("/v1/chat/completions?a=b", "chat"),
        ("/other/x", "chat"),
        ("/V1", "root"),
        ("*", "root"),
    ],
)
def test_the_longest_prefix_of_whole_segments_wins(target: str, name: str) -> None:
    assert led_to("m.example", target) == name


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("//v1/chat", "chat"),
        ("/v1//chat", "chat"),
        ("/x/../v1/chat", "chat"),
        ("/v1/chat/../models", "v1"),
        ("/v1/chat/%2e%2e/models", "v1"),
        ("/v1/%63hat", "chat"),
        ("/v1%2fchat", "chat"),
        ("/v1/./chat/.", "chat"),
        ("/../../v1", "v1"),
        ("/v1/chat;x=1", "v1"),
        ("/v1/chat/..%2f..", "root"),
        ("/%2576%31", "root"),
        ("/?/v1/chat", "root"),
    ],
)
def test_a_path_is_compared_decoded_once_with_dots_and_slashes_resolved(target: str, name: str) -> None:
    assert led_to("m.example", target) == name


def test_a_path_below_no_prefix_leads_nowhere() -> None:
    assert refused("only.example", "/v2") == Reason.UNKNOWN_PATH
    assert refused("only.example", "/v1/../v2") == Reason.UNKNOWN_PATH


@given(st.text("aA.:-[]0x", max_size=12).filter(lambda host: ".." not in host))
def test_a_normal_host_stays_as_it_is(host: str) -> None:
    once = normal_host(host.encode())
    assert normal_host(once) == once


@given(st.text("/.v1%2e;chat", max_size=20))
def test_no_path_leaves_the_services_of_its_host(path: str) -> None:
    assert led_to("m.example", "/" + path) in {"root", "v1", "chat"}


def shared(host: str = "ai.example", target: str = "/") -> Models | None:
    """Return the models at a place of a host that services share by model and by path."""
    tagged = (Share(revision("x-1"), 100), Share(revision("x-2"), 0, "next"))
    routes = compile_routes(
        table(
            service(*tagged, name="x", hosts=("ai.example",), models=("org/x", "x"), tag_header=False),
            service(name="y", hosts=("ai.example",), models=("y",)),
            service(name="page", hosts=("ai.example",), paths=("/page",)),
            service(name="z", hosts=("ai.example", "z.example"), paths=("/z",), models=("z",)),
        )
    )
    return match(routes, host.encode(), target.encode()).models


def chosen(model: str, host: str = "ai.example", target: str = "/") -> Route:
    models = shared(host, target)
    assert models is not None
    return choose(models, model)


@pytest.mark.parametrize(("model", "name"), [("org/x", "x"), ("x", "x"), ("y", "y")])
def test_services_that_share_a_host_are_chosen_by_model(model: str, name: str) -> None:
    assert chosen(model).service.name == name


def test_a_chosen_route_is_that_of_the_service_alone() -> None:
    (alone,) = compile_routes(table(chosen("y").service))[b"ai.example"]
    assert chosen("y") == replace(alone, models=None)


@pytest.mark.parametrize("model", ["X", "x ", "", "org/y", "z"])
def test_a_model_that_is_not_here_is_not_found(model: str) -> None:
    with pytest.raises(EdgeError, match=r"There are: org/x, x, y\.") as refusal:
        chosen(model)
    assert (refusal.value.status, refusal.value.reason) == (404, Reason.MODEL_NOT_FOUND)


def test_the_longest_prefix_wins_before_the_model_is_looked_at() -> None:
    assert shared(target="/page") is None
    assert chosen("z", target="/z").service.name == "z"
    with pytest.raises(EdgeError):
        chosen("x", target="/z")


def test_the_models_of_all_prefixes_are_listed_in_the_order_of_the_table() -> None:
    for target in ("/", "/z"):
        models = shared(target=target)
        assert models is not None
        assert list(models.listed) == ["org/x", "x", "y", "z"]
    elsewhere = shared("z.example", "/z")
    assert elsewhere is not None
    assert list(elsewhere.listed) == ["z"]


def test_the_only_service_of_a_place_is_chosen_without_a_name() -> None:
    assert chosen("", target="/z").service.name == "z"


def test_at_a_tags_host_models_are_those_of_the_services_with_the_tag() -> None:
    route = chosen("x", "next-ai.example")
    assert (route.service.name, route.share and route.share.revision.name) == ("x", "x-2")
    with pytest.raises(EdgeError):
        chosen("y", "next-ai.example")


def test_a_message_about_a_model_is_short_and_cannot_carry_control_characters() -> None:
    many = {f"m{number}": chosen("x") for number in range(1000)}
    with pytest.raises(EdgeError) as refusal:
        choose(Models(many, many, None, 1.0), "evil\r\n\x1b\ud800\xff" * 100)
    assert refusal.value.message.isascii()
    assert refusal.value.message.isprintable()
    assert len(refusal.value.message) < 2000
    assert f"m{SHOWN - 1}, ..." in refusal.value.message
