"""The key that was meant: people come with Knative's annotations, its older camelCase names, and typing errors."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, get_args

from activator.settings.autoscaling import AutoscalingOverrides
from activator.settings.canary import Canary
from activator.settings.group import Group
from activator.settings.running import EdgeLimits, Process, Requests
from activator.settings.schema import Revision, Traffic

if TYPE_CHECKING:
    from activator.settings.problems import Location

LONGEST = 64

GROUPS: dict[str, type[Group]] = {
    "autoscaling": AutoscalingOverrides,
    "requests": Requests,
    "process": Process,
    "limits": EdgeLimits,
    "canary": Canary,
    "revisions": Revision,
    "traffic": Traffic,
}

ELSEWHERE = {
    "activate-scale": "activation-scale",
    "admin-address": "admin",
    "admin-listen": "admin",
    "args": "command",
    "cert": "certificate",
    "class": "pod-autoscaler-class",
    "cmd": "command",
    "cwd": "directory",
    "working-dir": "directory",
    "workdir": "directory",
    "environment": "env",
    "host": "hosts",
    "idle-timeout-seconds": "idle-timeout",
    "max-replicas": "max-scale",
    "min-replicas": "min-scale",
    "min-activate-scale": "activation-scale",
    "path": "paths",
    "path-prefix": "paths",
    "port": "listen",
    "replicas": "min-scale",
    "response-start-timeout-seconds": "first-byte-timeout",
    "revision-name": "revision",
    "target-concurrency": "target",
    "tick-interval": "tick",
    "timeout": "total-timeout",
    "timeout-seconds": "total-timeout",
    "weight": "percent",
    "window": "stable-window",
}


def group_at(root: type[Group], location: Location) -> type[Group] | None:
    """Return the group that lies at `location` of a file whose whole is `root`; None where there is none."""
    group: type[Group] | None = root
    for part in location:
        if isinstance(part, str):
            field = group.model_fields.get(group.fields_by_key().get(part, "")) if group else None
            group = _group_in(field.annotation) if field else None
    return group


def nearest(group: type[Group], key: str) -> str:
    """Return the key that was meant by `key` in `group`, with the name of another group if it belongs there, or ""."""
    if len(key) > LONGEST:
        return ""
    plain = _plain(key)
    own = group.fields_by_key()
    names = (plain, ELSEWHERE.get(plain, ""))
    for name in names:
        if name in own:
            return name
    for name in names:
        for other, keys in GROUPS.items():
            if keys is not group and name in keys.fields_by_key():
                return f"{other}.{name}" if other in own else f"{name} under {other}"
    return "".join(get_close_matches(plain, own, 1, 0.6))


def _plain(key: str) -> str:
    name = key.rpartition("/")[2]
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_", "-", name).lower()


def _group_in(annotation: object) -> type[Group] | None:
    candidates = (annotation, *get_args(annotation))
    return next((kind for kind in candidates if isinstance(kind, type) and issubclass(kind, Group)), None)
