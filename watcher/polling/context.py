"""What the parts of one source's poller share."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Protocol

from watcher.core.clock import Clock
from watcher.core.events import SystemEventFactory, new_event_id
from watcher.core.interfaces.store import EventLog, ListSizes, Watchlist
from watcher.core.routing import Routing
from watcher.core.settings import PollingSettings
from watcher.core.tasks import TaskKey
from watcher.core.wakeup import Wakeup
from watcher.telemetry.source_metrics import SourceMetrics
from watcher.telemetry.unexpected import UnexpectedErrors


class PollingStore(Watchlist, EventLog, ListSizes, Protocol):
    """The part of the store that polling reads and writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PollingContext:
    """The source's name and settings, where changes go, and the clocks.

    `outbox` is set after each stored event. `unreachable_after` is in seconds.
    """

    source_name: str
    store: PollingStore
    routing: Routing
    system_event: SystemEventFactory
    polling: PollingSettings
    unreachable_after: float
    metrics: SourceMetrics
    unexpected: UnexpectedErrors
    outbox: Wakeup
    wall: Clock
    random: Random
    random_bytes: Callable[[int], bytes] = os.urandom

    def key(self, task_id: str) -> TaskKey:
        return TaskKey(self.source_name, task_id)

    def new_event_id(self) -> str:
        return new_event_id(self.random_bytes)
