"""What metrics, probes and the heartbeat show of the running units and of the store."""

from collections.abc import Iterable, Mapping

from watcher.core.deliveries import OutboxDepth
from watcher.core.interfaces.budgets import RequestsLeft
from watcher.core.ownership import channel_group, source_group
from watcher.core.settings import Settings
from watcher.core.summary import TroubledTasks
from watcher.daemon.build import Shared
from watcher.daemon.heartbeat import Wait
from watcher.daemon.running import RunningUnits
from watcher.daemon.served import shown_depths
from watcher.delivery.overflow import ChannelOverflow
from watcher.telemetry.liveness import LivenessMonitor


class UnitsView:
    """Reads the running units. Methods that read the store may raise `StoreError`."""

    def __init__(self, shared: Shared, units: RunningUnits) -> None:
        self._shared = shared
        self._units = units

    async def refresh_gauges(self, settings: Settings) -> None:
        """Update the gauges that are computed only for a scrape. A replica that may not trust its
        session shows nothing of what others may serve by now, so that sums over all are right.
        """
        self._show_running(settings)
        shared, metrics = self._shared, self._shared.metrics
        store = shared.store
        left = await store.requests_left() if isinstance(store, RequestsLeft) else {}
        self._show_depths(await store.outbox(), settings)
        metrics.stored(await store.size())
        troubled = await store.troubled_tasks()
        for name in self._units.sources:
            metrics.source(name).shared_left(left)
            group = source_group(name)
            leads = shared.served.leads(group) and shared.served.trusted(group)
            tasks = troubled.get(name, TroubledTasks()) if leads else TroubledTasks()
            metrics.source(name).lost_and_stalled(tasks.lost, tasks.stalled)

    def _show_running(self, settings: Settings) -> None:
        """Show what needs no store, which may fail."""
        served, metrics = self._shared.served, self._shared.metrics
        for name, unit in self._units.sources.items():
            poller = unit.poller
            if served.trusted(source_group(name)):
                metrics.source(name).watching(poller.counts(), poller.behind(), poller.silent())
            else:
                metrics.source(name).watching({}, 0.0, 0.0)
                metrics.source(name).lost_and_stalled(0, 0)
        if not all(served.trusted(channel_group(name)) for name in self._units.channels):
            self._show_depths((), settings)

    def _show_depths(self, depths: Iterable[OutboxDepth], settings: Settings) -> None:
        shared = self._shared
        shown = shown_depths(depths, self._units.channels, settings, shared.served)
        shared.metrics.outbox(shown, shared.surroundings.wall())

    def monitors(self) -> Mapping[str, LivenessMonitor]:
        """Return the monitors of all loops, by what each loop does."""
        pollers = {
            f"poller {name} ({loop})": monitor
            for name, unit in self._units.sources.items()
            for loop, monitor in unit.poller.monitors.items()
        }
        dispatchers = {
            f"dispatcher {name}": unit.dispatcher.monitor
            for name, unit in self._units.channels.items()
        }
        return pollers | dispatchers

    def overflows(self) -> Mapping[str, ChannelOverflow]:
        """Return the overflow of the backlog of each channel that this process serves."""
        return {name: unit.dispatcher.overflow for name, unit in self._units.channels.items()}

    def behind(self) -> float:
        """Return for how many seconds the most overdue task has been due."""
        return max((unit.poller.behind() for unit in self._units.sources.values()), default=0.0)

    def silent(self) -> Mapping[str, Wait]:
        """Return for how long each source has answered nothing, and may, in seconds."""
        return {
            name: Wait(unit.poller.silent(), unit.answer_limit)
            for name, unit in self._units.sources.items()
        }

    async def pending(self, settings: Settings) -> Mapping[str, Wait]:
        """Return for how long the oldest delivery to each configured channel has been pending, and
        may be, in seconds, at whichever replica.
        """
        now = self._shared.surroundings.wall()
        allowed = {channel.name: channel.alert_after for channel in settings.channels}
        return {
            depth.channel: Wait(now - depth.oldest_created_at, allowed[depth.channel])
            for depth in await self._shared.store.outbox()
            if depth.oldest_created_at is not None and depth.channel in allowed
        }
