"""The composition root: opens the resources, runs everything in one task group, and stops it in order.

What one reading of the settings brings to life (pollers, dispatchers, the heartbeat) is a *generation*. SIGHUP winds
one down and starts the next on the same store and the same listeners, so nothing is lost in between.
"""

import gc
import logging
import os
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import anyio
import anyio.abc
import httpx
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from prometheus_client import CollectorRegistry

from watcher import __version__
from watcher.api import server
from watcher.api.app import create_api, create_telemetry
from watcher.configuration import loader as configuration
from watcher.configuration import plugins
from watcher.core.channels import ChannelState
from watcher.core.clock import wall_clock
from watcher.core.errors import ConfigurationError, StoreError, WatcherError
from watcher.core.events import Event, SystemEventFactory, new_event_id, system_event
from watcher.core.interfaces.source import Source
from watcher.core.interfaces.store import Store
from watcher.core.routing import Routing
from watcher.core.settings import (
    ChannelSettings,
    DiscoverySettings,
    HeartbeatSettings,
    Settings,
    SourceSettings,
)
from watcher.core.tasks import TaskKey, Watch
from watcher.core.wakeup import Wakeup
from watcher.daemon.heartbeat import Heartbeat
from watcher.daemon.maintenance import keep_up
from watcher.delivery.context import DeliveryContext
from watcher.delivery.dispatcher import Dispatcher
from watcher.delivery.notes import StoredNotes
from watcher.net.transport import channel_transport, create_transport
from watcher.polling.context import PollingContext
from watcher.polling.discovery import Discovery, rule_label
from watcher.polling.poller import Poller
from watcher.telemetry import logs
from watcher.telemetry.health import Health
from watcher.telemetry.liveness import LivenessMonitor
from watcher.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

DELIVERY_GRACE = 10.0
"""Seconds that deliveries in flight are given at the end."""
FILES_LOOKED_AT_EVERY = 2.0
"""Seconds between two looks at whether a file that holds a secret or a certificate has changed."""

_SOURCE_CONNECTIONS = 64
_NEEDS_RESTART = ("store", "server", "telemetry")

ReloadRequests = MemoryObjectReceiveStream[Settings]
"""Each item is new settings to go on with; the end of the stream means: stop in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What one reading of the settings brought to life."""

    settings: Settings
    sources: Mapping[str, Source] = field(default_factory=dict)
    pollers: Mapping[str, Poller] = field(default_factory=dict)
    dispatchers: Mapping[str, Dispatcher] = field(default_factory=dict)
    discoveries: Mapping[str, Discovery] = field(default_factory=dict)


