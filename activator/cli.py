"""The command `activator`: serve, check, schema and decide work alone; status, explain and usage ask a running edge.

A command imports what it needs when it runs: the whole edge takes most of a second, which nobody who asks for the
status should wait for.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from activator import client

if TYPE_CHECKING:
    from activator.kube.views import Views
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
        views = await _cluster(settings) if settings.scaler == "kubernetes" else None
        return await Edge(config, settings, views).run()

    try:
        ended_well = uvloop.run(run())
    except OSError as error:
        typer.echo(f"activator: {error}", err=True)
        raise typer.Exit(1) from None
    if not ended_well:
        raise typer.Exit(1)


@app.command()
def check(file: Annotated[Path, typer.Argument(help="The configuration file.")]) -> None:
    """Check a configuration file; print every problem and exit 2 if there is one."""
    from activator.settings.tls_checks import warnings

    settings = _load(file)
    revisions = sum(len(service.revisions) for service in settings.services)
    for warning in warnings(settings, time.time()):
        typer.echo(f"{file}: warning: {warning}", err=True)
    typer.echo(f"{file}: good ({len(settings.services)} services, {revisions} revisions)")


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


async def _cluster(settings: Settings) -> Views:
    from activator.kube.client import connect
    from activator.kube.views import Views

    return Views(await connect(settings.namespace or ""))


def _load(file: Path) -> Settings:
    from activator.settings.load import load
    from activator.settings.problems import SettingsError

    try:
        return load(file)
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
