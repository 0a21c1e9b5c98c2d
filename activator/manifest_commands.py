"""The commands about manifests as a terminal sees them: options, warnings, exit status. `catalog/manifests/use.py` does
the work."""

# ruff: noqa: PLC0415

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from activator.catalog.manifests.model import Manifests
    from activator.settings.problems import Problem
    from activator.settings.schema import Settings
    from activator.settings.source import Source

BAD_INPUT = 2


def render(
    files: Annotated[list[Path], typer.Argument(help="InferenceServices or Knative Services; - = standard input.")],
    previous: Annotated[list[Path] | None, typer.Option(help="Manifests last rolled out, kept beside it.")] = None,
    local: Annotated[bool, typer.Option("--local", help="Print a configuration file for this machine.")] = False,
    *,
    command: Annotated[list[str] | None, typer.Option(help="With --local: NAME=COMMAND of a component.")] = None,
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Where manifests name none.")] = "",
    config: Annotated[Path | None, typer.Option("--config", "-c", help="The edge's configuration file.")] = None,
) -> None:
    """Print manifests as Deployments and Services for kubectl, or as a configuration file."""
    from activator.catalog.manifests import use

    with told():
        source = _source(config)
        settings = _settings(source, config)
        manifests = _manifests(files, previous or [], settings, namespace)
        if local or command:
            text = use.for_here(manifests, command or [], settings, source)
        else:
            _warn(use.without_namespace(manifests))
            text = use.for_cluster(manifests, settings)
    typer.echo(text, nl=False)


def checked(text: str, file: Path) -> bool:
    """Check the text of a file and tell what will hurt, if it has manifests; return whether it has."""
    from activator.catalog.manifests import use

    if not use.is_manifest(text):
        return False
    with told():
        manifests = use.within(text, str(file), _settings(None, None))
    _warn([*manifests.warnings, *use.advice(manifests)])
    typer.echo(f"{file}: {use.summary(manifests)}")
    return True


def _source(file: Path | None) -> Source | None:
    """Read a configuration file: once, since it may be a pipe."""
    from activator.catalog.manifests.read import given
    from activator.settings.source import parse

    return None if file is None else parse(given(file), str(file))


def _settings(source: Source | None, file: Path | None) -> Settings:
    from activator.settings.load import settings_of
    from activator.settings.schema import Settings

    return Settings() if source is None or file is None else settings_of(source, base_of(file))


def base_of(file: Path) -> Path:
    """Return what paths in a configuration are relative to: its file's directory, or ours if it comes by a pipe."""
    return file.absolute().parent if file.is_file() else Path.cwd()


def _manifests(files: Sequence[Path], previous: Sequence[Path], settings: Settings, namespace: str) -> Manifests:
    from activator.catalog.manifests import use
    from activator.settings.problems import counted

    manifests = use.joined(files, previous, settings, namespace)
    _warn(manifests.warnings)
    if manifests.labelled:
        told = "left out, since the label makes models of them already: apply them as they are"
        typer.echo(f"{counted({'Deployment': manifests.labelled})} {told}", err=True)
    return manifests


def _warn(warnings: Iterable[Problem]) -> None:
    for warning in warnings:
        typer.echo(str(replace(warning, message=f"warning: {warning.message}")), err=True)


@contextmanager
def told() -> Iterator[None]:
    """Print the problems of files, and exit with BAD_INPUT."""
    from activator.settings.problems import SettingsError

    try:
        yield
    except SettingsError as error:
        for problem in error.problems:
            typer.echo(str(problem), err=True)
        raise typer.Exit(BAD_INPUT) from None
