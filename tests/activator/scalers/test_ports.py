from __future__ import annotations

import socket
from pathlib import Path

import pytest

from activator.scalers.ports import PORTS, free_port

HOST = "127.0.0.1"


def test_a_port_can_be_bound() -> None:
    with socket.socket() as server:
        server.bind((HOST, free_port(HOST, set())))


def test_ports_are_out_of_the_kernels_range() -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert lowest <= 32768 or PORTS.stop <= lowest
    assert PORTS.stop <= 32768


def test_a_port_that_is_taken_is_passed_over() -> None:
    with socket.socket() as server:
        server.bind((HOST, free_port(HOST, set())))
        busy = server.getsockname()[1]
        ports = range(busy, busy + 1)
        with pytest.raises(OSError, match=f"no free port on {HOST} from {busy} to {busy}"):
            free_port(HOST, set(), ports)


def test_a_port_already_promised_is_passed_over() -> None:
    first = free_port(HOST, set())
    with pytest.raises(OSError, match="no free port"):
        free_port(HOST, {first}, range(first, first + 1))
