from __future__ import annotations

import json
from typing import Any

import pytest

from router.answer import refuse_head
from router.errors import STATUS, EdgeError, Reason, Told
from tests.router.fakes import Client, exchange, request, revision, service


def answered(error: EdgeError, line: str = "GET / HTTP/1.1") -> tuple[str, dict[str, str], bytes]:
    """Return status line, fields and body of what a client is told."""
    client = Client()
    asked = exchange(request(line), client, now=1000.0)
    asked.assign(service(), revision(), tagged=False)
    asked.refuse(error, 1002.5)
    return parts(client.got)


def parts(raw: bytes) -> tuple[str, dict[str, str], bytes]:
    head, _, body = raw.partition(b"\r\n\r\n")
    start, *lines = head.decode().split("\r\n")
    return start, dict(line.split(": ", 1) for line in lines), body


def told(error: EdgeError, line: str = "GET / HTTP/1.1") -> dict[str, Any]:
    told: dict[str, Any] = json.loads(answered(error, line)[2])
    return told


def test_an_answer_has_the_requests_id_if_it_has_one() -> None:
    client = Client()
    asked = exchange(request(), client)
    asked.request.id = b"7f3c"
    asked.refuse(EdgeError(Reason.UNKNOWN_HOST, "Who?"), 1000.0)
    assert parts(client.got)[1]["X-Request-Id"] == "7f3c"


@pytest.mark.parametrize(
    ("version", "field", "told"),
    [("1.0", "keep-alive", "keep-alive"), ("1.0", "x", "close"), ("1.1", "x", None), ("1.1", "close", "close")],
)
def test_an_answer_says_whether_the_connection_stays_where_that_is_not_understood(
    version: str, field: str, told: str | None
) -> None:
    client = Client()
    exchange(request(f"GET / HTTP/{version}", f"Connection: {field}"), client).refuse(
        EdgeError(Reason.UNKNOWN_HOST, "Who?"), 1000.0
    )
    assert parts(client.got)[1].get("Connection") == told


def test_a_method_that_is_not_allowed_is_told_which_are() -> None:
    assert "POST" in answered(EdgeError(Reason.METHOD_NOT_ALLOWED, "No."))[1]["Allow"].split(", ")
    assert "Allow" not in answered(EdgeError(Reason.UNKNOWN_HOST, "No."))[1]


FULL = EdgeError(Reason.QUEUE_FULL, "Too many wait.", retry_after=5.0, detail={"start": {"phase": "starting"}})


@pytest.mark.parametrize("reason", Reason)
def test_every_answer_of_the_edge_says_that_it_is_the_edges(reason: Reason) -> None:
    start, fields, body = answered(EdgeError(reason, "Why."))
    assert start.startswith(f"HTTP/1.1 {STATUS[reason]} ")
    assert start.removeprefix(f"HTTP/1.1 {STATUS[reason]} ").strip()
    assert fields["Activator-Reason"] == reason
    assert fields["Content-Type"] == "application/json"
    assert int(fields["Content-Length"]) == len(body)
    assert json.loads(body)["reason"] == reason


def test_the_body_tells_where_it_waited_how_long_and_what_the_start_does() -> None:
    assert told(FULL) == {
        "reason": "queue_full",
        "message": "Too many wait.",
        "service": "a",
        "revision": "a-1",
        "waited_seconds": 2.5,
        "start": {"phase": "starting"},
    }


@pytest.mark.parametrize(
    "path",
    ["/v1/chat/completions", "/v1/completions?x", "/v1/embeddings", "/v1/models", "/v1/models?x=1", "/openai/v1/x"],
)
def test_openais_clients_find_the_error_in_their_shape(path: str) -> None:
    body = told(FULL, f"POST {path} HTTP/1.1")
    assert body["error"] == {"message": "Too many wait.", "type": "server_error", "param": None, "code": "queue_full"}
    assert body["reason"] == "queue_full"


