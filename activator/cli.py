"""The command `activator`: status, explain, usage and the moves of canaries ask a running edge; all others work alone.

A command imports what it needs when it runs: the whole edge takes most of a second, which nobody who asks for the
status should wait for.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from activator import client, manifest_commands
from activator.manifest_commands import BAD_INPUT, told

if TYPE_CHECKING:
    from activator.kube.client import Client
    from activator.kube.views import Views
    from activator.settings.schema import Settings

app = typer.Typer(
    help="An HTTP edge and autoscaler that let GPU models sleep at zero.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

DEFAULT_CONFIG = Path("config/local.yaml")
ConfigOption = Annotated[
    str | None,
    typer.Option(
        "--config",
        "-c",
        help="A file, or configmap/NAME.",
        show_default=f"what the variable ACTIVATOR_CONFIG has, else {DEFAULT_CONFIG}",
    ),
]
AdminOption = Annotated[str, typer.Option("--admin", help="Address of the edge's admin listener.")]
ServiceArgument = Annotated[str, typer.Argument(help="The service's name.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def main() -> None:
    """Run the command line. Streams that are closed are those of /dev/null, and an error of the system, such as a disk
    that is full, is told in one line."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115
    try:
        app()
    except OSError as error:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - the rest cannot be written, either
        typer.echo(f"activator: {error}", err=True)
        sys.exit(1)


def _version(wanted: bool) -> None:
    from importlib.metadata import version

    if wanted:
        typer.echo(f"activator {version('gpu-activator')}")
        raise typer.Exit


VersionOption = Annotated[bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)]


@app.callback()
def options(version: VersionOption = False) -> None:
    """An HTTP edge and autoscaler that let GPU models sleep at zero."""


@app.command()
def serve(config: ConfigOption = None) -> None:
    """Serve until SIGTERM; SIGHUP or a changed configuration reloads it."""
    stops = (signal.SIGTERM, signal.SIGINT)  # which would end the process at once, or, as PID 1, be lost
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP, *stops})  # `run` and `Edge.run` let them come

    import asyncio

    import uvloop

    from activator import logs
    from activator.app import Edge
    from activator.origin import begin

    logs.configure(pretty=sys.stderr.isatty())
    logs.ignore_bad_server_names()

    async def run() -> bool:
        loop, beginning = asyncio.get_running_loop(), asyncio.current_task()
        for number in stops:
            loop.add_signal_handler(number, beginning.cancel)  # type: ignore[union-attr]
        signal.pthread_sigmask(signal.SIG_UNBLOCK, stops)
        origin, settings = await begin(config, DEFAULT_CONFIG, logs.logger("edge"))
        views = await _cluster(settings) if settings.scaler == "kubernetes" else None
        return await Edge(origin, settings, views).run()

    try:
        with told():
            ended_well = uvloop.run(run())
    except asyncio.CancelledError:
        logs.logger("edge").info("stopped before it served")
        return
    except OSError as error:
        typer.echo(f"activator: {error}", err=True)
        raise typer.Exit(1) from None
    if not ended_well:
        raise typer.Exit(1)


@app.command()
def restore(config: ConfigOption = None) -> None:
    """Before uninstalling from Kubernetes: scale every model to max(min-scale, 1). Exits 1 if one could not be."""
    import asyncio

    from activator.kube.errors import ApiError, UnreachableError
    from activator.origin import begin
    from activator.restore import restore as restored

    async def run() -> bool:
        origin, settings = await begin(config, DEFAULT_CONFIG, None)
        await origin.close()
        client = await _connected(settings)
        try:
            results = await restored(client, settings)
        finally:
            await client.close()
        for each in results:
            typer.echo(str(each), err=bool(each.problem))
        return not any(each.problem for each in results)

    try:
        with told():
            well = asyncio.run(run())
    except (OSError, ApiError, UnreachableError) as error:
        typer.echo(f"activator: {error}", err=True)
        raise typer.Exit(1) from None
    if not well:
        raise typer.Exit(1)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="The configuration file, or manifests of models; - = standard input.")],
) -> None:
    """Check a configuration file or manifests; print every problem and exit 2 if there is one."""
    from activator.catalog.manifests.read import given
    from activator.settings import command_warnings
    from activator.settings.load import settings_of
    from activator.settings.problems import counted
    from activator.settings.source import parse
    from activator.settings.tls_checks import warnings

    with told():
        text = given(file)
    if manifest_commands.checked(text, file):
        return
    with told():
        settings = settings_of(parse(text, str(file)), manifest_commands.base_of(file))
    revisions = sum(len(service.revisions) for service in settings.services)
    programs = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    for warning in (*warnings(settings, time.time()), *command_warnings.warnings(settings, programs)):
        typer.echo(f"{file}: warning: {warning}", err=True)
    typer.echo(f"{file}: good ({counted({'service': len(settings.services), 'revision': revisions})})")


