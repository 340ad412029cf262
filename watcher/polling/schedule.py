"""Who is due when, in memory. The watchlist itself is in the store; a poll that changes nothing writes nothing.

Two timing wheels of 50 ms slots: one for tasks that are new or have just changed, one for all others. A slot is a list
of entries; one counts only while the entry still names that slot, so moving an entry leaves nothing to search for. That
is eight bytes a task beside the entry itself, which is a record without the garbage collector's header.

While everybody's interval can be kept, due times are jittered: drawn from the second half of an interval that still
grows, and from the last tenth of the longest one. Where the budget is short (what is due has waited for longer than a
second), jitter would only let some wait longer than others: then each is due at the longest interval after its last
answer, so that tasks are asked in the order of their last answers. New and just-changed ones go first, the newest
before all; every fourth place, though, is for who has waited longest, so nobody starves.
"""

from bisect import bisect_right, insort
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Generic, TypeVar

import msgspec

from watcher.core.backoff import equal_jitter, next_interval, shortened, slight_jitter
from watcher.core.settings import PollingSettings

SLOT = 0.05
"""Seconds."""
BEHIND_AFTER = 1.0
"""Seconds that the longest-waiting task may be late before the budget counts as short."""

_OWED = 0.25  # of the places, to whoever has waited longest
_ALWAYS = 2**62


class Entry(msgspec.Struct, kw_only=True, eq=False, gc=False):
    """One task's place in the schedule. `slot` is None while it is being asked; `answered_at` is monotonic seconds.

    It may refer to no container, for the garbage collector does not see it.
    """

    task_id: str
    interval: float = 0.0
    slot: int | None = None
    answered_at: float | None = None

    @property
    def due_at(self) -> float | None:
        """When it is due, in monotonic seconds; None while it is being asked."""
        return None if self.slot is None else (self.slot >> 1) * SLOT


EntryType = TypeVar("EntryType", bound=Entry)


