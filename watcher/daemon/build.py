"""Builds what one reading of the settings runs: sources, pollers, discovery rules and
dispatchers.
"""

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from random import Random

import httpx

from watcher.configuration import plugins
from watcher.core.clock import Clock, wall_clock
from watcher.core.events import system_event_factory
from watcher.core.interfaces.channel import Channel, Closing
from watcher.core.interfaces.source import Source
from watcher.core.interfaces.store import Store
from watcher.core.routing import Routing
from watcher.core.settings import ChannelSettings, DiscoverySettings, Settings, SourceSettings
from watcher.core.wakeup import Wakeup
from watcher.delivery.body_memory import BodyMemory
from watcher.delivery.context import DeliveryContext
from watcher.delivery.dispatcher import Dispatcher
from watcher.delivery.notes import StoredNotes
from watcher.net.transport import channel_transport, create_transport
from watcher.polling.context import PollingContext
from watcher.polling.discovery import Discovery, rule_label
from watcher.polling.poller import Poller
from watcher.telemetry.metrics import Metrics
from watcher.telemetry.unexpected import UnexpectedErrors

SOURCE_CONNECTIONS = 64


Transport = AbstractAsyncContextManager[httpx.AsyncBaseTransport]


def source_transport(source: SourceSettings) -> Transport:
    """Return the transport of a source; enter it before use."""
    return create_transport(connections=SOURCE_CONNECTIONS, reached=source)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the daemon has from outside: time, randomness and connections. A simulation has its own.

    Each component gets its own `random()`, which spreads load and hides nothing.
    """

    wall: Clock = wall_clock
    random: Callable[[], Random] = Random
    random_bytes: Callable[[int], bytes] = os.urandom
    source_transport: Callable[[SourceSettings], Transport] = source_transport
    channel_transport: Callable[[ChannelSettings], Transport] = channel_transport


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What outlives a generation. `outbox` is set after each stored event."""

    store: Store
    metrics: Metrics
    outbox: Wakeup
    unexpected: UnexpectedErrors
    bodies: BodyMemory
    surroundings: Surroundings


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What one reading of the settings runs, by name."""

    settings: Settings
    sources: Mapping[str, Source] = field(default_factory=dict)
    pollers: Mapping[str, Poller] = field(default_factory=dict)
    dispatchers: Mapping[str, Dispatcher] = field(default_factory=dict)
    discoveries: Mapping[str, Discovery] = field(default_factory=dict)


async def build_generation(
    settings: Settings, shared: Shared, resources: AsyncExitStack
) -> Generation:
    """Return a generation that is not running yet; its connections belong to `resources`."""
    names = [channel.name for channel in settings.channels]
    surroundings = shared.surroundings
    routing = Routing(settings.effective_routes, names)
    sources: dict[str, Source] = {}
    pollers: dict[str, Poller] = {}
    for source in settings.sources:
        transport = await resources.enter_async_context(surroundings.source_transport(source))
        sources[source.name] = _source(source, shared, transport)
        context = _polling_context(source, settings, shared, routing)
        pollers[source.name] = Poller(sources[source.name], context)
    dispatchers: dict[str, Dispatcher] = {}
    for channel in settings.channels:
        transport = await resources.enter_async_context(surroundings.channel_transport(channel))
        built = _channel(channel, shared, transport)
        if isinstance(built, Closing):
            resources.push_async_callback(built.aclose)
        dispatchers[channel.name] = _dispatcher(built, channel, shared, routing)
    discoveries = {
        rule_label(number, rule): _discovery(number, rule, settings, shared, sources, pollers)
        for number, rule in enumerate(settings.discovery)
    }
    return Generation(
        settings=settings,
        sources=sources,
        pollers=pollers,
        dispatchers=dispatchers,
        discoveries=discoveries,
    )


def _source(
    settings: SourceSettings, shared: Shared, transport: httpx.AsyncBaseTransport
) -> Source:
    create = plugins.load("sources", settings.type).create
    metrics = shared.metrics.source(settings.name)
    wall = shared.surroundings.wall
    source: Source = create(settings, transport=transport, metrics=metrics, wall=wall)
    return source


def _polling_context(
    source: SourceSettings, settings: Settings, shared: Shared, routing: Routing
) -> PollingContext:
    surroundings = shared.surroundings
    return PollingContext(
        source_name=source.name,
        store=shared.store,
        routing=routing,
        system_event=system_event_factory(routing.for_system_event, surroundings.random_bytes),
        polling=settings.polling,
        unreachable_after=source.unreachable_after,
        metrics=shared.metrics.source(source.name),
        unexpected=shared.unexpected,
        outbox=shared.outbox,
        wall=surroundings.wall,
        random=surroundings.random(),
        random_bytes=surroundings.random_bytes,
    )


def _discovery(
    number: int,
    rule: DiscoverySettings,
    settings: Settings,
    shared: Shared,
    sources: Mapping[str, Source],
    pollers: Mapping[str, Poller],
) -> Discovery:
    name = rule.source or settings.sources[0].name
    poller = pollers[name]
    return Discovery(
        source_name=name,
        rule=rule,
        source=sources[name],
        store=shared.store,
        track=poller.track,
        paused=lambda: poller.probing,
        ended=poller.discovery_ended,
        metrics=shared.metrics.rule(name, rule_label(number, rule)),
        wall=shared.surroundings.wall,
    )


def _channel(
    settings: ChannelSettings, shared: Shared, transport: httpx.AsyncBaseTransport
) -> Channel:
    create = plugins.load("channels", settings.type).create
    wall = shared.surroundings.wall
    notes = StoredNotes(shared.store, settings.name, wall)
    channel: Channel = create(settings, transport=transport, notes=notes, wall=wall)
    return channel


def _dispatcher(
    channel: Channel, settings: ChannelSettings, shared: Shared, routing: Routing
) -> Dispatcher:
    surroundings = shared.surroundings
    context = DeliveryContext(
        settings=settings,
        store=shared.store,
        system_event=system_event_factory(routing.for_system_event, surroundings.random_bytes),
        metrics=shared.metrics.channel(settings.name),
        unexpected=shared.unexpected,
        bodies=shared.bodies,
        outbox=shared.outbox,
        wall=surroundings.wall,
        random=surroundings.random(),
    )
    return Dispatcher(channel, context)
