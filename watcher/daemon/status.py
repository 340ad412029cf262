"""Reads the status of the daemon, for all who want it at once."""

import socket
from collections.abc import Awaitable, Callable, Sequence

import anyio

from watcher import __version__
from watcher.core.channels import ChannelState
from watcher.core.interfaces.budgets import RequestsLeft
from watcher.core.ownership import Replica
from watcher.core.reports import (
    Report,
    merged_channel,
    merged_rules,
    merged_source,
    report_of,
)
from watcher.core.settings import Settings
from watcher.core.status import ReplicaStatus, RuleStatus, SourceStatus, Status
from watcher.daemon import elsewhere
from watcher.daemon.alone import Alone
from watcher.daemon.build import Shared
from watcher.daemon.fleet import Fleet
from watcher.daemon.kept_status import KeptStatus
from watcher.daemon.running import RunningUnits
from watcher.daemon.units import SourceUnit


class StatusReader:
    """Reads the status; `kept` is what its readers share."""

    def __init__(
        self,
        shared: Shared,
        units: RunningUnits,
        settings: Callable[[], Settings],
        unready: Callable[[], Awaitable[str | None]],
        late: Callable[[], str | None],
        fleet: Fleet | Alone,
    ) -> None:
        self._shared = shared
        self._fleet = fleet
        self._unready = unready
        self._late = late
        self._units = units
        self._settings = settings
        fleet.reports(self._report)
        self._started_at = shared.surroundings.wall()
        self._started = anyio.current_time()
        self.kept = KeptStatus(self._read)

    async def count_watches(self) -> tuple[int, int]:
        """Return how many watches are active and how many have ended, now. Raises `StoreError`."""
        counts = [unit.poller.counts() for unit in self._units.sources.values()]
        ended = await self._shared.store.ended()
        return sum(sum(one.values()) for one in counts), sum(ended.values())

    async def _read(self) -> Status:
        now, store = self._shared.surroundings.wall(), self._shared.store
        replicas = await self._fleet.replicas()
        reports = self._reports(replicas)
        sources, rules = self._sources(), self._rules()
        if reports:
            left = await store.requests_left() if isinstance(store, RequestsLeft) else {}
            sources = [merged_source(source, reports, left) for source in sources]
            rules = merged_rules(reports)
        return Status(
            at=now,
            started_at=self._started_at,
            uptime=anyio.current_time() - self._started,
            sources=sources,
            channels=await self._channels(reports),
            depths={depth.channel: depth for depth in await store.outbox()},
            rules=rules,
            stored=await store.summary(now),
            size=await store.size(),
            unready=await self._unready(),
            replicas=self._replicas(replicas),
        )

    async def channels(self) -> Sequence[ChannelState]:
        """Return the state of each channel. Raises `StoreError`."""
        return await self._channels(self._reports(await self._fleet.replicas()))

    async def _channels(self, reports: Sequence[Report]) -> Sequence[ChannelState]:
        own = {} if reports else {channel.name: channel for channel in self._own_channels()}
        store = self._shared.store
        return [
            own.get(channel.name)
            or merged_channel(await elsewhere.channel_state(store, channel), reports)
            for channel in self._settings().channels
        ]

    def _own_channels(self) -> Sequence[ChannelState]:
        units = self._units.channels
        return [
            units[channel.name].dispatcher.state()
            for channel in self._settings().channels
            if channel.name in units
        ]

    def _rules(self) -> Sequence[RuleStatus]:
        return [unit.discovery.record.status() for unit in self._units.rules.values()]

    def _sources(self) -> Sequence[SourceStatus]:
        return [self._source(name, unit) for name, unit in self._units.sources.items()]

    def _report(self) -> Report:
        return report_of(self._sources(), self._own_channels(), self._rules(), self._late())

    def _reports(self, replicas: Sequence[Replica]) -> Sequence[Report]:
        """Return the reports of all replicas, this one's as of now; none without a fleet."""
        if not self._fleet.is_shared:
            return []
        others = [replica.report for replica in replicas if not self._fleet.is_this(replica)]
        return [self._report(), *others]

    def _replicas(self, replicas: Sequence[Replica]) -> Sequence[ReplicaStatus]:
        if not self._fleet.is_shared:
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
            for replica in replicas
        ]

    def _source(self, name: str, unit: SourceUnit) -> SourceStatus:
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
