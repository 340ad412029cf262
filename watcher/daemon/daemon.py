"""Runs what the settings name on one store, and shows the API what runs now.

A reload replaces the units whose settings have changed, each of which is stopped in order; store,
listeners and all other units run on.
"""

import logging
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial

import anyio

from watcher.core.interfaces.source import Source
from watcher.core.interfaces.store import Store
from watcher.core.routing import Routing
from watcher.core.settings import HeartbeatSettings, Settings
from watcher.core.tasks import TaskKey, Watch
from watcher.core.wakeup import Wakeup
from watcher.daemon import fleet
from watcher.daemon.alone import Alone
from watcher.daemon.build import Shared, Surroundings
from watcher.daemon.channel_control import ChannelControl
from watcher.daemon.fleet import Fleet
from watcher.daemon.heartbeat import Heartbeat, late
from watcher.daemon.maintenance import fill_in, maintain
from watcher.daemon.pending import log_pending, warn_of_orphans
from watcher.daemon.reload import ReloadRequests
from watcher.daemon.running import RunningUnits
from watcher.daemon.status import StatusReader
from watcher.daemon.store_room import StoreRoom
from watcher.daemon.units_view import UnitsView
from watcher.delivery.body_memory import BodyMemory
from watcher.net.transport import create_transport
from watcher.polling.poller import Poller
from watcher.telemetry.fleet_metrics import FleetMetrics
from watcher.telemetry.health import Health
from watcher.telemetry.metrics import Component, Metrics
from watcher.telemetry.unexpected import UnexpectedErrors

logger = logging.getLogger(__name__)


