"""How many events of each type were stored."""

from prometheus_client import CollectorRegistry

from watcher.core.selectors import KNOWN_EVENTS
from watcher.core.texts import OTHER
from watcher.telemetry.families import events


class EventCounts:
    """Known types are exported as 0 from the start; those of unknown statuses count as `other`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        family = events(registry)
        self._counters = {kind: family.labels(kind) for kind in (*KNOWN_EVENTS, OTHER)}

    def stored(self, kind: str) -> None:
        """Count an event of this type."""
        self._counters.get(kind, self._counters[OTHER]).inc()
