"""An edge that may be killed: starts two replicas of its arguments' command, says `ready`, and waits.

Arguments: directory for logs, then the command.
"""

import asyncio
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from activator.scalers.base import Phase, ReplicaSet, ReplicaSpec
from activator.scalers.process import ProcessScaler
from router.ports import RevisionStats


class NoTraffic:
    def in_flight(self, revision: str) -> Mapping[str, int]:
        return {}

    def look(self, revision: str) -> RevisionStats:
        return RevisionStats()

    async def drained(self, revision: str, replica: str) -> None:
        return


def tell(snapshot: ReplicaSet) -> None:
    if snapshot.count(Phase.READY) == 2:
        sys.stdout.write("ready\n")
        sys.stdout.flush()


async def main() -> None:
    scaler = ProcessScaler(NoTraffic(), clock=time.monotonic, log_dir=Path(sys.argv[1]))
    await scaler.start()
    scaler.subscribe(tell)
    scaler.declare({"forking": ReplicaSpec(command=tuple(sys.argv[2:]))})
    scaler.scale("forking", 2)
    await asyncio.sleep(60)


asyncio.run(main())
