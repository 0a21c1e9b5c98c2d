"""The catalog in the configuration file: its services, with every key resolved through the layers above it."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from activator.catalog import plan
from activator.catalog.model import Catalog, RevisionPlan
from activator.settings.autoscaling import Autoscaling
from activator.settings.canary_checks import stable_of
from activator.settings.running import Process, Requests
from router import table

if TYPE_CHECKING:
    from collections.abc import Collection

    from activator.settings import schema


def build(settings: schema.Settings) -> Catalog:
    """Return the catalog of settings that were loaded without a problem."""
    plans = {
        revision.name: _plan(settings, service, revision)
        for service in settings.services
        for revision in service.revisions
    }
    services = tuple(_service(settings, service) for service in settings.services)
    canaries = {service.name: plan.canary_of(service, stable_of(service) or "") for service in _tried(settings)}
    limits = plan.edge_limits_of(settings.limits)
    return Catalog(table.Table(services, limits), MappingProxyType(plans), MappingProxyType(canaries))


def _tried(settings: schema.Settings) -> list[schema.Service]:
    return [service for service in settings.services if service.canary.revision is not None]


def _service(settings: schema.Settings, service: schema.Service) -> table.Service:
    revisions = {
        revision.name: table.Revision(
            revision.name,
            service.name,
            plan.limits_of(_requests(settings, service, revision)),
        )
        for revision in service.revisions
    }
    return table.Service(
        name=service.name,
        hosts=service.hosts,
        shares=tuple(table.Share(revisions[share.revision], share.percent, share.tag) for share in service.shares()),
        paths=service.paths,
        show_revision=service.show_revision,
        tag_header=service.tag_header,
        models=service.models,
        other_models=service.other_models == "pass",
        sleeping_probes=table.Probes(service.sleeping_probes),
        sticky=plan.sticky_of(service.sticky),
    )


def _plan(settings: schema.Settings, service: schema.Service, revision: schema.Revision) -> RevisionPlan:
    keys = Autoscaling.merged(settings.autoscaling, service.autoscaling, revision.autoscaling)
    process = Process.merged(settings.process, service.process, revision.process)
    concurrency = _requests(settings, service, revision).container_concurrency
    percent = sum(share.percent for share in service.shares() if share.revision == revision.name)
    return RevisionPlan(
        name=revision.name,
        service=service.name,
        spec=plan.spec_of(keys, concurrency, reachable=percent > 0),
        bounds=plan.bounds_of(keys),
        replica=plan.replica_of(revision, process, pods=settings.scaler == "kubernetes"),
        wakes=_called(settings, revision.wakes) if revision.wakes else (),
    )


def _called(settings: schema.Settings, names: Collection[str]) -> tuple[str, ...]:
    """Return the revision that most requests go to of each of these services."""
    services = (service for service in settings.services if service.name in names)
    return tuple(max(service.shares(), key=lambda share: share.percent).revision for service in services)


def _requests(settings: schema.Settings, service: schema.Service, revision: schema.Revision) -> Requests:
    return Requests.merged(settings.requests, service.requests, revision.requests)