def test_an_error_of_the_client_is_called_one() -> None:
    body = told(EdgeError(Reason.BODY_TOO_LARGE, "Too large."), "POST /v1/chat/completions HTTP/1.1")
    assert body["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("path", ["/", "/v1/models/sentiment:predict", "/v1/chatter", "/x/v1/chat/"])
def test_other_paths_get_the_plain_shape(path: str) -> None:
    assert "error" not in told(FULL, f"POST {path} HTTP/1.1")


@pytest.mark.parametrize(
    ("seconds", "header"),
    [(0.0, "1"), (-7.0, "1"), (0.2, "1"), (5.0, "5"), (5.1, "6"), (120.0, "120"), (3600.0, "120")],
)
def test_retry_after_is_whole_seconds_between_1_and_120(seconds: float, header: str) -> None:
    assert answered(EdgeError(Reason.HOLD_TIMEOUT, "", retry_after=seconds))[1]["Retry-After"] == header


def test_no_hint_is_given_where_there_is_none() -> None:
    assert "Retry-After" not in answered(EdgeError(Reason.UNKNOWN_HOST, ""))[1]


def test_a_client_is_told_not_to_repeat_what_may_have_reached_a_replica() -> None:
    assert answered(EdgeError(Reason.UPSTREAM_BROKE, "", sent=True))[1]["X-Should-Retry"] == "false"
    assert "X-Should-Retry" not in answered(FULL)[1]


def test_the_answer_to_head_has_a_length_and_no_body() -> None:
    _, fields, body = answered(FULL, "HEAD / HTTP/1.1")
    assert body == b""
    assert int(fields["Content-Length"]) > 0


def test_a_connection_that_goes_on_is_not_said_to_close_and_the_other_way_round() -> None:
    assert "Connection" not in answered(FULL)[1]
    assert answered(FULL, "GET / HTTP/1.0")[1]["Connection"] == "close"


def test_bytes_that_are_no_request_are_answered_and_the_connection_closed() -> None:
    start, fields, body = parts(refuse_head(EdgeError(Reason.BAD_REQUEST, 'A "quoted"\r\nline.')))
    assert start == "HTTP/1.1 400 Bad Request"
    assert fields["Connection"] == "close"
    assert json.loads(body)["message"] == 'A "quoted"\r\nline.'
    assert b"\r\n" not in body


def test_a_response_that_has_begun_is_cut_and_nothing_is_added_to_it() -> None:
    client = Client()
    asked = exchange(client=client)
    asked.responded = True
    asked.refuse(FULL, 1000.0)
    assert (client.got, client.aborted) == (b"", True)


@pytest.mark.parametrize("reason", [Reason.MODEL_NOT_FOUND, Reason.MODEL_REQUIRED, Reason.MODEL_AMBIGUOUS])
def test_errors_about_the_model_name_the_parameter(reason: Reason) -> None:
    error = told(EdgeError(reason, "Which?"), "POST /v1/completions HTTP/1.1")["error"]
    assert error == {"message": "Which?", "type": "invalid_request_error", "param": "model", "code": reason}


def test_whoever_asks_for_a_model_by_its_path_gets_openais_shape() -> None:
    error = EdgeError(Reason.MODEL_NOT_FOUND, "Which?")
    assert told(error, "GET /v1/models/org/name HTTP/1.1")["error"]["code"] == "model_not_found"
    assert "error" not in told(error, "POST /v1/models/name:predict HTTP/1.1")
    assert "error" not in told(error, "GET /v2/models/name HTTP/1.1")


def test_what_the_edge_tells_is_a_document_of_its_own() -> None:
    start, fields, body = answered(Told(Reason.MODELS, {"object": "list"}), "GET /v1/models HTTP/1.1")
    assert (start, fields["Activator-Reason"], json.loads(body)) == ("HTTP/1.1 200 OK", "models", {"object": "list"})
