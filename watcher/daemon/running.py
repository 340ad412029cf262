"""The units that run now. New settings replace those that they concern and leave the others
alone.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from hashlib import sha256
from itertools import groupby
from operator import attrgetter
from typing import TypeVar

import anyio
import anyio.abc

from watcher.core.errors import StoreError
from watcher.core.ownership import channel_group, source_group
from watcher.core.setting_types import Model
from watcher.core.settings import (
    ChannelSettings,
    ConnectionSettings,
    DiscoverySettings,
    HeartbeatSettings,
    Settings,
)
from watcher.daemon.build import Shared, discovery
from watcher.daemon.served import Served
from watcher.daemon.units import ChannelUnit, LoopUnit, RuleUnit, SourceUnit, Unit
from watcher.polling.discovery import rule_label
from watcher.telemetry.metrics import Component

logger = logging.getLogger(__name__)

AnyUnit = TypeVar("AnyUnit", bound=Unit)

_Rule = tuple[int, DiscoverySettings, str]
"""A discovery rule with its position in the configuration and the name of its source."""

_RESTORE_AGAIN_AFTER = 1.0
"""Seconds until watches are read again, if the store could not read them."""


class RunningUnits:
    """Runs units within `running`. `beat` is the loop of the heartbeat."""

    _tasks: anyio.abc.TaskGroup

    def __init__(
        self, shared: Shared, beat: Callable[[HeartbeatSettings], Awaitable[None]]
    ) -> None:
        self._shared = shared
        self._beat = beat
        self.sources: Mapping[str, SourceUnit] = {}
        self.channels: Mapping[str, ChannelUnit] = {}
        self.rules: Mapping[str, RuleUnit] = {}
        self._heartbeat: Mapping[str, LoopUnit] = {}
        self._sources_changed = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Units run within; those that still run at the end are cancelled."""
        async with anyio.create_task_group() as self._tasks:
            yield
            self._tasks.cancel_scope.cancel()

    async def apply(self, settings: Settings) -> bool:
        """Run what `settings` name, and return whether a source has started or polls other
        tasks than before.

        What runs with the same settings already runs on without a pause.
        """
        names = [channel.name for channel in settings.channels]
        self._shared.routing.replace(settings.effective_routes, names)
        self._sources_changed = False
        async with anyio.create_task_group() as changes:
            changes.start_soon(self._apply_sources, settings)
            changes.start_soon(self._apply_channels, settings.channels)
            changes.start_soon(self._apply_heartbeat, self._heartbeat_of(settings))
        return self._sources_changed

    async def close(self, polling_ended: Callable[[], Awaitable[None]]) -> None:
        """Stop polling, attempt new deliveries once, and give those in flight their grace.

        Awaits `polling_ended` between the two.
        """
        await _close(
            [*self.rules.values(), *self._heartbeat.values(), *self.sources.values()],
        )
        await polling_ended()
        await _close(self.channels.values())

    async def _start(self, unit: Unit, name: str) -> None:
        await self._tasks.start(unit.run, name=name)

    # Sources and their rules

    async def _apply_sources(self, settings: Settings) -> None:
        served = self._shared.served
        keys = _source_keys(settings, served)
        rules = _led_rules(settings, served)
        rule_keys = {label: (*rule, keys[rule[2]]) for label, rule in rules.items()}
        await _close([*_stale(self.rules, rule_keys), *_stale(self.sources, keys)])
        for label in self.rules.keys() - rules.keys():
            self._shared.metrics.forget_rule(label)
        for name in self.sources.keys() - keys.keys():
            self._shared.metrics.forget_source(name)
        started = await self._start_sources(settings, keys)
        served_before = {name: unit.slots for name, unit in self.sources.items()}
        unread = {
            name: unit.serve(served.slots(source_group(name)))
            for name, unit in self.sources.items()
        }
        served_now = {name: unit.slots for name, unit in self.sources.items()}
        self._sources_changed = started or served_now != served_before
        await self._restore(unread, started=started)
        await self._apply_rules(rules, rule_keys)

    async def _start_sources(self, settings: Settings, keys: Mapping[str, object]) -> bool:
        """Start the sources that do not run with their keys yet; return whether there was one."""
        started = False
        for source in settings.sources:
            if _same(self.sources, source.name, keys) is None:
                polled = source.polling_with(settings.polling)
                unit = SourceUnit(keys[source.name], source, polled, self._shared)
                await self._start(unit, f"source {source.name}")
                self.sources = {**self.sources, source.name: unit}  # a stop closes it from now on
                started = True
        self.sources = {name: self.sources[name] for name in keys}
        return started

    async def _apply_rules(self, rules: Mapping[str, _Rule], keys: Mapping[str, object]) -> None:
        units = {}
        for label, (number, rule, source) in rules.items():
            unit = _same(self.rules, label, keys)
            if unit is None:
                polled = self.sources[source]
                rule_now = discovery(
                    number, rule, source, polled.source, polled.poller, self._shared
                )
                unit = RuleUnit(keys[label], rule_now, self._shared)
                await self._start(unit, f"discovery {label}")
            units[label] = unit
        self.rules = units

    async def _restore(self, unread: Mapping[str, frozenset[int] | None], *, started: bool) -> None:
        """Poll the active watches of these slots of the sources; those of unknown sources stay
        stored.
        """
        while True:
            try:
                await self._restore_once(unread)
                if started:
                    await self._warn_of_orphans()
            except StoreError as error:
                logger.error("%s; will retry", error)
                await anyio.sleep(_RESTORE_AGAIN_AFTER)
            else:
                return

    async def _restore_once(self, unread: Mapping[str, frozenset[int] | None]) -> None:
        slots = {name: slots for name, slots in unread.items() if slots is None or slots}
        if slots:
            async for watches in self._shared.store.active_watches(slots):
                for name, of_source in groupby(watches, key=attrgetter("source")):
                    self.sources[name].restore(of_source)

    async def _warn_of_orphans(self) -> None:
        if orphans := await self._shared.store.active_elsewhere(self.sources):
            logger.warning(
                "%d watches belong to sources that are not configured; kept until they are", orphans
            )

    # Channels and the heartbeat

    async def _apply_channels(self, wanted: Sequence[ChannelSettings]) -> None:
        tenures = {one.name: self._shared.served.tenure(channel_group(one.name)) for one in wanted}
        settings = {one.name: one for one in wanted if tenures[one.name] is not None}
        keys = {
            name: (channel, _certificates(channel), tenures[name])
            for name, channel in settings.items()
        }
        async with anyio.create_task_group() as changes:
            for name in dict.fromkeys((*self.channels, *keys)):  # in order, not as a set
                if _same(self.channels, name, keys) is None:
                    changes.start_soon(self._replace_channel, name, settings.get(name), keys)
        self.channels = {name: self.channels[name] for name in settings}
        async with anyio.create_task_group() as draining:
            for name, unit in self.channels.items():
                draining.start_soon(unit.serve, self._shared.served.slots(channel_group(name)))

    async def _replace_channel(
        self, name: str, settings: ChannelSettings | None, keys: Mapping[str, object]
    ) -> None:
        if name in self.channels:
            await self.channels[name].close()
        if settings is None:
            self._shared.metrics.forget_channel(name)
            return
        unit = ChannelUnit(keys[name], settings, self._shared)
        await self._start(unit, f"channel {name}")
        # At once: operators pause what runs, and a stop closes it, while others are still replaced.
        self.channels = {**self.channels, name: unit}

    def _heartbeat_of(self, settings: Settings) -> HeartbeatSettings | None:
        """Return the heartbeat that this process sends: of several replicas, the one that leads the
        first source.
        """
        leads = self._shared.served.leads(source_group(settings.sources[0].name))
        return settings.heartbeat if leads else None

    async def _apply_heartbeat(self, settings: HeartbeatSettings | None) -> None:
        keys = {} if settings is None else {"heartbeat": (settings, _certificates(settings))}
        await _close(_stale(self._heartbeat, keys))
        unit = _same(self._heartbeat, "heartbeat", keys)
        if settings is not None and unit is None:
            beat = partial(self._beat, settings)
            unit = LoopUnit(keys["heartbeat"], Component.HEARTBEAT, beat, self._shared)
            await self._start(unit, "heartbeat")
        self._heartbeat = {} if unit is None else {"heartbeat": unit}


