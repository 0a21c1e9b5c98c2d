"""The readiness probe: a starting replica is asked every 20 ms, so it is a bare socket, not an HTTP client.

HTTP/1.1 (RFC 9112): one GET with `Connection: close`, of whose answer only the status line is read. 200 is
ready; anything else (204 and redirects too) is not.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from typing import TYPE_CHECKING

from router.tls import upstream_contexts

if TYPE_CHECKING:
    from router.ports import UpstreamTls

LONGEST_STATUS_LINE = 4096
REQUEST = "GET {path} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: gpu-activator-probe\r\nConnection: close\r\n\r\n"


async def probe(
    host: str, port: int, path: str, *, within: float, tls: UpstreamTls | None = None, connect: float | None = None
) -> str:
    """Ask `GET path` once; return "" when it answers 200 within `within` seconds, else what is wrong, in a
    few words.

    `host` is an IP address. With `tls` it is asked by TLS, as requests are sent. `connect` bounds the connection alone
    (without TLS): an address that leads nowhere yet must not take the time of a probe that could succeed.
    """
    request = REQUEST.format(path=path, authority=f"[{host}]:{port}" if ":" in host else f"{host}:{port}").encode()
    try:
        async with asyncio.timeout(within):
            if tls is None:
                line = await _status_line(host, port, request, connect)
            else:
                line = await _tls_status_line(host, port, request, tls)
    except TimeoutError:
        return f"no answer to GET {path} within {within:g} s"
    except ssl.SSLError as error:
        return f"port {port}: no TLS: {getattr(error, 'verify_message', None) or error.reason or error}"
    except OSError as error:
        return f"port {port}: {os.strerror(error.errno).lower() if error.errno else error}"
    return _complaint(line, path)


async def _tls_status_line(host: str, port: int, request: bytes, tls: UpstreamTls) -> bytes:
    context = await upstream_contexts.find(tls)
    reader, writer = await asyncio.open_connection(
        host, port, limit=LONGEST_STATUS_LINE, ssl=context, server_hostname=tls.name or host
    )
    try:
        writer.write(request)
        return (await reader.readline()).rstrip(b"\r\n")
    except ValueError:
        return b""  # a line without end
    finally:
        writer.transport.abort()


async def _status_line(host: str, port: int, request: bytes, connect: float | None) -> bytes:
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.setblocking(False)
        async with asyncio.timeout(connect):
            await loop.sock_connect(connection, (host, port))
        await loop.sock_sendall(connection, request)
        line = b""
        while b"\n" not in line and len(line) < LONGEST_STATUS_LINE:
            data = await loop.sock_recv(connection, LONGEST_STATUS_LINE)
            if not data:
                break
            line += data
    return line.partition(b"\n")[0].rstrip(b"\r")


def _complaint(line: bytes, path: str) -> str:
    version, _, rest = line.partition(b" ")
    status = rest[:3]
    if not version.startswith(b"HTTP/1.") or len(status) != 3 or not status.isdigit():
        return f"GET {path} got no HTTP answer"
    return "" if status == b"200" else f"GET {path} answered {status.decode()}"
