"""What holds for all tests."""

from __future__ import annotations

import asyncio

from hypothesis import HealthCheck, settings

# A machine that is busy with other tests is no failure: how long an example takes is not what is tested.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


def pytest_configure() -> None:
    """Keep asyncio from making a loop for whoever asks outside of one: nobody would close it."""
    asyncio.set_event_loop(None)