class Daemon:
    """What outlives a generation, and the generation that runs now; implements `watcher.api.Daemon`."""

    def __init__(self, settings: Settings, store: Store, metrics: Metrics) -> None:
        self.store = store
        self.metrics = metrics
        self.outbox = Wakeup()
        self.health = Health(store.ping, self._pulses)
        self.stopping = anyio.Event()
        self._generation = Generation(settings=settings)

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._generation.settings

    # The watchlist in memory, for the API

    def track(self, watches: Iterable[Watch]) -> None:
        """Hand new and stirred watches to the poller of their source."""
        for source, theirs in _by_source(watches).items():
            if poller := self._generation.pollers.get(source):
                poller.track(theirs)

    def forget(self, key: TaskKey) -> None:
        """Stop polling a task that was taken off the watchlist."""
        if poller := self._generation.pollers.get(key.source):
            poller.forget(key)

    def times(self, key: TaskKey) -> tuple[float | None, float | None]:
        """Return when the task was last asked for and will be next, in Unix seconds."""
        poller = self._generation.pollers.get(key.source)
        return poller.times(key) if poller else (None, None)

    def source(self, name: str) -> Source | None:
        """Return the source of this name; None where none is configured."""
        return self._generation.sources.get(name)

    def channels(self) -> Sequence[ChannelState]:
        """Return how each channel does."""
        return [dispatcher.state() for dispatcher in self._generation.dispatchers.values()]

    async def pause(self, channel: str, reason: str) -> None:
        """Send nothing to a configured channel until it is resumed."""
        await self._generation.dispatchers[channel].pause(reason)

    async def resume(self, channel: str) -> None:
        """Send to a configured channel again."""
        await self._generation.dispatchers[channel].resume()

    async def refresh_gauges(self) -> None:
        """Bring the gauges that are counted only when somebody looks up to date."""
        now = wall_clock()
        waiting = {depth.channel: depth for depth in await self.store.outbox()}
        for channel in {*waiting, *self._generation.dispatchers}:
            depth = waiting.get(channel)
            oldest = (
                now if depth is None or depth.oldest_created_at is None else depth.oldest_created_at
            )
            self.metrics.channel(channel).waiting(depth.pending if depth else 0, now - oldest)
        self.metrics.stored(await self.store.size())
        for source, poller in self._generation.pollers.items():
            self.metrics.source(source).watching(poller.counts(), poller.behind())

    def _pulses(self) -> Mapping[str, LivenessMonitor]:
        polling = {
            f"poller {name} ({loop})": pulse
            for name, poller in self._generation.pollers.items()
            for loop, pulse in poller.monitors.items()
        }
        return polling | {
            f"dispatcher {name}": one.monitor for name, one in self._generation.dispatchers.items()
        }

    # One generation

    async def run_generation(
        self, settings: Settings, orders: ReloadRequests, ready: Callable[[], None]
    ) -> Settings | None:
        """Run with `settings` until an order comes, wind down, and return it: new settings, or None to stop."""
        async with AsyncExitStack() as resources:
            self._generation = await self._build(settings, resources)
            await self._warn_of_orphans()
            async with anyio.create_task_group() as tasks:
                for name, poller in self._generation.pollers.items():
                    tasks.start_soon(poller.run, name=f"poller {name}")
                for name, dispatcher in self._generation.dispatchers.items():
                    tasks.start_soon(dispatcher.run, name=f"dispatcher {name}")
                await self._restore()
                _set_aside()
                for name, discovery in self._generation.discoveries.items():
                    tasks.start_soon(discovery.run, name=f"discovery {name}")
                if settings.heartbeat is not None:
                    tasks.start_soon(self._beat, settings.heartbeat, name="heartbeat")
                retention = settings.store.retention
                tasks.start_soon(
                    keep_up, self.store, retention, self.forget, wall_clock, name="upkeep"
                )
                ready()
                order = await _next(orders)
                await self._wind_down()
                tasks.cancel_scope.cancel()
        return order

    async def _build(self, settings: Settings, resources: AsyncExitStack) -> Generation:
        routing = Routing(
            settings.routes or configuration.default_routes(settings),
            [one.name for one in settings.channels],
        )
        sources = {}
        for source in settings.sources:
            transport = await resources.enter_async_context(
                create_transport(connections=_SOURCE_CONNECTIONS, reached=source)
            )
            sources[source.name] = self._source(source, transport)
        pollers = {
            one.name: self._poller(one, sources[one.name], settings, routing)
            for one in settings.sources
        }
        dispatchers = {}
        for channel in settings.channels:
            transport = await resources.enter_async_context(channel_transport(channel))
            dispatchers[channel.name] = self._dispatcher(channel, routing, transport)
        discoveries = {
            rule_label(number, rule): self._discovery(number, rule, settings, sources, pollers)
            for number, rule in enumerate(settings.discovery)
        }
        return Generation(
            settings=settings,
            sources=sources,
            pollers=pollers,
            dispatchers=dispatchers,
            discoveries=discoveries,
        )

    def _source(self, settings: SourceSettings, transport: httpx.AsyncBaseTransport) -> Source:
        create = plugins.load("sources", settings.type).create
        source: Source = create(
            settings,
            transport=transport,
            metrics=self.metrics.source(settings.name),
            wall=wall_clock,
        )
        return source

    def _poller(
        self, source: SourceSettings, polled: Source, settings: Settings, routing: Routing
    ) -> Poller:
        context = PollingContext(
            source_name=source.name,
            store=self.store,
            routing=routing,
            system_event=_notice(routing),
            polling=settings.polling,
            unreachable_after=source.unreachable_after,
            metrics=self.metrics.source(source.name),
            outbox=self.outbox,
            wall=wall_clock,
            random=Random(),  # noqa: S311  # spreads load; hides nothing
        )
        return Poller(polled, context)

    def _discovery(
        self,
        number: int,
        rule: DiscoverySettings,
        settings: Settings,
        sources: Mapping[str, Source],
        pollers: Mapping[str, Poller],
    ) -> Discovery:
        source = rule.source or settings.sources[0].name
        return Discovery(
            source_name=source,
            rule=rule,
            source=sources[source],
            store=self.store,
            track=pollers[source].track,
            paused=lambda: pollers[source].probing,
            metrics=self.metrics.rule(source, rule_label(number, rule)),
            wall=wall_clock,
        )

    def _dispatcher(
        self, channel: ChannelSettings, routing: Routing, transport: httpx.AsyncBaseTransport
    ) -> Dispatcher:
        create = plugins.load("channels", channel.type).create
        return Dispatcher(
            create(
                channel,
                transport=transport,
                notes=StoredNotes(self.store, channel.name, wall_clock),
                wall=wall_clock,
            ),
            DeliveryContext(
                settings=channel,
                store=self.store,
                system_event=_notice(routing),
                metrics=self.metrics.channel(channel.name),
                outbox=self.outbox,
                wall=wall_clock,
                random=Random(),  # noqa: S311  # spreads load; hides nothing
            ),
        )

    async def _beat(self, settings: HeartbeatSettings) -> None:
        async with create_transport(connections=1, reached=settings) as transport:
            heartbeat = Heartbeat(
                settings=settings,
                transport=transport,
                health=self.health,
                answered_at=self._answered_at,
                oldest_waiting=self._oldest_waiting,
                wall=wall_clock,
            )
            await heartbeat.run()

    def _answered_at(self) -> Mapping[str, float | None]:
        return {
            name: one.last_answer_at
            for name, one in self._generation.pollers.items()
            if one.counts()
        }

    async def _oldest_waiting(self) -> float:
        now = wall_clock()
        return max(
            (
                now - depth.oldest_created_at
                for depth in await self.store.outbox()
                if depth.oldest_created_at is not None
                and depth.channel in self._generation.dispatchers
            ),
            default=0.0,
        )

    async def _restore(self) -> None:
        """Fill the schedules from the store; what belongs to a source that is gone stays, and is warned of."""
        orphans = 0
        async for watches in self.store.active_watches():
            for source, poller in self._generation.pollers.items():
                poller.restore(watch for watch in watches if watch.source == source)
            orphans += sum(watch.source not in self._generation.pollers for watch in watches)
        if orphans:
            logger.warning(
                "%d watches belong to sources that are not configured; they wait for them", orphans
            )

    async def _warn_of_orphans(self) -> None:
        for depth in await self.store.outbox():
            if depth.pending and depth.channel not in self._generation.dispatchers:
                logger.warning(
                    "%d deliveries wait for channel %r, which is not configured; they go when the name returns",
                    depth.pending,
                    depth.channel,
                )

    async def _wind_down(self) -> None:
        """Stop in order: no new polls; what was never tried is tried once; what is in flight gets its grace."""
        for poller in self._generation.pollers.values():
            poller.close()
        with anyio.move_on_after(DELIVERY_GRACE):
            async with anyio.create_task_group() as closing:
                for dispatcher in self._generation.dispatchers.values():
                    closing.start_soon(dispatcher.close)
        with suppress(StoreError):  # said already, by whoever wrote last
            for depth in await self.store.outbox():
                if depth.pending:
                    logger.info(
                        "%d deliveries to %r remain; they go later", depth.pending, depth.channel
                    )