class _Slot(Generic[EntryType]):
    __slots__ = ("entries", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.entries: list[EntryType] = []


class _Wheel(Generic[EntryType]):
    """Slots by number. The lowest bit of a number tells the wheels apart, so that an entry names wheel and time."""

    def __init__(self, bit: int) -> None:
        self._bit = bit
        self._slots: dict[int, _Slot[EntryType]] = {}
        self._order: list[int] = []

    def push(self, entry: EntryType, number: int) -> None:
        slot = self._slot(number << 1 | self._bit)
        entry.slot = slot.number  # the slot's own number: one object for all who wait in it
        slot.entries.append(entry)

    def push_spread(
        self, entries: Sequence[EntryType], first: int, last: int, interval: float
    ) -> None:
        """Push entries evenly over the slots from `first` to `last`; a page is a thousand entries, so slot by slot."""
        count = last - first + 1
        for position in range(min(count, len(entries))):
            slot = self._slot((first + position) << 1 | self._bit)
            number = slot.number
            part = entries[position::count]
            for entry in part:
                entry.slot = number
                entry.interval = interval
            slot.entries += part

    def first(self) -> int | None:
        """Return the number (without the bit) of the first slot that holds anybody."""
        while self._order:
            slot = self._slots[self._order[0]]
            if _prune(slot):
                return slot.number >> 1
            self._drop(0)
        return None

    def oldest(self, until: int) -> _Slot[EntryType] | None:
        """Return the first slot that holds anybody, where its number is at most `until`."""
        first = self.first()
        return None if first is None or first > until else self._slots[self._order[0]]

    def newest(self, until: int) -> _Slot[EntryType] | None:
        """Return the last slot that holds anybody of those whose number is at most `until`."""
        while position := bisect_right(self._order, until << 1 | 1):
            slot = self._slots[self._order[position - 1]]
            if _prune(slot):
                return slot
            self._drop(position - 1)
        return None

    def count(self, until: int, enough: int) -> int:
        """Return how many entries lie in slots up to `until`, at least where there are `enough`."""
        total = 0
        for number in self._order:
            if number >> 1 > until or total >= enough:
                break
            slot = self._slots[number]
            total += sum(1 for entry in slot.entries[: enough * 4] if entry.slot == number)
        return total

    def _slot(self, number: int) -> _Slot[EntryType]:
        slot = self._slots.get(number)
        if slot is None:
            slot = self._slots[number] = _Slot(number)
            insort(self._order, number)
        return slot

    def _drop(self, position: int) -> None:
        del self._slots[self._order.pop(position)]


def _prune(slot: _Slot[EntryType]) -> bool:
    """Forget entries at the end that have moved on; returns whether anybody is left."""
    entries = slot.entries
    while entries and entries[-1].slot != slot.number:
        entries.pop()
    return bool(entries)


class Schedule(Generic[EntryType]):
    """`lagged` is told how long, in seconds, and how many of the entries that are taken have been due."""

    def __init__(
        self,
        polling: PollingSettings,
        random: Random,
        lagged: Callable[[float, int], None] = lambda seconds, count: None,
    ) -> None:
        self._polling = polling
        self._random = random
        self._lagged = lagged
        self._recent: _Wheel[EntryType] = _Wheel(0)
        self._regular: _Wheel[EntryType] = _Wheel(1)
        self._owed = 0.0
        self._behind = False

    # When to ask

    def at_once(self, entry: EntryType, now: float) -> None:
        """Ask as soon as possible: before everyone who is there, and before who came to be asked at once earlier."""
        entry.interval = self._polling.min_interval
        self._recent.push(entry, _at(now))

    def spread(self, entry: EntryType, now: float) -> None:
        """Ask some time within the longest interval: a restart must not ask for everyone at once."""
        entry.interval = self._polling.max_interval
        self._regular.push(entry, _after(now + self._random.random() * self._polling.max_interval))

    def changed(self, entry: EntryType, now: float) -> None:
        """The task has just changed: start again at the shortest interval."""
        entry.interval = self._polling.min_interval
        self._recent.push(entry, _after(now + equal_jitter(entry.interval, self._random)))

    def unchanged(self, entries: Iterable[EntryType], now: float) -> None:
        """Nothing new about these: wait longer than the last time."""
        longest, multiplier = self._polling.max_interval, self._polling.multiplier
        settled: list[EntryType] = []
        for entry in entries:
            if self._behind or entry.interval * multiplier >= longest:
                settled.append(entry)
            else:
                self.every(entry, next_interval(entry.interval, multiplier, longest), now)
        last = _after(now + longest)
        if self._behind or len(settled) <= 1:
            due_at = now + (longest if self._behind else slight_jitter(longest, self._random))
            self._regular.push_spread(settled, _after(due_at), _after(due_at), longest)
        else:
            # They are spread by now, and together the least jitter keeps them so; more would be more requests.
            self._regular.push_spread(settled, _after(now + shortened(longest)), last, longest)

    def poll_at_max_interval(self, entry: EntryType, now: float) -> None:
        """Ask at the longest interval."""
        self.every(entry, self._polling.max_interval, now)

    def every(self, entry: EntryType, interval: float, now: float) -> None:
        """Ask after `interval`, jittered."""
        entry.interval = interval
        self._regular.push(entry, _after(now + equal_jitter(interval, self._random)))

    def poll_now(self, entry: EntryType, now: float) -> None:
        """Ask as soon as there is a place, its interval staying as it was."""
        self._regular.push(entry, _at(now))

    def remove(self, entry: EntryType) -> None:
        """Never ask for this one again."""
        entry.slot = None

    # Who is to be asked

    def take(self, now: float, places: int, *, fill: bool = False) -> list[EntryType]:
        """Take up to `places` entries that are due; with `fill`, places left over go to those due next."""
        due = _at(now)
        self._behind = self.late(now) > BEHIND_AFTER
        taken: list[EntryType] = []
        if self._recent.oldest(due) and self._regular.oldest(due):
            self._owed += places * _OWED
            owed, self._owed = divmod(self._owed, 1)
            self._take_oldest(taken, int(owed), due, now)
        while len(taken) < places and (slot := self._recent.newest(due)):
            self._take_from(slot, taken, places, now)
        self._take_oldest(taken, places, _ALWAYS if fill else due, now)
        return taken

    def next_due_at(self) -> float | None:
        """Return when the next entry is due: in the past where it already is, None where there is none."""
        return None if (first := self._first()) is None else first * SLOT

    def due(self, now: float) -> bool:
        """Return whether anybody is due."""
        return (first := self._first()) is not None and first <= _at(now)

    def late(self, now: float) -> float:
        """Return for how many seconds the entry that waits longest has been due."""
        due_at = self.next_due_at()
        return 0.0 if due_at is None else max(now - due_at, 0.0)

    def count(self, until: float, enough: int) -> int:
        """Return how many entries are due by `until`; where there are more than `enough`, a number above that."""
        number = _at(until)
        return self._recent.count(number, enough + 1) + self._regular.count(number, enough + 1)

    def _first(self) -> int | None:
        firsts = [
            first for wheel in (self._recent, self._regular) if (first := wheel.first()) is not None
        ]
        return min(firsts, default=None)

    def _take_oldest(self, taken: list[EntryType], places: int, until: int, now: float) -> None:
        while len(taken) < places:
            slots = [
                slot for wheel in (self._recent, self._regular) if (slot := wheel.oldest(until))
            ]
            if not slots:
                return
            self._take_from(min(slots, key=lambda slot: slot.number), taken, places, now)

    def _take_from(
        self, slot: _Slot[EntryType], taken: list[EntryType], places: int, now: float
    ) -> None:
        before = len(taken)
        entries, number = slot.entries, slot.number
        while entries and len(taken) < places:
            entry = entries.pop()
            if entry.slot == number:
                # One that fills a page before jitter could have made it due is not to be asked the more rarely for it.
                if entry.answered_at is not None and now - entry.answered_at < entry.interval / 2:
                    entry.interval /= self._polling.multiplier
                entry.slot = None
                taken.append(entry)
        if count := len(taken) - before:
            self._lagged(max(now - (number >> 1) * SLOT, 0.0), count)


def _at(now: float) -> int:
    """Return the slot that `now` lies in; a moment that begins one lies in it, however it was rounded."""
    return int(now / SLOT + 1e-6)


def _after(due_at: float) -> int:
    """Return the first slot in which whoever is due at `due_at` is due."""
    return int(due_at / SLOT) + 1
