"""Configuration files for tests, and what loading them says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from activator.settings.load import settings_of
from activator.settings.problems import SettingsError
from activator.settings.source import parse

if TYPE_CHECKING:
    from activator.settings.schema import Settings

BASE = Path("/srv/models")

FULL = """\
listen: 127.0.0.1:8080
admin: 127.0.0.1:9090
autoscaling:
  max-scale: 4
requests:
  container-concurrency: 1
services:
  - name: sentiment
    hosts: [sentiment.localhost]
    paths: [/v1]
    autoscaling: {scale-to-zero-grace-period: 5m}
    revisions:
      - name: sentiment-v1
        command: [python, -m, sentiment]
        env: {MODEL: small}
      - name: sentiment-v2
        command: python -m sentiment --large
        requests: {hold-timeout: 20m}
    traffic:
      - {revision: sentiment-v1, percent: 90, tag: stable}
      - {revision: sentiment-v2, percent: 10}
  - name: generator
    hosts: [generator.localhost]
    revisions:
      - name: generator-v1
        command: [python, -m, generator]
"""


def loaded(text: str) -> Settings:
    """Return the settings in `text`."""
    return settings_of(parse(text, "test.yaml"), BASE)


def problems(text: str) -> list[str]:
    """Return the problems of `text` as they are printed, without the file's name."""
    try:
        loaded(text)
    except SettingsError as error:
        return [str(problem).removeprefix("test.yaml:") for problem in error.problems]
    return []


def small(**changes: Any) -> dict[str, Any]:
    """Return the data of a file with one service `m` of one revision `m-1`; `changes` are keys of the file."""
    revision = {"name": "m-1", "command": ["model"]}
    service = {"name": "m", "hosts": ["m.localhost"], "revisions": [revision]}
    return {"services": [service], **changes}


def written(data: Any) -> str:
    """Return `data` as YAML."""
    return str(yaml.safe_dump(data, sort_keys=False))
