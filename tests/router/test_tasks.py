from __future__ import annotations

import asyncio

from router.tasks import Tasks


async def fail() -> None:
    raise ZeroDivisionError


async def test_a_failure_in_the_background_is_reported_under_its_name() -> None:
    failures: list[tuple[str, BaseException]] = []
    tasks = Tasks(lambda name, error: failures.append((name, error)))
    task = tasks.spawn(fail(), "sweep")
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert [(name, type(error)) for name, error in failures] == [("sweep", ZeroDivisionError)]
    await tasks.close()


async def test_all_end_together_and_that_is_no_failure() -> None:
    failures: list[str] = []
    tasks = Tasks(lambda name, _: failures.append(name))
    running = [tasks.spawn(asyncio.sleep(3600), f"t{number}") for number in range(3)]
    await tasks.close()
    assert all(task.cancelled() for task in running)
    assert failures == []
