"""Runs one generation after another on the same store, and shows the API what runs now.

A *generation* is what one reading of the settings runs: pollers, dispatchers, discovery, heartbeat.
SIGHUP stops one in order and starts the next; store and listeners stay, so nothing is lost between.
"""

import logging
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial

import anyio

from watcher.core.channels import ChannelState
from watcher.core.errors import StoreError
from watcher.core.interfaces.source import Source
from watcher.core.interfaces.store import Outbox, Store
from watcher.core.settings import HeartbeatSettings, Settings
from watcher.core.tasks import TaskKey, Watch
from watcher.core.wakeup import Wakeup
from watcher.daemon.build import Generation, Shared, Surroundings, build_generation
from watcher.daemon.heartbeat import Heartbeat
from watcher.daemon.maintenance import maintain
from watcher.daemon.reload import ReloadRequests, next_request
from watcher.delivery.body_memory import BodyMemory
from watcher.net.transport import create_transport
from watcher.telemetry.health import Health
from watcher.telemetry.liveness import LivenessMonitor
from watcher.telemetry.metrics import Component, Metrics
from watcher.telemetry.unexpected import UnexpectedErrors

logger = logging.getLogger(__name__)

DELIVERY_GRACE = 10.0
"""Seconds that deliveries in flight get on shutdown."""


