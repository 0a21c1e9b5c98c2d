"""What happens to a canary as an Event on its Deployment: its owner sees there what was done to it, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from activator.kube.events import NORMAL, WARNING, Report
from activator.traffic.rollout import BEGUN, Phase

if TYPE_CHECKING:
    from activator.kube.resources import Object
    from activator.rollouts import Told


def report(told: Told, about: Object) -> Report:
    """Return what to tell of the canary whose Deployment is `about`: reasons are CanaryBegun, CanaryStep,
    CanaryRolledBack and so on. That a rollout begins is seen by every edge, and told once."""
    kind = told.event.kind
    reason = "Canary" + "".join(word.capitalize() for word in kind.split("-"))
    severity = WARNING if kind == Phase.ROLLED_BACK else NORMAL
    return Report(about, severity, "Rollout", reason, told.event.why, once=kind == BEGUN)
