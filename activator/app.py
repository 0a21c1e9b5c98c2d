"""The composition root: puts router, loop, scaler and listeners together, and takes them down in order.

Only this module knows all parts, and only here a scaler has a name.
"""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from activator import logs
from activator.admin import Admin
from activator.catalog.file import build
from activator.cluster import Cluster
from activator.front import Alone, Front, naming
from activator.insight import Insight
from activator.journal import Journal
from activator.kube.edges import EdgePods
from activator.loop import Loop
from activator.metering import Metering
from activator.peers.crew import Crew
from activator.peers.league import League, self_of
from activator.refusals import Refusals
from activator.rollouts import Rollouts
from activator.savings import Savings
from activator.scalers.kubernetes.scaler import KubernetesScaler
from activator.scalers.memory import MemoryScaler
from activator.scalers.process import ProcessScaler
from activator.settings.problems import SettingsError
from activator.settings.tls_checks import files_of, warnings
from activator.stalls import Stalls
from activator.terms import terms_of
from activator.usage import Ledger
from activator.watched import Watched
from router.table import Table
from router.tasks import Tasks
from router.tls import CertificateError
from router.tuning import tune

if TYPE_CHECKING:
    from activator.catalog.model import Catalog
    from activator.front import Router
    from activator.kube.views import Views
    from activator.origin import Origin
    from activator.revision import Record, Revision
    from activator.rollouts import Told
    from activator.scalers.base import ReplicaSet
    from activator.settings.schema import Settings
    from router.ports import Clock

SWEEP_SECONDS = 0.25
WATCH_SECONDS = 0.2  # a change counts at the second look; more of them would be most of what an idle edge costs
SYNC_SECONDS = 10.0
ENDING_SECONDS = 0.1  # between two looks at which replicas have yet to end
FIXED = ("listen", "listen_plain", "admin", "workers", "peers", "scaler", "namespace", "kserve", "state_dir", "log_dir")