def _source_keys(settings: Settings, served: Served) -> Mapping[str, object]:
    """Return the key that the unit of each source has to have."""
    return {
        source.name: (
            source,
            source.polling_with(settings.polling),
            _certificates(source),
            served.tenure(source_group(source.name)),
        )
        for source in settings.sources
    }


def _led_rules(settings: Settings, served: Served) -> Mapping[str, _Rule]:
    """Return the rules that this process runs, by their labels."""
    first = settings.sources[0].name
    rules = [(number, rule, rule.source or first) for number, rule in enumerate(settings.discovery)]
    return {
        rule_label(number, rule): (number, rule, source)
        for number, rule, source in rules
        if served.leads(source_group(source))
    }


def _same(running: Mapping[str, AnyUnit], name: str, keys: Mapping[str, object]) -> AnyUnit | None:
    """Return the running unit of this name if it runs with the key that it has to have."""
    unit = running.get(name)
    return unit if unit is not None and name in keys and unit.key == keys[name] else None


def _stale(running: Mapping[str, AnyUnit], keys: Mapping[str, object]) -> list[AnyUnit]:
    return [unit for name, unit in running.items() if _same(running, name, keys) is None]


async def _close(units: Iterable[Unit]) -> None:
    async with anyio.create_task_group() as closing:
        for unit in units:
            closing.start_soon(unit.close)


def _certificates(settings: Model) -> str:
    """Return a digest of what the files of certificates and keys hold now."""
    digest = sha256()
    files = settings.certificate_files() if isinstance(settings, ConnectionSettings) else ()
    for file in sorted(files):
        try:
            digest.update(sha256(file.read_bytes()).digest())
        except OSError:
            digest.update(b"unreadable")
    return digest.hexdigest()
