"""Builds sources, channels and discovery rules from their settings and from what they share."""

import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from random import Random

import httpx

from watcher.configuration import plugins
from watcher.core.clock import Clock, wall_clock
from watcher.core.events import system_event_factory
from watcher.core.interfaces.budgets import SharedBudgets
from watcher.core.interfaces.channel import Channel, Linking, Notes
from watcher.core.interfaces.source import Source
from watcher.core.interfaces.store import Store
from watcher.core.ownership import channel_group
from watcher.core.routing import Routing
from watcher.core.settings import (
    ChannelSettings,
    DiscoverySettings,
    PollingSettings,
    SourceSettings,
)
from watcher.core.wakeup import Wakeup
from watcher.daemon.served import Served
from watcher.delivery.body_memory import BodyMemory
from watcher.delivery.channel_check import ChannelCheck, check_channel
from watcher.delivery.context import DeliveryContext
from watcher.delivery.notes import InMemoryNotes, StoredNotes
from watcher.net.shared_budgets import BudgetsOfSource
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
    """What all units share. `outbox` is set after each stored event; `served` is what this process
    serves; `pages` is the URL of the watcher's pages for people, where it is known.
    """

    store: Store
    metrics: Metrics
    routing: Routing
    outbox: Wakeup
    unexpected: UnexpectedErrors
    bodies: BodyMemory
    surroundings: Surroundings
    served: Served
    pages: str | None = None


def create_source(
    settings: SourceSettings, shared: Shared, transport: httpx.AsyncBaseTransport
) -> Source:
    """Return the source of these settings."""
    create = plugins.load("sources", settings.type).create
    metrics = shared.metrics.source(settings.name)
    store, wall = shared.store, shared.surroundings.wall
    budgets = BudgetsOfSource(store, settings.name) if isinstance(store, SharedBudgets) else None
    source: Source = create(
        settings, transport=transport, metrics=metrics, wall=wall, budgets=budgets
    )
    return source


def polling_context(
    source: SourceSettings, polling: PollingSettings, shared: Shared
) -> PollingContext:
    """Return what the parts of the poller of `source` share."""
    surroundings, routing = shared.surroundings, shared.routing
    return PollingContext(
        source_name=source.name,
        store=shared.store,
        routing=routing,
        system_event=system_event_factory(routing.for_system_event, surroundings.random_bytes),
        polling=polling,
        unreachable_after=source.unreachable_after,
        metrics=shared.metrics.source(source.name),
        unexpected=shared.unexpected,
        outbox=shared.outbox,
        wall=surroundings.wall,
        random=surroundings.random(),
        random_bytes=surroundings.random_bytes,
    )


def discovery(
    number: int,
    rule: DiscoverySettings,
    name: str,
    source: Source,
    poller: Poller,
    shared: Shared,
) -> Discovery:
    """Return the rule at position `number`, which lists tasks of the source `name`."""
    return Discovery(
        source_name=name,
        label=rule_label(number, rule),
        rule=rule,
        source=source,
        store=shared.store,
        track=poller.track,
        paused=lambda: poller.probing,
        ended=poller.discovery_ended,
        metrics=shared.metrics.rule(name, rule_label(number, rule)),
        wall=shared.surroundings.wall,
    )


def create_channel(
    settings: ChannelSettings,
    shared: Shared,
    transport: httpx.AsyncBaseTransport,
    notes: Notes | None = None,
) -> Channel:
    """Return the channel of these settings; without `notes` it keeps them in the store."""
    create = plugins.load("channels", settings.type).create
    wall = shared.surroundings.wall
    notes = notes or StoredNotes(shared.store, settings.name, wall)
    channel: Channel = create(settings, transport=transport, notes=notes, wall=wall)
    if shared.pages is not None and isinstance(channel, Linking):
        channel.link_to(shared.pages)
    return channel


async def test_channel(settings: ChannelSettings, shared: Shared, kind: str) -> ChannelCheck:
    """Send an example event of type `kind` to a channel, once, beside what it delivers."""
    wall = shared.surroundings.wall
    async with shared.surroundings.channel_transport(settings) as transport:
        channel = create_channel(settings, shared, transport, InMemoryNotes())
        return await check_channel(channel, settings.name, kind, wall)


def delivery_context(settings: ChannelSettings, shared: Shared) -> DeliveryContext:
    """Return what the parts of the dispatcher of a channel share."""
    surroundings, routing = shared.surroundings, shared.routing
    return DeliveryContext(
        settings=settings,
        store=shared.store,
        system_event=system_event_factory(routing.for_system_event, surroundings.random_bytes),
        metrics=shared.metrics.channel(settings.name),
        unexpected=shared.unexpected,
        bodies=shared.bodies,
        outbox=shared.outbox,
        wall=surroundings.wall,
        random=surroundings.random(),
        trusted=partial(shared.served.trusted, channel_group(settings.name)),
    )
