"""What a result was measured on, and how busy that was with other work."""

from __future__ import annotations

import os
import platform
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.peers import versions

BUSY_SECONDS = 2.0


def describe() -> dict[str, Any]:
    """Return date, processor, kernel and versions, and the share of all cores that was busy just before the run."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "kernel": f"{platform.system()} {platform.release()}",
        "busy_before": round(_busy(), 2),
        "versions": versions()
        | {"python": platform.python_version(), "uvloop": version("uvloop"), "httptools": version("httptools")},
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _busy() -> float:
    before = _ticks()
    time.sleep(BUSY_SECONDS)
    idle, whole = (now - then for now, then in zip(_ticks(), before, strict=True))
    return 1 - idle / whole


def _ticks() -> tuple[int, int]:
    """Return the idle and all ticks of all cores since boot (proc_stat(5))."""
    ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)