class Daemon:
    """What outlives a reload, and the units that run now. Implements `api.dependencies.Daemon`."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        metrics: Metrics,
        surroundings: Surroundings | None = None,
    ) -> None:
        surroundings = surroundings or Surroundings()
        if (replicated := fleet.shared(store)) is not None:
            surroundings = replace(surroundings, wall=replicated.now)
        self.store = store
        self.metrics = metrics
        self.outbox = Wakeup()
        self.stopping = anyio.Event()
        self.wall = surroundings.wall
        self.unexpected = UnexpectedErrors(metrics)
        self._settings = settings
        self._fleet = self._fleet_of(store)
        self.health = Health(store.ping, lambda: self._view.monitors(), self._fleet.apart)
        self._shared = Shared(
            store=store,
            metrics=metrics,
            routing=Routing(),
            outbox=self.outbox,
            unexpected=self.unexpected,
            bodies=BodyMemory(),
            surroundings=surroundings,
            served=self._fleet.served,
            pages=settings.server.external_url,
        )
        self._units = RunningUnits(self._shared, self._beat)
        self._view = UnitsView(self._shared, self._units)
        control = ChannelControl(self._shared, self._units, lambda: self._settings)
        self.pause, self.resume = control.pause, control.resume
        self.test_channel, self.attempt_all = control.test, control.attempt_all
        reader = self._status_reader()
        self._kept, self.count_watches = reader.kept, reader.count_watches
        self.channels = reader.channels
        self.status, self.shown_status = self._kept.latest, self._kept.shown
        self.forget_status = self._kept.forget

    def _fleet_of(self, store: Store) -> Fleet | Alone:
        shared = fleet.shared(store)
        if shared is None:
            return Alone()
        return Fleet(
            shared,
            settings=lambda: self._settings,
            lag=lambda: self._view.behind(),
            unexpected=self.unexpected,
            metrics=FleetMetrics(self.metrics.registry),
            wall=self.wall,
        )

    def _status_reader(self) -> StatusReader:
        return StatusReader(
            self._shared,
            self._units,
            lambda: self._settings,
            self.health.unready,
            self._late,
            self._fleet,
        )

    @property
    def status_read_at(self) -> float:
        """When the status was read that is kept."""
        return self._kept.read_at

    @property
    def settings(self) -> Settings:
        """The effective settings."""
        return self._settings

    def track(self, watches: Iterable[Watch]) -> None:
        """Poll new and reactivated watches."""
        by_source: dict[str, list[Watch]] = {}
        for watch in watches:
            by_source.setdefault(watch.key.source, []).append(watch)
        for source, of_source in by_source.items():
            if unit := self._units.sources.get(source):
                unit.track(of_source)

    def forget(self, key: TaskKey) -> None:
        """Stop polling a task."""
        if poller := self._poller(key.source):
            poller.forget(key)

    def times(self, key: TaskKey) -> tuple[float | None, float | None]:
        """Return when the task was last answered for and when it is due, in Unix seconds."""
        poller = self._poller(key.source)
        return poller.times(key) if poller else (None, None)

    def _poller(self, source: str) -> Poller | None:
        unit = self._units.sources.get(source)
        return None if unit is None else unit.poller

    def source(self, name: str) -> Source | None:
        unit = self._units.sources.get(name)
        return None if unit is None else unit.source

    async def refresh_gauges(self) -> None:
        """Update the gauges that are computed only for a scrape."""
        await self.health.unready()
        self.metrics.store_writable(self.health.store_failure)
        await self._view.refresh_gauges(self._settings)

    def _late(self) -> str | None:
        return late(self.health.stalled_loops(), self._view.silent())

    # Running

    async def run(
        self, settings: Settings, requests: ReloadRequests, applied: Callable[[bool], None]
    ) -> None:
        """Run with `settings`, and with what `requests` bring, until they say stop; stop in order.

        Calls `applied` each time everything runs as settings demand, with whether a source has
        started or polls other tasks than before.
        """
        keep_running = self.unexpected.keep_running
        async with AsyncExitStack() as running:
            joined = self._fleet.joined(requests, self._units, self.outbox)
            await running.enter_async_context(joined)
            await running.enter_async_context(self._units.running())
            tasks = await running.enter_async_context(anyio.create_task_group())
            room = await self._room(settings.store.retention)
            maintenance = partial(
                maintain, self.store, room, settings.store.retention, self.forget, self.wall
            )
            tasks.start_soon(keep_running, Component.MAINTENANCE, maintenance, name="maintenance")
            filling = partial(fill_in, self.store)
            tasks.start_soon(keep_running, Component.MAINTENANCE, filling, name="filling in")
            tasks.start_soon(keep_running, Component.STATUS, self._kept.refresh, name="status")
            async with anyio.create_task_group() as applying:
                applying.start_soon(self._apply_all, settings, requests, applied)
                await requests.stopping.wait()
                # Nothing else starts, and what is being closed has no more time than the others.
                applying.cancel_scope.cancel()
            await self._units.close(self._fleet.polling_ended)
            await log_pending(self.store)
            tasks.cancel_scope.cancel()

    async def _room(self, retention: float) -> StoreRoom:
        """Return what makes room in the store, for maintenance and for writes that find none."""
        room = StoreRoom(
            self.store,
            retention=retention,
            overflows=self._view.overflows,
            overflowed=self.metrics.overflowed,
            wall=self.wall,
        )
        await self.store.make_room_with(room.make)
        return room

    async def _apply_all(
        self, settings: Settings, requests: ReloadRequests, applied: Callable[[bool], None]
    ) -> None:
        requests.begin(settings)
        while True:
            settings = await requests.next()
            sources_changed = await self._units.apply(settings)
            self._settings = settings
            await self._fleet.applied(self._units)
            applied(sources_changed)
            await warn_of_orphans(self.store, {channel.name for channel in settings.channels})

    async def _beat(self, settings: HeartbeatSettings) -> None:
        async with create_transport(connections=1, reached=settings) as transport:
            heartbeat = Heartbeat(
                settings=settings,
                transport=transport,
                health=self.health,
                late=self._late,
                elsewhere=self._fleet.problem,
                pending=lambda: self._view.pending(self._settings),
                metrics=self.metrics,
                wall=self.wall,
            )
            await heartbeat.run()
