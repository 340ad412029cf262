"""Follows what other replicas have stored: tasks that were added or removed, channels that were
paused or resumed, deliveries that were queued again or removed, events.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Protocol

import anyio

from watcher.core.errors import StoreError
from watcher.core.interfaces.ownership import Ownership
from watcher.core.interfaces.store import Watchlist
from watcher.core.ownership import Signal
from watcher.core.tasks import TaskKey, WatchState
from watcher.core.wakeup import Wakeup
from watcher.daemon.running import RunningUnits
from watcher.telemetry.throttle import LogThrottle

logger = logging.getLogger(__name__)

LOOK_INTERVAL = 1.0
"""Seconds between two looks without a hint."""
_WATCHES_AT_ONCE = 1000


class FollowedStore(Watchlist, Ownership, Protocol):
    """The part of the store that is used here."""


class Follower:
    """Reads signals in `begin`, then within `run`; `outbox` is set when events were stored."""

    def __init__(self, store: FollowedStore, units: RunningUnits, outbox: Wakeup) -> None:
        self._store = store
        self._units = units
        self._outbox = outbox
        self._hinted = Wakeup()
        self._after: int | None = None
        self._last_event = 0
        self._log_throttle = LogThrottle(anyio.current_time)

    async def begin(self) -> None:
        """Note where the signals are now; while the store fails, try again. What is stored from now
        on is followed, so watches have to be read after this.
        """
        while True:
            if await self._looked():
                return
            await anyio.sleep(LOOK_INTERVAL)

    async def listen(self, moved: Callable[[], None]) -> None:
        """Look at once when another replica gives a hint, until cancelled; call `moved` when that
        is about what it owns.
        """
        await self._store.follow(self._hinted.set, moved)

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            generation = self._hinted.generation
            await self._looked()
            with anyio.move_on_after(LOOK_INTERVAL):
                await self._hinted.wait(generation)

    async def _looked(self) -> bool:
        try:
            await self._look()
        except StoreError as error:
            if self._log_throttle.ready("signals"):
                logger.error("%s; changes by other replicas are followed later", error)
            return False
        return True

    async def _look(self) -> None:
        new = await self._store.signals(self._after)
        await self._follow(new.signals)
        self._after = new.last
        if new.last_event != self._last_event:
            self._last_event = new.last_event
            self._outbox.set()

    async def _follow(self, signals: Iterable[Signal]) -> None:
        tasks: dict[str, dict[str, None]] = {}
        channels: dict[str, bool] = {}
        for signal in signals:
            kind, _, name = signal.group.partition(" ")
            if kind == "source":
                tasks.setdefault(name, {}).update(dict.fromkeys(signal.task_ids))
            else:
                channels[name] = channels.get(name, False) or signal.attempt
        for source, task_ids in tasks.items():
            await self._follow_tasks(source, list(task_ids))
        for channel, attempt in channels.items():
            if unit := self._units.channels.get(channel):
                await unit.dispatcher.follow(attempt=attempt)

    async def _follow_tasks(self, source: str, task_ids: list[str]) -> None:
        unit = self._units.sources.get(source)
        if unit is None:
            return
        for start in range(0, len(task_ids), _WATCHES_AT_ONCE):
            keys = [TaskKey(source, one) for one in task_ids[start : start + _WATCHES_AT_ONCE]]
            watches = await self._store.watches(keys)
            for key in keys:
                watch = watches.get(key)
                if watch is None or watch.state is not WatchState.ACTIVE:
                    unit.poller.forget(key)
            unit.track(watches.values())
