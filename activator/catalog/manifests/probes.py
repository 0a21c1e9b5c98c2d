"""How a model's container is asked whether it is ready, and at which port.

KServe and Knative ask the port when nothing is said: then a server that listens counts as ready, loaded or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from activator.settings.texts import Target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from activator.catalog.manifests.notes import Notes
    from activator.settings.problems import Location

PORT = 8080
HANDLERS = ("httpGet", "tcpSocket", "exec", "grpc")
OTHER_PROTOCOLS = ("h2c", "grpc", "http2")


def port_of(container: Mapping[str, Any]) -> int:
    """Return the port that takes requests."""
    ports = container.get("ports") or [{}]
    return int(ports[0].get("containerPort") or PORT)


def complete(container: dict[str, Any], readiness: str, place: tuple[Notes, Location]) -> tuple[int, str]:
    """Give a container what it lacks of port, PORT and probes; return the port and the readiness path ("" = the port).

    `readiness` is the path of a server that is known.
    """
    notes, at = place
    port = port_of(container)
    name = (container.get("ports") or [{}])[0].get("name", "")
    if name.startswith(OTHER_PROTOCOLS):
        notes.warn(at, f"port {name}: requests are sent as HTTP/1.1 all the same")
    if "ports" not in container or not container["ports"]:
        container["ports"] = [{"containerPort": port, "protocol": "TCP"}]
    container["ports"][0].setdefault("containerPort", port)
    env = container.setdefault("env", [])
    if all(each.get("name") != "PORT" for each in env):
        env.append({"name": "PORT", "value": str(port)})
    probe = container.get("readinessProbe")
    if probe is None and readiness:
        probe = {"httpGet": {"path": readiness, "port": port}, "periodSeconds": 10, "timeoutSeconds": 1}
    container["readinessProbe"] = probe = _with_port(probe or {}, port)
    for other in ("livenessProbe", "startupProbe"):
        if other in container:
            container[other] = _with_port(container[other], port)
    path = _path(probe.get("httpGet"), port)
    if path and not Target().takes(path):
        notes.warn(
            (*at, "readinessProbe"), "the edge cannot ask for this path, and goes by what Kubernetes finds", path
        )
        path = ""
    return port, path


def _path(get: Any, port: int) -> str:
    """Return the path of an HTTP probe that asks where requests are sent to, "" if it asks elsewhere."""
    if not isinstance(get, dict) or (isinstance(get.get("port"), int) and get["port"] != port):
        return ""
    path = get.get("path", "/")
    return path if isinstance(path, str) and path.startswith("/") else ""


def _with_port(probe: Mapping[str, Any], port: int) -> dict[str, Any]:
    """Return a probe that has a handler with a port, as Knative fills it in."""
    made = {key: value for key, value in probe.items() if value is not None}
    if not any(key in made for key in HANDLERS):
        made["tcpSocket"] = {}
    for key in ("httpGet", "tcpSocket"):
        if isinstance(made.get(key), dict):
            made[key] = {"port": port, **{name: value for name, value in made[key].items() if value not in (0, None)}}
    return made
