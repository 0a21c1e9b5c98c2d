"""The keys about requests (clocks and bounds at the edge) and processes (how a replica is run and probed)."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic reads it
from typing import Annotated

from activator.settings.group import Group
from activator.settings.numbers import Duration, Size, Whole
from activator.settings.places import File
from activator.settings.rules import Choice, Flag
from activator.settings.texts import Host, Target

MiB = 1 << 20


class Requests(Group):
    """Clocks and bounds of requests. The clocks are separate: waiting for a replica uses up no other."""

    container_concurrency: Annotated[int, Whole(0)] = 0
    """Requests at a time per replica, a hard limit; 0 = none."""
    hold_timeout: Annotated[float, Duration()] = 600.0
    """Time a request may wait for a replica; 0 = for ever."""
    first_byte_timeout: Annotated[float, Duration()] = 300.0
    """Time from the last byte of a request that was sent to a replica until its answer begins; 0 = no limit."""
    idle_timeout: Annotated[float, Duration()] = 0.0
    """Time between two pieces of an answer; 0 = no limit."""
    total_timeout: Annotated[float, Duration()] = 0.0
    """Time from sending a request to a replica until its answer ends; 0 = no limit."""
    queue_depth: Annotated[int, Whole(1)] = 1000
    """Requests that may wait per revision; more are refused."""
    queue_bytes: Annotated[int, Size(0)] = 64 * MiB
    """Bytes of body that the waiting requests of a revision may keep in memory; more are refused."""
    max_request_bytes: Annotated[int, Size(0)] = 1024 * MiB
    """Largest body of a request; 0 = no limit."""
    max_wakes_per_minute: Annotated[int, Whole(0)] = 0
    """Times per minute that a service may be woken from zero; requests that would do it more often are refused; 0 = no
    limit.
    """
    retry_unanswered: Annotated[bool, Flag()] = True
    """Send a GET, HEAD or OPTIONS without a body once more when a kept connection ends before a byte of the answer."""
    on_disconnect: Annotated[str, Choice(("auto", "cancel", "finish"))] = "auto"
    """What to do when a client leaves: close the replica's connection, or await the answer and keep its slot; auto =
    finish with a container-concurrency, else cancel.
    """


class EdgeLimits(Group):
    """Bounds of the edge as a whole, against clients that take too much of it."""

    max_connections: Annotated[int, Whole(0)] = 0
    """Client connections; 0 = as many as the descriptors suffice for, which is never exceeded."""
    max_connections_per_source: Annotated[int, Whole(0)] = 0
    """Client connections from one IPv4 address or IPv6 /64 network; 0 = no limit."""
    min_body_rate: Annotated[int, Size(0)] = 1 << 10
    """Bytes a second at which a request's body must come, after 5 s of grace; 0 = no limit."""
    write_timeout: Annotated[float, Duration()] = 60.0
    """Time for which a client may take nothing of its answer; 0 = no limit."""
    keep_alive_timeout: Annotated[float, Duration()] = 60.0
    """Time for which an idle connection of a client is kept; 0 = no limit."""
    max_buffered_bytes: Annotated[int, Size(0)] = 256 * MiB
    """Bytes that bodies of waiting requests may take over all revisions; 0 = no limit."""
    max_wakes_per_minute: Annotated[int, Whole(0)] = 0
    """Wakes from zero per minute over all services; 0 = no limit."""


class Process(Group):
    """How replicas are run by `scaler: process`, and how they are connected."""

    port: Annotated[int, Whole(0, 65535)] = 0
    """Port of replicas that are pods; 0 = the model's containerPort. A local process is told its port by $PORT."""
    readiness_path: Annotated[str, Target()] = "/"
    """Path that answers 200 when a replica is ready."""
    startup_probe_period: Annotated[float, Duration(0.001)] = 0.02
    """Time between probes of a replica that starts."""
    readiness_probe_period: Annotated[float, Duration(0.001)] = 10.0
    """Time between probes of a replica that is ready."""
    probe_timeout: Annotated[float, Duration(0.001)] = 1.0
    """Time one probe may take."""
    failure_threshold: Annotated[int, Whole(1)] = 3
    """Probes that must fail in a row to take a replica out of service."""
    termination_grace_period: Annotated[float, Duration()] = 30.0
    """Time between SIGTERM and SIGKILL for a replica that has no request left."""
    scale_down_timeout: Annotated[float, Duration()] = 0.0
    """Time for a replica that is a pod and is to go to end its requests; 0 = as long as they take."""
    log_bytes: Annotated[int, Size(1024)] = 10 * MiB
    """Size at which a replica's log file is started anew."""
    upstream_tls: Annotated[str, Choice(("off", "on", "insecure"))] = "off"
    """Whether replicas speak TLS; insecure = whatever certificate they show."""
    upstream_ca: Annotated[Path | None, File()] = None
    """File of the CAs that sign the certificates of replicas; not set = those of the system."""
    upstream_name: Annotated[str | None, Host()] = None
    """Name that the certificates of replicas are for; not set = the address they are connected at."""
