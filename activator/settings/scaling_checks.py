"""Autoscaling keys that must fit together once all layers lie over each other: Knative's rules, per revision.

A finding points at the nearest layer that wrote one of the keys; what several revisions inherit is told once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from activator.settings.autoscaling import TARGET_MIN, Autoscaling, AutoscalingOverrides
from activator.settings.problems import Finding, Location

if TYPE_CHECKING:
    from collections.abc import Iterator

    from activator.settings.schema import Settings

Layer = tuple[Location, Autoscaling]
Clash = tuple[tuple[str, ...], str, str]


def check_scaling(settings: Settings) -> Iterator[Finding]:
    """Yield keys that contradict each other, in the file's defaults and in what each revision ends with."""
    told: set[tuple[Location, str]] = set()
    for layers in _stacks(settings):
        for finding in (*(found for layer in layers for found in _said_twice(*layer)), *_clashes_of(layers)):
            if (finding.at, finding.message) not in told:
                told.add((finding.at, finding.message))
                yield finding


def clashes(keys: Autoscaling) -> Iterator[Clash]:
    """Yield the keys (first the one to blame), what is wrong with them, and what would be allowed."""
    low, high, limit = keys.min_scale, keys.max_scale, keys.max_scale_limit
    if 0 < high < low:
        yield (
            ("max-scale", "min-scale"),
            f"max-scale {high} is less than min-scale {low}",
            f"max-scale 0, or {low} or more",
        )
    if limit and not 1 <= high <= limit:
        message = f"max-scale {high or '0 (unlimited)'} is beyond max-scale-limit {limit}"
        yield ("max-scale", "max-scale-limit"), message, f"max-scale 1 to {limit}"
    if keys.initial_scale == 0 and not keys.allow_zero_initial_scale:
        message = "initial-scale is 0 although allow-zero-initial-scale is false"
        yield ("initial-scale", "allow-zero-initial-scale"), message, "initial-scale 1 or more"
    yield from _activation(keys)
    if keys.concurrency_fraction * keys.container_concurrency_target_default < TARGET_MIN:
        message = "container-concurrency-target-percentage of container-concurrency-target-default is less than 0.01"
        yield ("container-concurrency-target-percentage", "container-concurrency-target-default"), message, ""


def _activation(keys: Autoscaling) -> Iterator[Clash]:
    start = keys.activation_scale
    if start is None:
        return
    allowed = f"min-scale ({keys.min_scale}) to max-scale ({keys.max_scale or 'unlimited'})"
    if start < keys.min_scale:
        message = f"activation-scale {start} is less than min-scale {keys.min_scale}"
        yield ("activation-scale", "min-scale"), message, allowed
    if 0 < keys.max_scale < start:
        message = f"activation-scale {start} is more than max-scale {keys.max_scale}"
        yield ("activation-scale", "max-scale"), message, allowed


def _stacks(settings: Settings) -> Iterator[tuple[Layer, ...]]:
    top: Layer = (("autoscaling",), settings.autoscaling)
    yield (top,)
    for index, service in enumerate(settings.services):
        middle: Layer = (("services", index, "autoscaling"), service.autoscaling)
        for number, revision in enumerate(service.revisions):
            at = ("services", index, "revisions", number, "autoscaling")
            yield top, middle, (at, revision.autoscaling)


def _clashes_of(layers: tuple[Layer, ...]) -> Iterator[Finding]:
    for keys, message, allowed in clashes(Autoscaling.merged(*(layer for _, layer in layers))):
        needs = tuple(place for key in keys for place in _sources(layers, key))
        yield Finding(_blamed(layers, keys), message, allowed=allowed, needs=needs)


def _sources(layers: tuple[Layer, ...], key: str) -> Iterator[Location]:
    for at, layer in reversed(layers):
        yield (*at, key)
        if layer.fields_by_key()[key] in layer.model_fields_set:
            return


def _blamed(layers: tuple[Layer, ...], keys: tuple[str, ...]) -> Location:
    for at, layer in reversed(layers):
        fields = layer.fields_by_key()
        for key in keys:
            if fields[key] in layer.model_fields_set:
                return (*at, key)
    return layers[0][0]


def _said_twice(at: Location, layer: Autoscaling) -> Iterator[Finding]:
    for name, proper in AutoscalingOverrides.synonyms.items():
        if {name, proper} <= layer.model_fields_set:
            key, same = name.rstrip("_"), proper.replace("_", "-")
            yield Finding((*at, key), f"is another name of {same}, which is written here, too")
