from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from activator import client
from activator.cli import app

if TYPE_CHECKING:
    from collections.abc import Iterator

REVISION: dict[str, Any] = {
    "name": "m-1",
    "percent": 90,
    "tag": "stable",
    "phase": "ready",
    "desired": 2,
    "message": "",
    "start_failures": 0,
    "replicas": [{"phase": "ready"}, {"phase": "starting"}],
    "held": 4,
    "open": 5,
    "idle_since": None,
    "zero_at": "2026-01-02T12:34:56.000+00:00",
}


@contextmanager
def answering(status: int, body: bytes, **fields: str) -> Iterator[str]:
    """Yield the address of a server that answers everything alike, but paths that begin with //."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404 if " //" in self.requestline else status)
            for field in fields.items():
                self.send_header(*field)
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body + sent + self.headers["Content-Type"].encode() + b'"}')

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class TestGet:
    @pytest.mark.parametrize("written", ["{}", "http://{}", "http://{}/", "{}/"])
    def test_the_answer_is_returned(self, written: str) -> None:
        with answering(200, b'{"usage": []}') as address:
            assert client.get(written.format(address), "/v1/usage", "usage") == {"usage": []}

    @pytest.mark.parametrize("written", [":{}", "{}"])
    def test_a_port_alone_is_one_of_this_machine(self, written: str) -> None:
        with answering(200, b'{"usage": []}') as address:
            port = address.rpartition(":")[2]
            assert client.get(written.format(port), "/v1/usage", "usage") == {"usage": []}

    def test_no_proxy_is_asked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        with answering(200, b'{"usage": []}') as address:
            assert client.get(address, "/v1/usage", "usage") == {"usage": []}

    def test_the_message_of_an_error_is_told(self) -> None:
        answer = json.dumps({"reason": "not_found", "message": "There is no service 'x'. Known: m."}).encode()
        with answering(404, answer) as address, pytest.raises(client.AdminError) as error:
            client.get(address, "/v1/services/x", "name")
        assert str(error.value) == "There is no service 'x'. Known: m."

    @pytest.mark.parametrize(
        ("status", "body", "words"),
        [
            (500, b"oops", "answered 500 Internal Server Error"),
            (404, b"[]", "answered 404 Not Found"),
            (200, b"<html>", "no edge answers"),
            (200, b"[" * 100_000, "no edge answers"),
            (200, b"[]", "is not an edge's admin listener"),
            (200, b'{"predictions": []}', "is not an edge's admin listener"),
        ],
    )
    def test_somebody_else_on_the_address_is_told(self, status: int, body: bytes, words: str) -> None:
        with answering(status, body) as address, pytest.raises(client.AdminError, match=words) as error:
            client.get(address, "/v1/usage", "usage")
        assert address in str(error.value)
        assert "--admin" in str(error.value)

    def test_the_address_of_clients_is_told_from_the_admin_listener(self) -> None:
        answer = json.dumps({"reason": "unknown_host", "message": "No service has the host."}).encode()
        fields = {"Activator-Reason": "unknown_host"}
        with answering(404, answer, **fields) as address, pytest.raises(client.AdminError, match="not its admin"):
            client.get(address, "/v1/usage", "usage")

    @pytest.mark.parametrize("command", ["status", "usage", "explain m"])
    @pytest.mark.parametrize("value", [None, [1], [{}], {"a": 1}])
    def test_an_answer_that_is_not_understood_is_told(self, command: str, value: Any) -> None:
        with answering(200, json.dumps(dict.fromkeys(("services", "usage", "decisions"), value)).encode()) as address:
            result = CliRunner().invoke(app, [*command.split(), "--admin", address])
        assert result.exit_code == 1
        assert "is that an edge of another version? Try --json." in result.output

    def test_what_does_not_speak_http_writes_nothing_to_the_terminal(self) -> None:
        def babble() -> None:
            with listener.accept()[0] as connection:
                connection.recv(4096)
                connection.sendall(b"\x1b[2J" + b"x" * 900 + b"\r\n")

        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=babble)
            thread.start()
            with pytest.raises(client.AdminError) as error:
                client.get(f"127.0.0.1:{listener.getsockname()[1]}", "/v1/usage", "usage")
            thread.join()
        assert str(error.value).isprintable()
        assert len(str(error.value)) < 400

    @pytest.mark.parametrize("admin", ["127.0.0.1:1", "a b", "127.0.0.1:port", "http://", "nowhere.invalid:80"])
    def test_nobody_on_the_address_is_told(self, admin: str) -> None:
        with pytest.raises(client.AdminError, match="no edge answers on") as error:
            client.get(admin, "/v1/usage", "usage")
        assert "\n" not in str(error.value)

    def test_a_name_is_quoted_as_one_segment(self) -> None:
        assert client.quoted("a/b ?") == "a%2Fb%20%3F"


class TestPost:
    def test_it_is_sent_as_json(self) -> None:
        with answering(200, b'{"canary": "') as address:
            assert client.post(address, "/v1/services/m/promote", "canary") == {"canary": "{}application/json"}


CANARY: dict[str, Any] = {
    "revision": "m-1",
    "stable": "m-0",
    "phase": "running",
    "percent": 5,
    "stable_percent": 95,
    "steps": [1, 5, 25],
    "step": 1,
    "falls_back": True,
}


class TestShow:
    def test_status_is_a_table(self, capsys: pytest.CaptureFixture[str]) -> None:
        client.status_table({"services": [{"name": "m", "revisions": [REVISION]}]})
        head, row = capsys.readouterr().out.splitlines()
        assert head.split()[:4] == ["SERVICE", "REVISION", "SHARE", "PHASE"]
        assert row.split() == ["m", "m-1", "90", "%", "(stable)", "ready", "1/2", "4", "5", "12:34:56"]

    def test_what_is_wrong_with_the_edge_stands_below_the_table_first(self, capsys: pytest.CaptureFixture[str]) -> None:
        failing = REVISION | {"message": "CUDA is missing"}
        services = [{"name": "m", "revisions": [failing]}]
        client.status_table({"services": services, "troubles": ["e.yaml:1: [x] is refused"]})
        assert capsys.readouterr().out.splitlines()[2:] == ["e.yaml:1: [x] is refused", "m-1: CUDA is missing"]

    @pytest.mark.parametrize(
        ("revision", "told"),
        [
            ({"phase": "failing", "message": "[CUDA] is missing", "start_failures": 3}, ["m-1: [CUDA] is missing"]),
            ({"phase": "asleep", "desired": 0, "message": "too late", "start_failures": 1}, ["m-1: too late"]),
            ({"message": "m-1-b: GET /helth answered 404"}, ["m-1: m-1-b: GET /helth answered 404"]),
            ({"phase": "asleep", "desired": 0, "replicas": [], "message": "m-1-a exited with code 1"}, []),
            (
                {"died": {"at": "2026-01-02T12:34:56.000+00:00", "message": "m-1-a exited with code 1"}},
                ["m-1: a replica died while it served, at 12:34:56: m-1-a exited with code 1"],
            ),
            (
                {"died": {"at": "2026-01-02T12:34:56.000+00:00", "message": "gone"}, "message": "gone"},
                ["m-1: gone"],
            ),
        ],
    )
    def test_what_is_wrong_with_a_revision_stands_below_the_table(
        self, revision: dict[str, Any], told: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        client.status_table({"services": [{"name": "m", "revisions": [REVISION | revision]}]})
        assert capsys.readouterr().out.splitlines()[2:] == told

    @pytest.mark.parametrize(
        ("canary", "revision", "notes"),
        [
            ({}, {}, "stable, canary running 2/3"),
            ({"steps": [5], "step": 0}, {"tag": None}, "canary running"),
            ({"phase": "rolled-back", "percent": 0}, {"phase": "asleep"}, "stable, canary rolled-back"),
            ({}, {"phase": "starting"}, "stable, canary running 2/3, cold"),
            ({"falls_back": False}, {"phase": "starting"}, "stable, canary running 2/3"),
            ({"revision": "m-2"}, {}, "stable"),
        ],
    )
    def test_a_canary_shows_beside_its_share(
        self, canary: dict[str, Any], revision: dict[str, Any], notes: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        client.status_table(
            {"services": [{"name": "m", "revisions": [REVISION | revision], "canary": CANARY | canary}]}
        )
        assert f"90 % ({notes})" in capsys.readouterr().out

    def test_no_name_is_cut_where_there_is_no_terminal(self, capsys: pytest.CaptureFixture[str]) -> None:
        name = "m" * 63
        client.status_table({"services": [{"name": name, "revisions": [REVISION | {"name": name}] * 2}]})
        assert capsys.readouterr().out.count(name) == 4

    def test_decisions_are_lines_with_the_number_and_the_reason(self, capsys: pytest.CaptureFixture[str]) -> None:
        decision = {
            "at": "2026-01-02T12:34:56.000+00:00",
            "revision": "m-1",
            "replicas": 1,
            "poked": True,
            "why": "Wants 1 because " + "x" * 300 + ".",
        }
        client.decisions_text({"decisions": [decision, decision | {"poked": False, "replicas": 2}]})
        day, first, second = capsys.readouterr().out.splitlines()
        assert day == "2026-01-02 (UTC)"
        assert first == f"12:34:56  m-1  -> 1 (at once)  {decision['why']}"
        assert second == f"12:34:56  m-1  -> 2  {decision['why']}"

    def test_a_decision_that_only_repeats_the_one_before_hides_no_other(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        made = [("m-1", 1, "x."), *[("m-1", 0, "y."), ("m-2", 0, "y.")] * 50]
        decisions = [
            {"at": f"2026-01-02T12:{at // 60:02}:{at % 60:02}", "revision": revision, "replicas": number, "why": why}
            for at, (revision, number, why) in enumerate(made)
        ]
        client.decisions_text({"decisions": decisions}, 3)
        assert capsys.readouterr().out.splitlines()[1:] == [
            "12:00:00  m-1  -> 1  x.",
            "12:00:01  m-1  -> 0  y.",
            "12:00:02  m-2  -> 0  y.",
        ]

    def test_what_happened_to_a_canary_stands_where_it_happened(self, capsys: pytest.CaptureFixture[str]) -> None:
        decision = {"revision": "m-1", "replicas": 1, "poked": False, "why": "x."}
        moved = {"at": "2026-01-02T12:34:57", "revision": "m-2", "kind": "step", "why": "y."}
        times = [{"at": f"2026-01-02T12:34:5{second}"} for second in (6, 8)]
        client.decisions_text({"decisions": [decision | at for at in times], "rollout": [moved]})
        assert capsys.readouterr().out.splitlines()[2] == "12:34:57  m-2  canary step  y."

    def test_what_happened_on_another_day_stands_under_that(self, capsys: pytest.CaptureFixture[str]) -> None:
        decision = {"at": "2026-01-02T03:00:00", "revision": "m-1", "replicas": 1, "poked": False, "why": "x."}
        moved = {"at": "2026-01-01T22:00:00", "revision": "m-2", "kind": "rolled-back", "why": "y."}
        client.decisions_text({"decisions": [decision], "rollout": [moved]})
        assert capsys.readouterr().out.splitlines() == [
            "2026-01-01 (UTC)",
            "22:00:00  m-2  canary rolled-back  y.",
            "2026-01-02 (UTC)",
            "03:00:00  m-1  -> 1  x.",
        ]

    def test_what_is_wrong_now_stands_last(self, capsys: pytest.CaptureFixture[str]) -> None:
        decision = {"at": "2026-01-02T12:34:56", "revision": "m-1", "replicas": 1, "poked": False, "why": "x."}
        starting = {"revision": "m-1", "phase": "starting", "failed": 0, "message": "GET /helth answered 404"}
        failing = {"revision": "m-2", "phase": "failing", "failed": 3, "message": "CUDA is missing"}
        failing |= {"retry_at": "2026-01-02T12:39:56.000+00:00", "logs": "/var/logs/m-2"}
        client.decisions_text({"decisions": [decision], "troubles": [starting, failing]})
        assert capsys.readouterr().out.splitlines()[2:] == [
            "now       m-1  starting: GET /helth answered 404",
            (
                "now       m-2  failing (3 failed starts in a row): CUDA is missing; no other start before 12:39:56"
                "; logs of its replicas: /var/logs/m-2"
            ),
        ]

    def test_the_last_words_of_a_model_are_told_as_they_are(self, capsys: pytest.CaptureFixture[str]) -> None:
        words = "[rank0]: cannot load [/opt/m.so] [error] :warning:"
        trouble = {"revision": "m-1", "phase": "failing", "failed": 1, "message": words}
        client.decisions_text({"decisions": [], "troubles": [trouble]})
        assert capsys.readouterr().out.splitlines()[-1] == f"now       m-1  failing: {words}"

    def test_a_move_is_told_with_the_shares_that_come_of_it(self, capsys: pytest.CaptureFixture[str]) -> None:
        client.moved_text({"why": "m-1 was promoted by hand.", "canary": CANARY})
        assert capsys.readouterr().out == "m-1 was promoted by hand. Now m-1 has 5 %, m-0 95 %.\n"

    def test_without_decisions_it_says_so(self, capsys: pytest.CaptureFixture[str]) -> None:
        client.decisions_text({"decisions": []})
        assert capsys.readouterr().out == "Nothing was decided yet.\n"

    def test_usage_is_a_table_or_csv(self, capsys: pytest.CaptureFixture[str]) -> None:
        row = {
            "day": "2026-01-02",
            "service": "m",
            "revision": "m-1",
            "replica_minutes": 61.5,
            "idle_replica_minutes": 2.25,
        }
        client.usage_table({"usage": [row]})
        assert capsys.readouterr().out.splitlines()[1].split() == ["2026-01-02", "m", "m-1", "61.50", "2.25"]
        client.usage_csv({"usage": [{**row, "of a later version": 1}]})
        assert capsys.readouterr().out == (
            "day,service,revision,replica_minutes,idle_replica_minutes\n2026-01-02,m,m-1,61.5,2.25\n"
        )
