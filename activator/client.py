"""What the commands ask of a running edge, and how they show it."""

from __future__ import annotations

import csv
import json
import sys
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT = "127.0.0.1:9090"
TIMEOUT = 5.0
WIDEST = 1000
LONGEST_REASON = 200
MOST = 1000  # decisions that an edge tells
HINT = "is it running, and is --admin its admin address?"


class AdminError(Exception):
    """The admin listener cannot be asked; the message says why and what to do."""


def get(admin: str, path: str, key: str) -> dict[str, Any]:
    """Return the JSON object with `key` that the edge's admin listener gives for `path`. No proxy is asked."""
    return _ask(admin, path, key, None)


def post(admin: str, path: str, key: str) -> dict[str, Any]:
    """Have the edge's admin listener do what `path` says; otherwise as `get`."""
    return _ask(admin, path, key, b"{}")


def _ask(admin: str, path: str, key: str, body: bytes | None) -> dict[str, Any]:
    address = (admin if "://" in admin else f"http://{_host_of(admin)}").rstrip("/")
    kind = {"Content-Type": "application/json"} if body else {}
    try:
        request = Request(f"{address}{path}", body, kind)  # noqa: S310 - its user says where the edge is
        with build_opener(ProxyHandler({})).open(request, timeout=TIMEOUT) as response:
            data = json.load(response)
    except HTTPError as error:
        raise AdminError(_told(admin, error)) from error
    except (OSError, HTTPException, ValueError, RecursionError) as error:
        told = str(getattr(error, "reason", error))[:LONGEST_REASON]
        reason = "".join(
            each if each.isprintable() else "?" for each in told
        )  # whatever listens there may have said it
        raise AdminError(f"no edge answers on {admin} ({reason}); {HINT}") from error
    if not isinstance(data, dict) or key not in data:
        raise AdminError(f"what answers on {admin} is not an edge's admin listener; {HINT}")
    return data


def _host_of(admin: str) -> str:
    """Return `admin` with a host: `:9090` and `9090`, as configurations may have them, are on this machine."""
    return f"127.0.0.1:{admin.removeprefix(':')}" if admin.removeprefix(":").isdecimal() else admin


def quoted(name: str) -> str:
    """Return `name` as a path segment, whatever bytes it was given as."""
    return quote(name, safe="", errors="surrogateescape")


def status_table(data: dict[str, Any]) -> None:
    """Print all services as a table, and below it what is wrong: with the edge, and with revisions."""
    columns = ("SERVICE", "REVISION", "SHARE", "PHASE", "READY", "HELD", "OPEN", "ZERO AT (UTC)")
    table = _table(columns, right={"READY", "HELD", "OPEN"})
    wrong: list[str] = list(data.get("troubles", ()))
    for service in data["services"]:
        for revision in service["revisions"]:
            ready = sum(replica["phase"] == "ready" for replica in revision["replicas"])
            share = f"{revision['percent']} %" + _notes(service, revision)
            cells = (service["name"], revision["name"], share, revision["phase"], f"{ready}/{revision['desired']}")
            table.add_row(*cells, str(revision["held"]), str(revision["open"]), _clock(revision["zero_at"]))
            wrong += _wrong(revision, ready)
    _print(table)
    for each in wrong:
        _console(soft_wrap=True).print(each)


def _wrong(revision: dict[str, Any], ready: int) -> Iterator[str]:
    """Yield what is wrong with a revision: that it lacks replicas, or that one died lately, unless that is why."""
    message, died = revision.get("message"), revision.get("died")
    lacks = message and (ready < revision["desired"] or revision["start_failures"])
    if lacks:
        yield f"{revision['name']}: {message}"
    if died and not (lacks and message == died["message"]):
        yield f"{revision['name']}: a replica died while it served, at {_clock(died['at'])}: {died['message']}"


