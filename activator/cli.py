"""The command `activator`: serve, check, schema and decide work alone; status, explain and usage ask a running edge.

A command imports what it needs when it runs: the whole edge takes most of a second, which nobody who asks for the
status should wait for.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from activator import client

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from activator.catalog.manifests.model import Manifests
    from activator.settings.problems import Problem
    from activator.settings.schema import Settings

app = typer.Typer(
    help="An HTTP edge and autoscaler that let GPU models sleep at zero.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

BAD_INPUT = 2
ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")]
AdminOption = Annotated[str, typer.Option("--admin", help="Address of the edge's admin listener.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def main() -> None:
    """Run the command line."""
    app()


@app.command()
def serve(config: ConfigOption = Path("config/local.yaml")) -> None:
    """Serve until SIGTERM; SIGHUP or a changed file reloads the configuration."""
    import uvloop

    from activator import logs
    from activator.app import Edge

    settings = _load(config)
    logs.configure(pretty=sys.stderr.isatty())
    logs.ignore_bad_server_names()

    async def run() -> bool:
        return await Edge(config, settings).run()

    try:
        ended_well = uvloop.run(run())
    except OSError as error:
        typer.echo(f"activator: {error}", err=True)
        raise typer.Exit(1) from None
    if not ended_well:
        raise typer.Exit(1)


@app.command()
def check(file: Annotated[Path, typer.Argument(help="The configuration file, or manifests of models.")]) -> None:
    """Check a configuration file or manifests; print every problem and exit 2 if there is one."""
    from activator.catalog.manifests import use
    from activator.settings.tls_checks import warnings

    if use.is_manifest(file):
        manifests = _manifests([file], [], _settings(None), "")
        _warn(use.advice(manifests, _settings(None)))
        typer.echo(f"{file}: {use.summary(manifests)}")
        return
    settings = _load(file)
    revisions = sum(len(service.revisions) for service in settings.services)
    for warning in warnings(settings, time.time()):
        typer.echo(f"{file}: warning: {warning}", err=True)
    typer.echo(f"{file}: good ({len(settings.services)} services, {revisions} revisions)")


@app.command()
def render(
    files: Annotated[list[Path], typer.Argument(help="InferenceServices or Knative Services; - = standard input.")],
    previous: Annotated[list[Path] | None, typer.Option(help="What was last rolled out, kept beside it.")] = None,
    local: Annotated[bool, typer.Option("--local", help="Print a configuration file for this machine.")] = False,
    *,
    command: Annotated[list[str] | None, typer.Option(help="With --local: NAME=COMMAND of a component.")] = None,
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Where manifests name none.")] = "",
    config: Annotated[Path | None, typer.Option("--config", "-c", help="The edge's configuration file.")] = None,
) -> None:
    """Print manifests as Deployments and Services for kubectl, or as a configuration file."""
    from activator.catalog.manifests import use

    settings = _settings(config)
    manifests = _manifests(files, previous or [], settings, namespace)
    with _told():
        if local or command:
            typer.echo(use.for_here(manifests, command or [], settings, config), nl=False)
        else:
            typer.echo(use.for_cluster(manifests, settings), nl=False)


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
    service: Annotated[str, typer.Argument(help="The service's name.")],
    last: Annotated[int, typer.Option(help="How many decisions to show.", min=1, max=1000)] = 10,
    admin: AdminOption = client.DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Tell why a service has the replicas it has."""
    data = _ask(admin, f"/v1/services/{client.quoted(service)}/decisions?limit={last}", "decisions")
    _show(data, client.decisions_text, as_json=as_json)


@app.command()
def usage(
    admin: AdminOption = client.DEFAULT,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show replica-minutes and idle replica-minutes per service, revision and day."""
    data = _ask(admin, "/v1/usage", "usage")
    _show(data, client.usage_csv if csv else client.usage_table, as_json=as_json)


def _load(file: Path) -> Settings:
    from activator.settings.load import load

    with _told():
        return load(file)


def _settings(file: Path | None) -> Settings:
    from activator.settings.schema import Settings

    return Settings() if file is None else _load(file)


def _manifests(files: list[Path], previous: list[Path], settings: Settings, namespace: str) -> Manifests:
    from activator.catalog.manifests import use

    with _told():
        manifests = use.joined(files, previous, settings, namespace)
    _warn(manifests.warnings)
    return manifests


def _warn(warnings: Iterable[Problem]) -> None:
    for warning in warnings:
        typer.echo(str(replace(warning, message=f"warning: {warning.message}")), err=True)


@contextmanager
def _told() -> Iterator[None]:
    """Print the problems of files and exit."""
    from activator.settings.problems import SettingsError

    try:
        yield
    except SettingsError as error:
        for problem in error.problems:
            typer.echo(str(problem), err=True)
        raise typer.Exit(BAD_INPUT) from None


def _ask(admin: str, path: str, key: str) -> dict[str, Any]:
    try:
        return client.get(admin, path, key)
    except client.AdminError as error:
        typer.echo(f"activator: {error}", err=True)
        raise typer.Exit(1) from None


def _show(data: Any, render: Any, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(data, indent=2))
    else:
        render(data)
