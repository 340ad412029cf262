"""Room in a store, for tests."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry

from tests.support.virtual_time import wall
from watcher.core.interfaces.store import Store
from watcher.daemon.store_room import StoreRoom
from watcher.delivery.dispatcher import Dispatcher
from watcher.telemetry.metrics import Metrics

DAY = 86400.0


def room_of(
    store: Store,
    retention: float = 7 * DAY,
    dispatchers: Sequence[tuple[str, Dispatcher]] = (),
    metrics: Metrics | None = None,
) -> StoreRoom:
    """What makes room in `store` while these dispatchers run."""
    return StoreRoom(
        store,
        retention=retention,
        overflows=lambda: {name: dispatcher.overflow for name, dispatcher in dispatchers},
        overflowed=(metrics or Metrics(CollectorRegistry(), "test")).overflowed,
        wall=wall,
    )
