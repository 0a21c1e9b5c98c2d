"""The whole configuration file as types: what a single value may be. What must fit together is in `checks`.

Keys that must be written have an empty default, so that the rest of a file that lacks them can still be checked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from activator.settings.autoscaling import Autoscaling, AutoscalingOverrides
from activator.settings.canary import Canary
from activator.settings.commands import Command, EnvName, EnvText
from activator.settings.group import Group
from activator.settings.manifests import Manifests
from activator.settings.numbers import Duration, Whole
from activator.settings.peering import Peers
from activator.settings.places import Address, Cidr, File, Listen, Network
from activator.settings.rules import Choice, Flag
from activator.settings.running import EdgeLimits, Process, Requests
from activator.settings.texts import ClientKey, Host, Label, Model, Prefix, ServerName

DEFAULT_PRESET = "gpu-120s"


class Traffic(Group):
    """A revision's part of its service's traffic."""

    required: ClassVar[tuple[str, ...]] = ("revision",)

    revision: Annotated[str, Label()] = ""
    """Name of a revision of this service."""
    percent: Annotated[int, Whole(0, 100)] = 0
    """Percent of the service's requests; they sum to 100."""
    tag: Annotated[str | None, Label()] = None
    """Name by which the revision is reached directly, at the host `tag-host`."""


class Revision(Group):
    """One version of a service, and how to run it."""

    required: ClassVar[tuple[str, ...]] = ("name",)

    name: Annotated[str, Label()] = ""
    """Name, unique over all services."""
    command: Annotated[tuple[str, ...], Command()] = ()
    """Program and arguments; HOST, PORT and REPLICA are in its environment. No shell runs it."""
    directory: Annotated[Path, File()] = Field(default=Path(), validate_default=True)
    """Working directory of the command."""
    env: dict[Annotated[str, EnvName()], Annotated[str, EnvText()]] = Field(default_factory=dict)
    """Environment variables, over those of the edge."""
    wakes: tuple[Annotated[str, Label()], ...] = ()
    """Services that it calls: they are woken together with it."""
    autoscaling: AutoscalingOverrides = AutoscalingOverrides()
    """Overrides for this revision."""
    requests: Requests = Requests()
    """Overrides for this revision."""
    process: Process = Process()
    """Overrides for this revision."""


class Service(Group):
    """What hosts and paths lead to: revisions that share the traffic."""

    required: ClassVar[tuple[str, ...]] = ("name", "hosts", "revisions")

    name: Annotated[str, Label()] = ""
    """Name, unique."""
    hosts: tuple[Annotated[str, Host()], ...] = ()
    """Host names that lead here."""
    paths: tuple[Annotated[str, Prefix()], ...] = ()
    """Path prefixes that lead here, by whole segments; none = every path. The longest prefix wins."""
    models: tuple[Annotated[str, Model()], ...] = ()
    """Names of the models that are served here. Services with models may share hosts and paths: a request chooses by
    the name that it carries.
    """
    other_models: Annotated[str, Choice(("refuse", "pass"))] = "refuse"
    """What becomes of a request for a model that is not among them, on a host and path that no other service shares:
    pass = the service gets it.
    """
    sleeping_probes: Annotated[str, Choice(("ready", "not-ready", "wake"))] = "ready"
    """What questions for the readiness or metadata of a model without replicas are told by the edge; wake = nothing,
    they wake it.
    """
    show_revision: Annotated[bool, Flag()] = False
    """Whether responses name the revision that answered."""
    tag_header: Annotated[bool, Flag()] = True
    """Whether a request may choose a tag by the header Knative-Serving-Tag, too."""
    autoscaling: AutoscalingOverrides = AutoscalingOverrides()
    """Overrides for this service."""
    requests: Requests = Requests()
    """Overrides for this service."""
    process: Process = Process()
    """Overrides for this service."""
    revisions: tuple[Revision, ...] = ()
    """The versions of the service."""
    traffic: tuple[Traffic, ...] = ()
    """Who gets which part; may be left out for a single revision."""
    sticky: Annotated[str | None, ClientKey()] = None
    """By what clients are told apart, so that each keeps to one revision; not set = each request is drawn anew."""
    canary: Canary = Canary()
    """A revision that is tried beside another one."""

    def shares(self) -> tuple[Traffic, ...]:
        """Return who gets which part: all of it for the only revision where nothing is written."""
        if self.traffic or not self.revisions:
            return self.traffic
        return (Traffic.model_validate({"revision": self.revisions[0].name, "percent": 100}),)


