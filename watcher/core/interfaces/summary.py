"""What a store promises to the daemon's status. Every method may raise `StoreError`."""

from collections.abc import Mapping
from typing import Protocol

from watcher.core.summary import StoredSummary, TroubledTasks


class Summary(Protocol):
    """Counts for the daemon's status."""

    async def summary(self, now: float) -> StoredSummary:
        """Return the counts of ended, lost and stalled tasks, the failures of the last day, and
        the transitions of the last hour.
        """
        ...

    async def ended(self) -> Mapping[str, int]:
        """Return how many watches have ended, by status."""
        ...

    async def troubled_tasks(self) -> Mapping[str, TroubledTasks]:
        """Return how many tasks are lost or stalled, by source; sources without any may be left
        out.
        """
        ...
