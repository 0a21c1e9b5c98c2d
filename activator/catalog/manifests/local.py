"""From applications to a configuration file for this machine, where somebody names the commands.

An image cannot be run here, so each component is given a command: by its own name, or by that of the application, which
stands for all of its components. Image, resources, affinity, volumes and probes' other parts have no effect; ports are
chosen by the edge.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from activator.catalog.manifests.components import STORAGE_URI
from activator.settings.problems import Problem, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from activator.catalog.manifests.model import Application, Component, Revision

RESERVED = ("HOST", "PORT", "REPLICA", STORAGE_URI)
PREDICTOR = "PREDICTOR_HOST"
DOMAIN = "localhost"


def local(applications: Sequence[Application], commands: Mapping[str, str], port: int) -> list[dict[str, Any]]:
    """Return the services of a configuration file of an edge that listens at `port`. SettingsError if a component has
    no command, or a command no component.

    `commands` are lines by the name of a revision, component or application: the closest counts.
    """
    names = {name for application in applications for name in _names(application)}
    problems = [
        Problem("--command", name, "is no component of these manifests", allowed=", ".join(sorted(names)))
        for name in commands
        if name not in names
    ]
    twice = [name for name, count in Counter(each.name for each in applications).items() if count > 1]
    problems += [
        Problem("", each, "is there in several namespaces: on one machine a name is one service") for each in twice
    ]
    services = []
    for application in applications:
        for component in application.components:
            wanted = [_command(application, component, revision, commands) for revision in component.revisions]
            if None in wanted:
                how = f"--command '{component.name}=python my_model.py'"
                problems.append(Problem(application.file, component.name, f"has no command here: {how}"))
            services.append(_service(application, component, wanted, port))
    if problems:
        raise SettingsError(problems)
    return services


def _names(application: Application) -> Iterator[str]:
    yield application.name
    for component, revision in application.revisions():
        yield component.name
        yield f"{application.name}-{component.role}"
        yield revision.name


def _command(
    application: Application, component: Component, revision: Revision, commands: Mapping[str, str]
) -> str | None:
    by_role = f"{application.name}-{component.role}"
    names = (revision.name, by_role, component.name, application.name)
    return next((commands[name] for name in names if name in commands), None)


def _service(
    application: Application, component: Component, commands: Sequence[str | None], port: int
) -> dict[str, Any]:
    revisions = [
        _revision(application, (revision, command or ""), port)
        for revision, command in zip(component.revisions, commands, strict=True)
    ]
    service: dict[str, Any] = {"name": component.name, "hosts": [f"{name}.{DOMAIN}" for name in component.names]}
    if component.paths:
        service["paths"] = list(component.paths)
    service |= component.keys
    service["revisions"] = revisions
    service["traffic"] = [
        {"revision": each.name, "percent": each.percent, **({"tag": each.tag} if each.tag else {})}
        for each in component.revisions
    ]
    return service


def _revision(application: Application, run: tuple[Revision, str], port: int) -> dict[str, Any]:
    revision, command = run
    env = {
        each["name"]: each["value"]
        for each in revision.container.get("env", ())
        if "value" in each and each.get("name") not in RESERVED
    }
    behind = [each for each in application.components if each.name in revision.wakes]
    if behind:
        env[PREDICTOR] = f"{behind[0].names[0]}.{DOMAIN}:{port}"
    made: dict[str, Any] = {"name": revision.name, "command": command}
    if env:
        made["env"] = env
    if revision.wakes:
        made["wakes"] = list(revision.wakes)
    made["autoscaling"] = dict(revision.keys["autoscaling"])
    if revision.keys["requests"]:
        made["requests"] = dict(revision.keys["requests"])
    grace = revision.spec.get("terminationGracePeriodSeconds")
    graced = {} if grace is None else {"termination-grace-period": f"{grace}s"}
    made["process"] = {"readiness-path": revision.readiness or "/", **graced, **revision.keys["process"]}
    return made