class Tls(Group):
    """A certificate of the edge."""

    required: ClassVar[tuple[str, ...]] = ("certificate", "key")

    certificate: Annotated[Path, File()] = Path()
    """File of the certificate and its chain, in PEM form."""
    key: Annotated[Path, File()] = Path()
    """File of its key, in PEM form, without a password."""
    hosts: tuple[Annotated[str, ServerName()], ...] = ()
    """Names that it is shown for; none = those in its subjectAltName."""


class Settings(Group):
    """A configuration file. Paths are absolute after loading, and `autoscaling` lies over its preset."""

    required: ClassVar[tuple[str, ...]] = ("services",)

    listen: Annotated[Address, Listen()] = Address("127.0.0.1", 8080)
    """Address of the edge; TLS is spoken there if `tls` has certificates."""
    listen_plain: Annotated[Address | None, Listen()] = None
    """Address for plain HTTP beside it."""
    tls: tuple[Tls, ...] = ()
    """Certificates, chosen by the name a client asks for; the first is for clients that ask for none."""
    trusted_hops: tuple[Annotated[Network, Cidr()], ...] = ()
    """Networks of the proxies in front of the edge, whose forwarding fields are believed."""
    admin: Annotated[Address, Listen()] = Address("127.0.0.1", 9090)
    """Address of the admin API and of metrics."""
    workers: Annotated[int, Whole(1, 64)] = 1
    """Processes that serve clients; 1 = the edge itself does, with no other process in between."""
    peers: Peers = Peers()
    """Other edges that serve the same replicas."""
    scaler: Annotated[str, Choice(("process", "memory", "kubernetes"))] = "process"
    """What runs replicas: local processes, nothing but memory (for trials), or the Deployments of a namespace."""
    namespace: Annotated[str | None, Label()] = None
    """Namespace of the Deployments; not set = that of the pod, or of the kubeconfig's context."""
    kserve: Annotated[bool, Flag()] = False
    """Whether InferenceServices that KServe runs there in Standard mode are served and scaled."""
    state_dir: Annotated[Path, File()] = Field(default=Path("state"), validate_default=True)
    """Directory for what survives a restart."""
    log_dir: Annotated[Path, File()] = Field(default=Path("state/logs"), validate_default=True)
    """Directory for the logs of replicas; not written = `logs` in state-dir."""
    access_log: Annotated[bool, Flag()] = False
    """Whether each request writes a line to the log."""
    request_ids: Annotated[bool, Flag()] = False
    """Whether requests get an X-Request-Id and a traceparent, unless they bring them."""
    drain_timeout: Annotated[float, Duration()] = 45.0
    """Time for running requests to end after SIGTERM."""
    preset: str = DEFAULT_PRESET
    """Name of a published set of autoscaling keys, which lie under those of this file."""
    autoscaling: Autoscaling = Autoscaling()
    """Defaults for all services."""
    requests: Requests = Requests()
    """Defaults for all services."""
    process: Process = Process()
    """Defaults for all services."""
    limits: EdgeLimits = EdgeLimits()
    """Bounds of the edge as a whole."""
    manifests: Manifests = Manifests()
    """How InferenceServices and Knative Services are read and rendered."""
    services: tuple[Service, ...] = ()
    """The services."""
