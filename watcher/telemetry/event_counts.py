"""How many events of each type were stored."""

from prometheus_client import CollectorRegistry

from watcher.core.events import SYSTEM_EVENTS, TASK_ALERTS, event_type
from watcher.core.tasks import KNOWN_STATUSES
from watcher.core.texts import OTHER
from watcher.telemetry.families import events


class EventCounts:
    """Known types are exported as 0 from the start; those of unknown statuses count as `other`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        family = events(registry)
        known = sorted({*map(event_type, KNOWN_STATUSES), *TASK_ALERTS, *SYSTEM_EVENTS})
        self._counters = {kind: family.labels(kind) for kind in (*known, OTHER)}

    def stored(self, kind: str) -> None:
        """Count an event of this type."""
        self._counters.get(kind, self._counters[OTHER]).inc()
