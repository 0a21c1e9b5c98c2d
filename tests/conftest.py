"""What holds for all tests."""

from __future__ import annotations

import asyncio


def pytest_configure() -> None:
    """Keep asyncio from making a loop for whoever asks outside of one: nobody would close it."""
    asyncio.set_event_loop(None)
