"""The router without the control plane: the whole path of a request, in front of one replica that is always there.

The edge serves only replicas that it started itself, so the data plane is measured alone, put together as the edge
puts it together. Everything is on: demand and metrics counters, admission with a hard limit, all four clocks and their
sweep, forwarding headers, the collection of every second. Arguments: port, the replica's port.
"""

from __future__ import annotations

import asyncio
import sys
import time

import uvloop

from router.listener import Listener
from router.ports import Endpoint, Replicas
from router.proxy import Proxy
from router.servers import bind
from router.table import Limits, OnDisconnect, Revision, Service, Share, Table
from router.tuning import tune

SWEEP_SECONDS = 0.25
SWEEPS_PER_PERIOD = 4
LIMITS = Limits(
    container_concurrency=1000, first_byte=300, idle=60, total=600, max_body=0, on_disconnect=OnDisconnect.FINISH
)


class NeverAsleep:
    def wake(self, revision: str) -> None:
        raise RuntimeError(f"{revision} has a replica")


async def main() -> None:
    port, replica_port = map(int, sys.argv[1:])
    proxy = Proxy(NeverAsleep(), time.monotonic)
    revision = Revision("model-v1", "model", LIMITS)
    proxy.replace_table(Table((Service("model", ("model.example",), (Share(revision, 100),)),)))
    proxy.update(Replicas(revision.name, (Endpoint("model-v1-1", "127.0.0.1", replica_port),)))
    listener = Listener(proxy.serve, time.monotonic, lambda _: None)
    await listener.serve_on(bind("127.0.0.1", port))
    tune()
    while True:
        for _ in range(SWEEPS_PER_PERIOD):
            await asyncio.sleep(SWEEP_SECONDS)
            proxy.sweep()
            listener.sweep(time.monotonic())
        proxy.collect()


if __name__ == "__main__":
    uvloop.run(main())