class Edge:
    """A running edge, by `settings` as they were read from `origin`. Times are of the monotonic clock. `views` are of
    the cluster where its replicas are, if they are in one."""

    def __init__(self, origin: Origin, settings: Settings, views: Views | None = None) -> None:
        self._origin = origin
        self._settings = settings
        self._current = settings  # in force: those of FIXED stay as they are here
        self._views = views
        self._watched = Watched((*origin.files, *files_of(settings)))
        self._log = logs.logger("edge")
        self._tasks = Tasks(self._failed)
        self._stopping = asyncio.Event()
        self._died = False
        self._began = False
        self._reloading = asyncio.Lock()
        self._reload_waits = False
        clock = time.monotonic
        self._front = self._new_front(settings, clock)
        router = self._front.router
        self._scaler = self._new_scaler(router, clock)
        self._loop = Loop(router, self._scaler, clock)
        self._table = Table()  # in force
        self._ledger = Ledger()
        self._rollouts = Rollouts((router, self._loop, self._scaler), self._publish, clock)
        parts = (self._loop, self._ledger, self._rollouts)
        self._savings = Savings(settings.state_dir, parts, time.time, self._log)
        seen = (router, self._loop, self._scaler, self._ledger, self._rollouts)
        self._insight = Insight(seen, clock, self._front.health, Stalls(SWEEP_SECONDS, clock, self._log))
        self._insight.expiries = self._front.expiries
        self._insight.saved = lambda: (self._savings if self._cluster is None else self._cluster.savings).saved
        self._admin = Admin(self._insight, time.time, self._save)
        self._journal, self._refusals = Journal(self._log), Refusals(self._log)
        if isinstance(self._scaler, ProcessScaler):
            self._insight.logs = self._journal.logs = self._scaler.logs_of
        self._loop.on_change = self._changed
        self._rollouts.on_event = self._moved
        self._metering = Metering(self._ledger, router.in_flight)
        self._loop.on_period = self._period
        self._scaler.subscribe(self._saw)
        self._cluster: Cluster | None = None
        if views is not None and isinstance(self._scaler, KubernetesScaler):
            self._cluster = Cluster(views.client, views.deployments, parts, self._log, services=views.services)
            leads = self._cluster.leads
            if isinstance(self._front, League):
                self._front.router.elected, leads = leads, self._front.router.leads
                self._insight.peers = self._front.tenure.facts
            self._loop.leads = self._scaler.leads = self._rollouts.leads = leads
            self._scaler.on_hindrance = self._cluster.hindered
            scaler = self._scaler
            self._cluster.others = {"corrections": scaler.corrections, "contested": scaler.held, "watches": views.up}
            self._insight.cluster, self._insight.namespace = self._cluster.facts, views.client.namespace

    def wake(self, revision: str) -> None:
        """Pass the router's call for capacity on to the loop."""
        self._loop.wake(revision)

    def _new_front(self, settings: Settings, clock: Clock) -> Front:
        if settings.peers.listen is not None:
            return League(self_of(settings, clock), self, self._tasks, self._log)
        return Crew(settings.workers, self, clock, self._log) if settings.workers > 1 else Alone(self, clock, self._log)

    def _new_scaler(self, router: Router, clock: Clock) -> ProcessScaler | MemoryScaler | KubernetesScaler:
        if self._views is not None:
            return KubernetesScaler(self._views, router, self._tasks, clock=clock)
        if self._settings.scaler == "process":
            return ProcessScaler(router, clock=clock, log_dir=self._settings.log_dir)
        return MemoryScaler(router, clock=clock)

    async def run(self) -> bool:
        """Serve until SIGTERM or SIGINT; return whether it was that which ended it, and no defect. OSError when an
        address is in use or a directory cannot be written."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._tasks.spawn(self.reload(), "reload"))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        try:
            async with self._reloading:  # who asks meanwhile is heard afterwards
                await self._start()
            await self._stopping.wait()
        finally:
            await self._end()
        return not self._died

    async def reload(self) -> None:
        """Read the configuration again and serve by it; when it has errors, say so and go on as before. Who asks while
        one waits to read it need not wait as well."""
        if self._reload_waits:
            return
        self._reload_waits = True
        async with self._reloading:  # what was read last must be applied last
            self._reload_waits = False
            await self._reload()

    async def _reload(self) -> None:
        self._watched.read()
        try:
            settings = await self._origin.read()
            kept = settings.model_copy(update={key: getattr(self._settings, key) for key in FIXED})
            self._apply(kept, await self._catalog_of(kept))
        except (SettingsError, CertificateError) as error:
            self._insight.reload_failures += 1
            problems = [str(each) for each in (error.problems if isinstance(error, SettingsError) else [error])]
            self._insight.config_problems = tuple(problems)
            self._log.error("configuration refused", problems=problems)
            if self._cluster is not None and self._origin.object is not None:
                self._cluster.refused(self._origin.object, problems)
            self._watched.follow_also(error.files if isinstance(error, SettingsError) else files_of(settings))
            await self._front.renew()
            return
        self._insight.reloads += 1
        self._insight.config_problems = ()
        fixed = [key for key in FIXED if getattr(settings, key) != getattr(self._settings, key)]
        fixed += ["tls"] if bool(settings.tls) != bool(self._settings.tls) else []
        self._insight.restart_keys = [key.replace("_", "-") for key in fixed]
        if fixed:
            self._log.warning("these keys need a restart", keys=self._insight.restart_keys)
        self._log.info("configuration taken over", file=self._origin.name, services=len(settings.services))

    async def _start(self) -> None:
        settings = self._settings
        if self._cluster is None:
            self._savings.claim()
        if isinstance(self._scaler, ProcessScaler):
            await self._scaler.start()
        if self._views is not None:
            self._views.start(self._tasks)
            if not await self._views.synced(within=SYNC_SECONDS):
                self._log.warning("serving without the Kubernetes API", problem=self._views.trouble)
        if self._cluster is None:
            self._savings.restore_usage()
            self._savings.restore_rollouts()
        else:
            await self._cluster.savings.follow()
        self._origin.follow(self._tasks)
        self._apply(settings, await self._catalog_of(settings))
        listen, plain, admin = settings.listen, settings.listen_plain, settings.admin
        if self._views is not None and isinstance(self._front, League) and not settings.peers.addresses:
            EdgePods(self._views.pods, self._front.port, self._front.list)
        ports = await self._front.open(settings)
        told = {"file": self._origin.name, "listen": str(listen._replace(port=ports["listen"]))}
        told |= {} if plain is None else {"plain": str(plain._replace(port=ports["listen-plain"]))}
        with naming(admin, "admin"):
            admin_port = await self._admin.open(admin.host, admin.port)
        if self._cluster is None:
            self._savings.restore()
            self._tasks.spawn(self._savings.keep(), "state")
        else:
            self._tasks.spawn(self._follow(self._cluster), "catalog")
        self._tasks.spawn(self._loop.run(), "loop")
        self._tasks.spawn(self._sweep(), "sweep")
        self._tasks.spawn(self._watch(), "watch")
        tune()
        self._insight.ready = self._views is None or self._views.known
        self._began = True
        self._log.info("serving", **told, admin=str(admin._replace(port=admin_port)))

    async def _end(self) -> None:
        served, self._insight.ready = self._insight.ready, False
        seconds = self._current.drain_timeout
        if self._began:  # else why it could not is told alone
            self._log.info("draining", seconds=seconds)
        await asyncio.gather(self._front.drain(seconds), self._hand_over())
        if served and self._cluster is None:
            self._savings.save()
        await self._tasks.close()
        await self._end_replicas()
        if served and self._cluster is None:
            self._savings.save_usage()
        self._savings.let_go()
        if self._views is not None:
            await self._views.client.close()
        self._front.close()
        await self._admin.close()
        await self._origin.close()
        if self._began:
            self._log.info("stopped")

    async def _end_replicas(self) -> None:
        """End all replicas, and count how long they take to: until then they hold their GPUs."""
        ended = asyncio.Event()
        await asyncio.gather(self._count_until(ended), self._scaler_ended(ended))

    async def _scaler_ended(self, ended: asyncio.Event) -> None:
        try:
            await self._scaler.close(drain=0)
        finally:
            ended.set()

    async def _count_until(self, ended: asyncio.Event) -> None:
        """Go on from where the loop has counted to, beginning at once: most replicas end in a moment."""
        counted = self._loop.counted
        while True:
            now = time.monotonic()
            self._metering.period(now - counted, time.time())
            counted = now
            if ended.is_set():
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), ENDING_SECONDS)

    def _stop(self) -> None:
        self._stopping.set()

    async def _hand_over(self) -> None:
        if self._cluster is not None:
            await self._cluster.hand_over()

    async def _catalog_of(self, settings: Settings) -> Catalog:
        """Return what `settings` and the Deployments, where there are any, amount to."""
        merged = settings if self._cluster is None else await self._cluster.merge(settings)
        return await asyncio.to_thread(build, merged)

    def _apply(self, settings: Settings, catalog: Catalog) -> None:
        """Serve by `settings`, of which `catalog` was made, from this loop turn on."""
        self._serve(settings, catalog)
        self._current = settings
        self._watched.follow((*self._origin.files, *files_of(settings)))
        for warning in warnings(settings, time.time()):
            self._log.warning("configuration", warning=warning)

    def _serve(self, settings: Settings, catalog: Catalog) -> None:
        self._front.take(terms_of(settings, self._table))  # may be refused; then all stays
        for problem in self._rollouts.configure(catalog):
            self._log.warning("saved state not used", problem=problem)

    def _publish(self, catalog: Catalog) -> None:
        """Serve by a catalog in which rollouts have their say."""
        self._table = catalog.table
        self._front.lead(catalog.table)
        self._insight.services = catalog.table.services
        self._insight.keep(catalog.plans)
        self._metering.declare({name: plan.service for name, plan in catalog.plans.items()})
        self._loop.configure(catalog.plans)

    async def _sweep(self) -> None:
        while True:
            self._insight.stalls.look()
            await asyncio.sleep(SWEEP_SECONDS)
            self._front.sweep()

    async def _watch(self) -> None:
        """Reload when the configuration or a file that it names changes."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if self._watched.changed() or self._origin.changed():
                await self.reload()

    async def _follow(self, cluster: Cluster) -> None:
        """Serve Deployments as they come, change and go. Until they are known, this edge is not ready, and does not
        stand for election: it would take over the clocks of models that it does not know."""
        await cluster.changes.known()
        await cluster.savings.follow()
        async with self._reloading:
            self._serve(self._current, await self._catalog_of(self._current))
        cluster.start(self._tasks)
        self._insight.ready = not self._stopping.is_set()
        while True:
            await cluster.changes.wait()
            async with self._reloading:
                self._serve(self._current, await self._catalog_of(self._current))

    def _period(self, seconds: float) -> None:
        now = time.monotonic()
        self._journal.look(now)
        self._refusals.look(self._insight.refusals(), self._insight.reasons(), now)
        if self._loop.leads():  # the ledger and the rollouts of several edges are the leader's
            self._rollouts.look(seconds)
            self._metering.period(seconds, time.time())

    def _changed(self, revision: Revision, before: ReplicaSet, record: Record) -> None:
        self._journal.changed(revision, before, record)
        if self._cluster is not None:
            self._cluster.changed(revision, before, record)

    def _moved(self, told: Told) -> None:
        self._journal.moved(told)
        if self._cluster is not None:
            self._cluster.moved(told)
        self._tasks.spawn(self._keep_rollouts(), "state")

    async def _keep_rollouts(self) -> None:
        await self._save()

    async def _save(self) -> bool:
        return await (self._savings.save_aside() if self._cluster is None else self._cluster.savings.save())

    def _saw(self, replicas: ReplicaSet) -> None:
        self._insight.saw(replicas)
        self._journal.saw(replicas)
        self._metering.saw(replicas)

    def _failed(self, task: str, error: BaseException) -> None:
        self._died = True
        self._insight.defects += 1
        self._log.error("a background task died, the edge stops", task=task, exc_info=error)
        self._stop()
