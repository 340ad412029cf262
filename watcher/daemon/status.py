"""Reads the status of the daemon, for all who want it at once."""

import socket
from collections.abc import Awaitable, Callable, Sequence

import anyio

from watcher import __version__
from watcher.core.channels import ChannelState
from watcher.core.settings import Settings
from watcher.core.status import ReplicaStatus, SourceStatus, Status
from watcher.daemon import elsewhere
from watcher.daemon.build import Shared
from watcher.daemon.fleet import Fleet
from watcher.daemon.running import RunningUnits
from watcher.daemon.units import SourceUnit

MIN_AGE = 1.0
"""Seconds for which a status is shown again."""
COST_SHARE = 50.0
"""A status is shown again for this many times what it took to read."""


class StatusReader:
    """Reads the status at most once in `MIN_AGE`, and for at most 2 % of the time."""

    def __init__(
        self,
        shared: Shared,
        units: RunningUnits,
        settings: Callable[[], Settings],
        unready: Callable[[], Awaitable[str | None]],
        fleet: Fleet | None,
    ) -> None:
        self._shared = shared
        self._fleet = fleet
        self._unready = unready
        self._units = units
        self._settings = settings
        self._started_at = shared.surroundings.wall()
        self._started = anyio.current_time()
        self._lock = anyio.Lock()
        self._status: Status | None = None
        self._fresh_until = 0.0

    async def status(self) -> Status:
        """Return the status, which may be a moment old. Raises `StoreError`."""
        async with self._lock:
            began = anyio.current_time()
            if self._status is None or began >= self._fresh_until:
                self._status = await self._read()
                ended = anyio.current_time()
                self._fresh_until = ended + max(MIN_AGE, COST_SHARE * (ended - began))
            return self._status

    async def count_watches(self) -> tuple[int, int]:
        """Return how many watches are active and how many have ended, now. Raises `StoreError`."""
        counts = [unit.poller.counts() for unit in self._units.sources.values()]
        ended = await self._shared.store.ended()
        return sum(sum(one.values()) for one in counts), sum(ended.values())

    async def _read(self) -> Status:
        now, store = self._shared.surroundings.wall(), self._shared.store
        units = self._units
        return Status(
            at=now,
            started_at=self._started_at,
            uptime=anyio.current_time() - self._started,
            sources=[await self._source(name, unit) for name, unit in units.sources.items()],
            channels=await self.channels(),
            depths={depth.channel: depth for depth in await store.outbox()},
            rules=[unit.discovery.record.status() for unit in units.rules.values()],
            stored=await store.summary(now),
            size=await store.size(),
            unready=await self._unready(),
            replicas=await self._replicas(),
        )

    async def channels(self) -> Sequence[ChannelState]:
        """Return the state of each channel. Raises `StoreError`."""
        units, store = self._units.channels, self._shared.store
        return [
            unit.dispatcher.state()
            if (unit := units.get(channel.name)) is not None
            else await elsewhere.channel_state(store, channel)
            for channel in self._settings().channels
        ]

    async def _replicas(self) -> Sequence[ReplicaStatus]:
        if self._fleet is None:
            units = self._units
            served = len(units.sources) + len(units.channels)
            behind = (unit.poller.behind() for unit in units.sources.values())
            return [
                ReplicaStatus(
                    name=socket.gethostname(),
                    version=__version__,
                    started_at=self._started_at,
                    units=served,
                    lag=max(behind, default=0.0),
                )
            ]
        return [
            ReplicaStatus(
                name=replica.name,
                version=replica.version,
                started_at=replica.started_at,
                units=len(replica.slices),
                lag=replica.lag,
            )
            for replica in await self._fleet.replicas()
        ]

    async def _source(self, name: str, unit: SourceUnit) -> SourceStatus:
        poller, metrics = unit.poller, self._shared.metrics.source(name)
        return SourceStatus(
            name=name,
            type=unit.type,
            reason=poller.reason,
            since=poller.outage.since,
            active=poller.counts(),
            requests_per_minute=metrics.requests_per_minute(),
            budget_left=metrics.budgets(),
            behind=poller.behind(),
            max_interval=unit.polling.max_interval,
            last_success_at=poller.outage.last_answer_at,
            last_error=poller.outage.last_error,
            last_error_at=poller.outage.last_error_at,
        )
