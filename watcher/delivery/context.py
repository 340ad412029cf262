"""What the parts of one channel's dispatcher share."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Protocol

from watcher.core.clock import Clock
from watcher.core.events import SystemEventFactory
from watcher.core.interfaces.store import ChannelStates, EventLog, Outbox
from watcher.core.settings import ChannelSettings
from watcher.core.wakeup import Wakeup
from watcher.delivery.body_memory import BodyMemory
from watcher.telemetry.channel_metrics import ChannelMetrics
from watcher.telemetry.unexpected import UnexpectedErrors

OFF_AFTER = 3 * 86400.0
"""Seconds without a success after which a failing channel is off."""


class DeliveryStore(Outbox, ChannelStates, EventLog, Protocol):
    """The part of the store that delivery reads and writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryContext:
    """The channel's settings, the store, and the clocks. `outbox` is set after an event is
    stored. `trusted` says whether this process may send to the channel now.
    """

    settings: ChannelSettings
    store: DeliveryStore
    system_event: SystemEventFactory
    metrics: ChannelMetrics
    unexpected: UnexpectedErrors
    bodies: BodyMemory
    outbox: Wakeup
    wall: Clock
    random: Random
    off_after: float = OFF_AFTER
    trusted: Callable[[], bool] = lambda: True

    @property
    def name(self) -> str:
        return self.settings.name
