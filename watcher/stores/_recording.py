"""Which changes of watches apply, for every store."""

from collections.abc import Iterable, Mapping, Sequence

from watcher.core.events import Change, Event
from watcher.core.tasks import TaskKey, WatchState
from watcher.stores._rows import Row

Position = tuple[int, WatchState | str]
"""The sequence and the state of a stored watch."""


class StoredPositions:
    """Where the watches of some changes are, as the transaction reads them, and their batches.

    `found` has source, task ID, sequence, state and batch of each.
    """

    def __init__(self, found: Iterable[Row]) -> None:
        self._positions: dict[TaskKey, Position] = {}
        self._batches: dict[TaskKey, str | None] = {}
        for source, task_id, sequence, state, batch in found:
            key = TaskKey(source, task_id)
            self._positions[key], self._batches[key] = (sequence, state), batch

    def applicable(self, changes: Sequence[Change]) -> list[bool]:
        """Return for each change whether it applies, and move its watch's position on if so."""
        applies = []
        for change in changes:
            watch = change.watch
            does = self._positions.get(watch.key) == (change.expected_sequence, WatchState.ACTIVE)
            applies.append(does)
            if does:
                self._positions[watch.key] = (watch.sequence, watch.state)
        return applies

    def other_batches(self, changes: Iterable[Change]) -> Mapping[TaskKey, str]:
        """Return the batch of each watch that has another one now. A batch that is filled in
        meanwhile stays, where a change has none.
        """
        shown = {change.watch.key: change.watch.batch for change in changes if change.watch.batch}
        return {key: batch for key, batch in shown.items() if self._batches[key] != batch}


def applied(changes: Sequence[Change], applies: Sequence[bool]) -> list[Change]:
    """Return the changes that apply."""
    return [change for change, does in zip(changes, applies, strict=True) if does]


def events_of(changes: Iterable[Change]) -> list[Event]:
    """Return the events of changes."""
    return [change.event for change in changes if change.event is not None]