def _set_aside() -> None:
    """Keep the garbage collector from looking through the watchlist again and again; an earlier one it may collect."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def _notice(routing: Routing) -> SystemEventFactory:
    def build(kind: str, *, at: float, data: Mapping[str, object], subject: str) -> Event:
        channels = routing.for_system_event(kind, subject)
        return system_event(
            kind, at=at, event_id=new_event_id(), data=data, order_key=subject, channels=channels
        )

    return build


def _by_source(watches: Iterable[Watch]) -> dict[str, list[Watch]]:
    grouped: dict[str, list[Watch]] = {}
    for watch in watches:
        grouped.setdefault(watch.key.source, []).append(watch)
    return grouped


async def _next(orders: ReloadRequests) -> Settings | None:
    try:
        return await orders.receive()
    except anyio.EndOfStream:
        return None


async def serve(
    settings: Settings,
    orders: ReloadRequests,
    *,
    task_status: anyio.abc.TaskStatus[str] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Run the daemon until `orders` ends; reports the API's base URL once everything is up.

    Raises `ConfigurationError` where an address cannot be used, and `StoreError` where the store cannot.
    """
    create_store = plugins.load("stores", settings.store.url.partition(":")[0]).create
    async with AsyncExitStack() as resources:
        listener = resources.enter_context(
            server.bind("server", settings.server.host, settings.server.port)
        )
        metrics = Metrics(CollectorRegistry(), __version__)
        opening = create_store(
            settings.store.url, max_size=settings.store.max_size, failed=metrics.store_errors.inc
        )
        daemon = Daemon(settings, await resources.enter_async_context(opening), metrics)
        url = server.url_of(listener)

        async with anyio.create_task_group() as tasks:
            await tasks.start(
                server.serve, create_api(daemon), listener, daemon.stopping, name="api"
            )
            if (telemetry := settings.telemetry) is not None:
                second = resources.enter_context(
                    server.bind("telemetry", telemetry.host, telemetry.port)
                )
                logger.info("metrics and probes listen on %s", server.url_of(second))
                await tasks.start(
                    server.serve,
                    create_telemetry(daemon),
                    second,
                    daemon.stopping,
                    name="telemetry",
                )
            current: Settings | None = settings
            started = _Once(lambda: task_status.started(url))
            logger.info("the API listens on %s", url)
            while current is not None:
                current = await daemon.run_generation(current, orders, started)
            daemon.stopping.set()
            daemon.outbox.set()  # for the event streams, which wait for it