def decisions_text(data: dict[str, Any], last: int = MOST) -> None:
    """Print the `last` decisions that said something new and what happened to a canary, oldest first, a sentence each,
    under their days in UTC; then what is wrong now."""
    console = _console(soft_wrap=True)
    told = [*_news(data["decisions"]), *data.get("rollout", ())]
    told = sorted(told, key=lambda each: str(each["at"]))[-last:]
    if not told:
        console.print("Nothing was decided yet.")
    day = ""
    for each in told:
        if each["at"][:10] != day:
            day = each["at"][:10]
            console.print(f"{day} (UTC)")
        replicas = f"-> {each['replicas']}" if "replicas" in each else f"canary {each['kind']}"
        poked = " (at once)" if each.get("poked") else ""
        console.print(f"{_clock(each['at'])}  {each['revision']}  {replicas}{poked}  {each['why']}")
    for each in data.get("troubles", ()):
        failed = f" ({each['failed']} failed starts in a row)" if each["failed"] > 1 else ""
        wait = f"; no other start before {_clock(each['retry_at'])}" if each.get("retry_at") else ""
        logs = f"; logs of its replicas: {each['logs']}" if each.get("logs") else ""
        console.print(f"now       {each['revision']}  {each['phase']}{failed}: {each['message']}{wait}{logs}")


def _news(decisions: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield those decisions that are not what was decided for their revision before, for the same reason."""
    known: dict[str, tuple[int, str]] = {}
    for each in decisions:
        what = each["replicas"], each["why"]
        if known.get(each["revision"]) != what:
            yield each
        known[each["revision"]] = what


def moved_text(data: dict[str, Any]) -> None:
    """Print what was done to a canary, and how the traffic is split now."""
    canary = data["canary"]
    split = f"{canary['revision']} has {canary['percent']} %, {canary['stable']} {canary['stable_percent']} %"
    _console(soft_wrap=True).print(f"{data['why']} Now {split}.")


def usage_table(data: dict[str, Any]) -> None:
    """Print the usage ledger as a table."""
    columns = ("DAY (UTC)", "SERVICE", "REVISION", "REPLICA-MINUTES", "IDLE")
    table = _table(columns, right={"REPLICA-MINUTES", "IDLE"})
    for row in data["usage"]:
        minutes = (f"{row['replica_minutes']:.2f}", f"{row['idle_replica_minutes']:.2f}")
        table.add_row(row["day"], row["service"], row["revision"], *minutes)
    _print(table)


def usage_csv(data: dict[str, Any]) -> None:
    """Print the usage ledger as CSV."""
    columns = ("day", "service", "revision", "replica_minutes", "idle_replica_minutes")
    writer = csv.DictWriter(sys.stdout, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(data["usage"])


def _notes(service: dict[str, Any], revision: dict[str, Any]) -> str:
    """Return what is to be said of a revision's share: its tag, and how far it is as a canary."""
    notes = [revision["tag"]] if revision["tag"] else []
    canary = service.get("canary")
    if canary and canary["revision"] == revision["name"]:
        steps = canary["steps"]
        step = f" {canary['step'] + 1}/{len(steps)}" if canary["phase"] == "running" and len(steps) > 1 else ""
        notes.append(f"canary {canary['phase']}{step}")
        if canary["falls_back"] and revision["phase"] != "ready" and canary["percent"]:
            notes.append("cold")
    return f" ({', '.join(notes)})" if notes else ""


def _table(columns: tuple[str, ...], right: set[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", no_wrap=True)
    return table


def _print(table: Table) -> None:
    """Print a table, cut to the terminal's width; whole when it goes elsewhere."""
    _console(width=None if sys.stdout.isatty() else WIDEST).print(table)


def _console(*, width: int | None = None, soft_wrap: bool = False) -> Console:
    """Return what prints text as it is: the last words of a model are full of what could be taken for markup."""
    return Console(width=width, highlight=False, soft_wrap=soft_wrap, markup=False, emoji=False)


def _clock(moment: str | None) -> str:
    return moment[11:19] if moment else "-"


def _told(admin: str, error: HTTPError) -> str:
    with error:
        if "Activator-Reason" in error.headers:
            return f"{admin} is where an edge takes its clients' requests, not its admin listener; {HINT}"
        try:
            return str(json.load(error)["message"])
        except (OSError, ValueError, KeyError, TypeError):
            return f"{admin} answered {error.code} {error.reason}; {HINT}"
