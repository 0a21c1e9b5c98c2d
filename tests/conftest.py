"""What holds for all tests."""

from __future__ import annotations

import asyncio
import signal

from hypothesis import HealthCheck, settings

# A machine that is busy with other tests is no failure: how long an example takes is not what is tested.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


def pytest_configure() -> None:
    """Keep asyncio from making a loop for whoever asks outside of one: nobody would close it. Take signals as from a
    terminal, also when a shell has started this in its background: what is started here inherits that."""
    asyncio.set_event_loop(None)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