class _Once:
    """Calls what it was given at its first call alone."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call: Callable[[], None] | None = call

    def __call__(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            call()


def run(config: Path | None, environ: Mapping[str, str]) -> None:
    """Run the daemon as a process until a signal ends it.

    Raises `ConfigurationError` and `StoreUnusableError` where it cannot start.
    """
    settings = _load(config, environ)
    try:
        anyio.run(
            _process,
            settings,
            lambda: _load(config, environ),
            backend_options={"use_uvloop": os.name != "nt"},
        )
    except BaseExceptionGroup as group:
        # Raised within task groups; whoever started the command is to see the one line that matters.
        reasons, others = group.split(WatcherError)
        if reasons is None or others is not None:
            raise
        raise _first(reasons) from None


def _first(group: BaseExceptionGroup[WatcherError]) -> WatcherError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


def _load(config: Path | None, environ: Mapping[str, str]) -> Settings:
    settings = configuration.load(configuration.find_file(config, environ), environ)
    logs.configure(settings.log, secrets=configuration.secret_values(settings))
    for warning in configuration.warnings(settings):
        logger.warning("%s", warning)
    return settings


async def _process(settings: Settings, load: Callable[[], Settings]) -> None:
    give, orders = anyio.create_memory_object_stream[Settings](1)
    reading = _Reading(settings, load)
    async with anyio.create_task_group() as tasks:
        await tasks.start(_obey_signals, reading, give, name="signals")
        tasks.start_soon(_follow_files, reading, give, name="files")
        await serve(settings, orders)
        tasks.cancel_scope.cancel()


class _Reading:
    """Reads the configuration again, with what only a restart can change left as it was."""

    def __init__(self, settings: Settings, load: Callable[[], Settings]) -> None:
        self._first = settings
        self._load = load
        self.files = settings.files

    def again(self) -> Settings | None:
        """Return the settings as they are now, None where they cannot be used; says which."""
        try:
            reloaded = self._load()
        except ConfigurationError as error:
            for problem in error.problems:
                logger.error("nothing was changed: %s", problem)
            return None
        kept = {name: getattr(self._first, name) for name in _NEEDS_RESTART}
        for name, value in kept.items():
            if getattr(reloaded, name) != value:
                logger.warning("a change to %s needs a restart; it stays as it was", name)
        logger.info("the configuration was read again")
        self.files = reloaded.files
        return reloaded.model_copy(update=kept)


async def _obey_signals(
    reading: _Reading,
    orders: MemoryObjectSendStream[Settings],
    *,
    task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    stopping = False
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        task_status.started()
        async for number in signals:
            if number == signal.SIGHUP:
                if not stopping and (reloaded := reading.again()) is not None:
                    await orders.send(reloaded)
            elif stopping:
                os._exit(
                    128 + number
                )  # a second one: at once, whatever is under way; the store survives that
            else:
                stopping = True
                logger.info("stopping: deliveries in flight get %g s", DELIVERY_GRACE)
                orders.close()


async def _follow_files(reading: _Reading, orders: MemoryObjectSendStream[Settings]) -> None:
    """Read the configuration again when a file that holds a secret or a certificate has changed."""
    seen = await _stamps(reading.files)
    with suppress(anyio.ClosedResourceError):  # stopping
        while True:
            await anyio.sleep(FILES_LOOKED_AT_EVERY)
            files = reading.files
            if (stamps := await _stamps(files)) != seen:
                logger.info("a file that holds a secret or a certificate has changed")
                if (reloaded := reading.again()) is not None:
                    await orders.send(reloaded)
            seen = stamps if files == reading.files else await _stamps(reading.files)


async def _stamps(files: Iterable[Path]) -> Mapping[Path, tuple[int, int] | None]:
    """Return what tells a changed file from one that is the same; Kubernetes swaps a link."""
    found: dict[Path, tuple[int, int] | None] = {}
    for file in files:
        try:
            status = await anyio.Path(file).stat()
            found[file] = (status.st_ino, status.st_mtime_ns)
        except OSError:
            found[file] = None
    return found
