"""Who is due when, in memory. The watchlist itself is in the store; a poll that changes nothing writes nothing.

A heap of (due, turn, entry) with lazy deletion: what is on it counts only while the entry's own `turn` is still the one
it was pushed with. New and stirred tasks wait on a stack, so that where the budget does not serve all of them at once,
the newest is asked first.
"""

import heapq
from dataclasses import dataclass
from random import Random
from typing import Generic, TypeVar

from watcher.backoff import equal_jitter, next_interval
from watcher.settings import PollingSettings

_STALE_LIMIT = 1024


@dataclass(slots=True, kw_only=True, eq=False)
class Entry:
    """One task's place in the schedule. Times are monotonic seconds; `due_at` is None while it is being asked."""

    task_id: str
    interval: float = 0.0
    due_at: float | None = None
    asked_at: float | None = None
    turn: int = 0


EntryType = TypeVar("EntryType", bound=Entry)


class Schedule(Generic[EntryType]):
    """Due times drawn with equal jitter: after an answer that changes nothing the interval grows up to the longest."""

    def __init__(self, polling: PollingSettings, random: Random) -> None:
        self._polling = polling
        self._random = random
        self._heap: list[tuple[float, int, EntryType]] = []
        self._fresh: list[tuple[int, EntryType]] = []
        self._turns = 0
        self._stale = 0

    def at_once(self, entry: EntryType, now: float) -> None:
        """Ask as soon as possible: before everyone who is there, and before who came to be asked at once earlier."""
        if entry.due_at is not None:
            self._stale += 1
        entry.interval = self._polling.min_interval
        entry.due_at = now
        self._fresh.append((self._turn(entry), entry))

    def spread(self, entry: EntryType, now: float) -> None:
        """Ask some time within the longest interval: a restart must not ask for everyone at once."""
        entry.interval = self._polling.max_interval
        self._push(entry, now + self._random.uniform(0, self._polling.max_interval))

    def changed(self, entry: EntryType, now: float) -> None:
        """The task has just changed: start again at the shortest interval."""
        self.every(entry, self._polling.min_interval, now)

    def unchanged(self, entry: EntryType, now: float) -> None:
        """Nothing new: wait longer than the last time."""
        longest = self._polling.max_interval
        self.every(entry, next_interval(entry.interval, self._polling.multiplier, longest), now)

    def slowly(self, entry: EntryType, now: float) -> None:
        """Ask at the longest interval."""
        self.every(entry, self._polling.max_interval, now)

    def every(self, entry: EntryType, interval: float, now: float) -> None:
        """Ask after `interval`, jittered."""
        entry.interval = interval
        self._push(entry, now + equal_jitter(interval, self._random))

    def remove(self, entry: EntryType) -> None:
        """Never ask for this one again."""
        if entry.due_at is not None:
            self._stale += 1
        entry.due_at = None
        self._turn(entry)

    def take(self, now: float, limit: int) -> list[EntryType]:
        """Take up to `limit` entries that are due: the newest first, then those that waited longest."""
        taken: list[EntryType] = []
        while self._fresh and len(taken) < limit:
            turn, entry = self._fresh.pop()
            if turn == entry.turn:
                taken.append(entry)
        while len(taken) < limit and (due_at := self._next_on_heap()) is not None and due_at <= now:
            taken.append(heapq.heappop(self._heap)[2])
        return taken

    def next_due_at(self) -> float | None:
        """Return when the next entry is due: in the past where it already is, None where there is none."""
        while self._fresh and self._fresh[-1][0] != self._fresh[-1][1].turn:
            self._fresh.pop()
        return self._fresh[-1][1].due_at if self._fresh else self._next_on_heap()

    def _next_on_heap(self) -> float | None:
        while self._heap and self._heap[0][1] != self._heap[0][2].turn:
            heapq.heappop(self._heap)
            self._stale = max(self._stale - 1, 0)
        return self._heap[0][0] if self._heap else None

    def _push(self, entry: EntryType, due_at: float) -> None:
        if entry.due_at is not None:
            self._stale += 1
        entry.due_at = due_at
        heapq.heappush(self._heap, (due_at, self._turn(entry), entry))
        if self._stale > _STALE_LIMIT and self._stale > len(self._heap) // 2:
            self._heap = [item for item in self._heap if item[1] == item[2].turn]
            heapq.heapify(self._heap)
            self._stale = 0

    def _turn(self, entry: EntryType) -> int:
        self._turns += 1
        entry.turn = self._turns
        return self._turns