app.command()(manifest_commands.render)


@app.command()
def schema() -> None:
    """Print the JSON Schema of the configuration file, for editors."""
    from activator.settings.schema_json import json_schema

    typer.echo(json.dumps(json_schema(), indent=2))


@app.command()
def decide() -> None:
    """Replay load traces through the decision: JSON lines on standard input and output."""
    from activator.kpa.replay import replay

    for number, line in enumerate(sys.stdin.buffer, 1):
        if not line.strip():
            continue
        try:
            result = replay(json.loads(line))
        except (ValueError, RecursionError) as error:
            typer.echo(f"activator: line {number}: {error}", err=True)
            raise typer.Exit(BAD_INPUT) from None
        typer.echo(json.dumps(result, separators=(",", ":")))


@app.command()
def status(admin: AdminOption = client.DEFAULT, as_json: JsonOption = False) -> None:
    """Show all services of a running edge."""
    data = _ask(admin, "/v1/services", "services")
    _show(data, client.status_table, as_json=as_json)


@app.command()
def explain(
    service: ServiceArgument,
    last: Annotated[int, typer.Option(help="How many decisions and moves to show.", min=1, max=client.MOST)] = 10,
    admin: AdminOption = client.DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Tell why a service has the replicas it has. A decision that only repeats the last one shows with --json alone."""
    limit = last if as_json else client.MOST
    data = _ask(admin, f"/v1/services/{client.quoted(service)}/decisions?limit={limit}", "decisions")
    _show(data, lambda told: client.decisions_text(told, last), as_json=as_json)


@app.command()
def promote(service: ServiceArgument, admin: AdminOption = client.DEFAULT, as_json: JsonOption = False) -> None:
    """Give a service's canary all traffic of the stable revision."""
    _move(service, "promote", admin, as_json=as_json)


@app.command()
def rollback(service: ServiceArgument, admin: AdminOption = client.DEFAULT, as_json: JsonOption = False) -> None:
    """Give the stable revision all traffic of a service's canary."""
    _move(service, "rollback", admin, as_json=as_json)


@app.command()
def restart(service: ServiceArgument, admin: AdminOption = client.DEFAULT, as_json: JsonOption = False) -> None:
    """Begin a canary's rollout anew, after a rollback or a promotion."""
    _move(service, "restart", admin, as_json=as_json)


@app.command()
def usage(
    admin: AdminOption = client.DEFAULT,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show replica-minutes and idle replica-minutes per service, revision and day."""
    data = _ask(admin, "/v1/usage", "usage")
    _show(data, client.usage_csv if csv else client.usage_table, as_json=as_json)


async def _cluster(settings: Settings) -> Views:
    from activator.kube.views import Views

    return Views(await _connected(settings), services=settings.kserve)


async def _connected(settings: Settings) -> Client:
    from activator.kube.client import connect

    return await connect(settings.namespace or "")


def _ask(admin: str, path: str, key: str, ask: Any = client.get) -> dict[str, Any]:
    try:
        data: dict[str, Any] = ask(admin, path, key)
        return data
    except client.AdminError as error:
        typer.echo(f"activator: {error}", err=True)
        raise typer.Exit(1) from None


def _move(service: str, move: str, admin: str, *, as_json: bool) -> None:
    path = f"/v1/services/{client.quoted(service)}/{move}"
    _show(_ask(admin, path, "canary", client.post), client.moved_text, as_json=as_json)


def _show(data: Any, render: Any, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(data, indent=2))
        return
    try:
        render(data)
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        told = f"activator: the answer is not understood ({error!r}): is that an edge of another version? Try --json."
        typer.echo(told, err=True)
        raise typer.Exit(1) from None
