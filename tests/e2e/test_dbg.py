import asyncio, time
from tests.e2e.load import Client, Load
from tests.e2e.manifests import Model
async def test_dbg(tenant, serve, session):
    (edge,) = await serve()
    client = Client(session, edge.listen)
    await tenant.deploy(Model("deleted", replicas=2, least=2))
    await tenant.ready_pods("deleted", 2)
    log = []
    async with Load().running(client, "deleted", clients=8, target="/?seconds=0.05") as load:
        for _ in range(30):
            first = (await tenant.ready_pods("deleted", 2))[0]
            b = time.time()
            await tenant.api.delete(tenant.path("pods", first))
            log.append((first, b, time.time()))
            await asyncio.sleep(0.5)
    print(len(load.answers), "answers")
    for a in load.answers:
        if not a.good:
            print(a.begun, a.ended, a.headers, a)
            for f, b, e in log:
                if abs(b - a.ended) < 3: print("   deleted", f, b, e)
    print([l for l in edge.said.splitlines() if "draining" in l][-3:])