class Daemon:
    """What outlives a generation, and the one that runs now. Implements
    `api.dependencies.Daemon`.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        metrics: Metrics,
        surroundings: Surroundings | None = None,
    ) -> None:
        surroundings = surroundings or Surroundings()
        self.store = store
        self.metrics = metrics
        self.outbox = Wakeup()
        self.health = Health(store.ping, self._monitors)
        self.stopping = anyio.Event()
        self._wall = surroundings.wall
        self._shared = Shared(
            store=store,
            metrics=metrics,
            outbox=self.outbox,
            unexpected=UnexpectedErrors(metrics),
            bodies=BodyMemory(),
            surroundings=surroundings,
        )
        self._generation = Generation(settings=settings)

    # For the API

    @property
    def settings(self) -> Settings:
        """The effective settings."""
        return self._generation.settings

    def track(self, watches: Iterable[Watch]) -> None:
        """Poll new and reactivated watches."""
        by_source: dict[str, list[Watch]] = {}
        for watch in watches:
            by_source.setdefault(watch.key.source, []).append(watch)
        for source, of_source in by_source.items():
            if poller := self._generation.pollers.get(source):
                poller.track(of_source)

    def forget(self, key: TaskKey) -> None:
        """Stop polling a task."""
        if poller := self._generation.pollers.get(key.source):
            poller.forget(key)

    def times(self, key: TaskKey) -> tuple[float | None, float | None]:
        """Return when the task was last answered for and when it is due, in Unix seconds."""
        poller = self._generation.pollers.get(key.source)
        return poller.times(key) if poller else (None, None)

    def source(self, name: str) -> Source | None:
        return self._generation.sources.get(name)

    def channels(self) -> Sequence[ChannelState]:
        return [dispatcher.state() for dispatcher in self._generation.dispatchers.values()]

    async def pause(self, channel: str, reason: str) -> None:
        """Send nothing to a configured channel until it is resumed."""
        await self._generation.dispatchers[channel].pause(reason)

    async def resume(self, channel: str) -> None:
        """Send to a configured channel again."""
        await self._generation.dispatchers[channel].resume()

    def attempt_all(self, channel: str) -> None:
        """Attempt a channel's pending deliveries now, if it is configured."""
        if dispatcher := self._generation.dispatchers.get(channel):
            dispatcher.attempt_all()

    async def refresh_gauges(self) -> None:
        """Update the gauges that are computed only for a scrape."""
        now = self._wall()
        depths = {depth.channel: depth for depth in await self.store.outbox()}
        for channel in {*depths, *self._generation.dispatchers}:
            depth = depths.get(channel)
            oldest_at = None if depth is None else depth.oldest_created_at
            age = 0.0 if oldest_at is None else now - oldest_at
            self.metrics.channel(channel).waiting(depth.pending if depth else 0, age)
        self.metrics.stored(await self.store.size())
        for source, poller in self._generation.pollers.items():
            self.metrics.source(source).watching(poller.counts(), poller.behind())

    def _monitors(self) -> Mapping[str, LivenessMonitor]:
        pollers = {
            f"poller {name} ({loop})": monitor
            for name, poller in self._generation.pollers.items()
            for loop, monitor in poller.monitors.items()
        }
        dispatchers = {
            f"dispatcher {name}": dispatcher.monitor
            for name, dispatcher in self._generation.dispatchers.items()
        }
        return pollers | dispatchers

    # Generations

    async def run_generation(
        self, settings: Settings, requests: ReloadRequests, ready: Callable[[], None]
    ) -> Settings | None:
        """Run with `settings` until a request comes, stop in order, and return it; None means
        stop. Calls `ready` once everything runs.
        """
        keep_running = self._shared.unexpected.keep_running
        async with AsyncExitStack() as resources:
            self._generation = await build_generation(settings, self._shared, resources)
            await _warn_of_orphaned_deliveries(self.store, self._generation.dispatchers)
            async with anyio.create_task_group() as tasks:
                for name, poller in self._generation.pollers.items():
                    tasks.start_soon(poller.run, name=f"poller {name}")
                for name, dispatcher in self._generation.dispatchers.items():
                    tasks.start_soon(dispatcher.run, name=f"dispatcher {name}")
                await self._restore()
                for name, discovery in self._generation.discoveries.items():
                    tasks.start_soon(
                        keep_running, Component.DISCOVERY, discovery.run, name=f"discovery {name}"
                    )
                if settings.heartbeat is not None:
                    beat = partial(self._beat, settings.heartbeat)
                    tasks.start_soon(keep_running, Component.HEARTBEAT, beat, name="heartbeat")
                retention = settings.store.retention
                maintenance = partial(maintain, self.store, retention, self.forget, self._wall)
                tasks.start_soon(
                    keep_running, Component.MAINTENANCE, maintenance, name="maintenance"
                )
                ready()
                request = await next_request(requests)
                await self._stop_generation()
                tasks.cancel_scope.cancel()
        return request

    async def _restore(self) -> None:
        """Poll the active watches of the store; those of unknown sources stay stored."""
        pollers, orphans = self._generation.pollers, 0
        async for watches in self.store.active_watches():
            for source, poller in pollers.items():
                poller.restore(watch for watch in watches if watch.source == source)
            orphans += sum(watch.source not in pollers for watch in watches)
        if orphans:
            logger.warning(
                "%d watches belong to sources that are not configured; kept until they are", orphans
            )

    async def _stop_generation(self) -> None:
        """Stop polling, attempt new deliveries once, and give those in flight their grace."""
        for poller in self._generation.pollers.values():
            poller.close()
        with anyio.move_on_after(DELIVERY_GRACE):
            async with anyio.create_task_group() as closing:
                for dispatcher in self._generation.dispatchers.values():
                    closing.start_soon(dispatcher.close)
        with suppress(StoreError):  # logged already by the last writer
            for depth in await self.store.outbox():
                if depth.pending:
                    logger.info(
                        "%d deliveries to %r are pending and will be sent later",
                        depth.pending,
                        depth.channel,
                    )

    # Heartbeat

    async def _beat(self, settings: HeartbeatSettings) -> None:
        async with create_transport(connections=1, reached=settings) as transport:
            heartbeat = Heartbeat(
                settings=settings,
                transport=transport,
                health=self.health,
                answered_at=self._answered_at,
                oldest_pending=self._oldest_pending,
                wall=self._wall,
            )
            await heartbeat.run()

    def _answered_at(self) -> Mapping[str, float | None]:
        return {
            name: poller.last_answer_at
            for name, poller in self._generation.pollers.items()
            if poller.counts()
        }

    async def _oldest_pending(self) -> float:
        """Return the age in seconds of the oldest delivery to a configured channel."""
        now, dispatchers = self._wall(), self._generation.dispatchers
        ages = (
            now - depth.oldest_created_at
            for depth in await self.store.outbox()
            if depth.oldest_created_at is not None and depth.channel in dispatchers
        )
        return max(ages, default=0.0)


async def _warn_of_orphaned_deliveries(store: Outbox, channels: Container[str]) -> None:
    for depth in await store.outbox():
        if depth.pending and depth.channel not in channels:
            logger.warning(
                "%d pending deliveries kept until channel %r is configured again",
                depth.pending,
                depth.channel,
            )
