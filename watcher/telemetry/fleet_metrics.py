"""What a replica records of the fleet that it belongs to; absent where the store is not shared."""

import math

from prometheus_client import CollectorRegistry, Counter, Gauge

from watcher.core.ownership import Lease


class FleetMetrics:
    """The metrics of one replica, on the caller's registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._replicas = Gauge(
            "watcher_replicas",
            "Number of live replicas; NaN while this one cannot renew its session.",
            registry=registry,
        )
        self._unowned = Gauge(
            "watcher_unowned_slices",
            "Number of slices that no replica serves; NaN while this one cannot renew its session.",
            registry=registry,
        )
        self._owned = Gauge(
            "watcher_owned_slices",
            "Number of slices that this replica serves.",
            registry=registry,
        )
        self._fenced = Counter(
            "watcher_fenced_writes_total",
            "Total number of writes that were rejected because this replica does not serve the "
            "slice any more.",
            registry=registry,
        )
        self._fenced_before = 0
        self.shows(None, owned=0, fenced=0)

    def shows(self, lease: Lease | None, *, owned: int, fenced: int) -> None:
        """Show what a renewal has returned, None if it failed; how many slices this replica owns
        now, and how many of its writes were rejected since it started.
        """
        self._replicas.set(math.nan if lease is None else len(lease.replicas))
        self._unowned.set(math.nan if lease is None else len(lease.unowned))
        self._owned.set(owned)
        self._fenced.inc(fenced - self._fenced_before)
        self._fenced_before = fenced
