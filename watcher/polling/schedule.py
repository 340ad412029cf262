"""When each task is due, in memory. The watchlist itself is in the store; a poll without a change
writes nothing.

Two timing wheels of 50 ms slots: one for tasks that are new or have just changed, one for all
others. A slot is a list of entries. An entry counts only while it names that slot, so moving an
entry needs no search. That costs eight bytes per task beside the entry, which is a record without
the garbage collector's header.

While every interval can be kept, due times are jittered: drawn from the second half of an interval
that still grows, and from the last tenth of the longest one. If the request budget is short (a task
is overdue by more than a second), or if it is used for polls ahead of their due times, jitter would
only make some tasks wait longer than others: then each is due one interval after its last answer,
so that tasks at the longest interval are polled in the order of their last answers. New and
just-changed tasks come first, the newest before all; every fourth place goes to the most overdue
task, so that none starves.
"""

from bisect import bisect_right, insort
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from random import Random
from typing import Generic, NamedTuple, TypeVar

import msgspec

from watcher.core.backoff import equal_jitter, next_interval, shortened, slight_jitter
from watcher.core.settings import PollingSettings
from watcher.polling.regressions import CONFIRM_AFTER

SLOT = 0.05
"""Seconds."""
BEHIND_AFTER = 1.0
"""Seconds by which the most overdue task may be late before the budget counts as short."""
LOST_INTERVAL = 600.0
"""Seconds between two polls of a lost task."""

_OVERDUE_SHARE = 0.25  # of the places, for the most overdue entries
_TOGETHER = 100  # covered entries of one slot, because the time of a confirmation matters little
_ALWAYS = 2**62  # later than every slot


class Entry(msgspec.Struct, kw_only=True, eq=False, gc=False):
    """One task's place in a schedule. `slot` is None while it is polled.

    `answered_at` is in monotonic seconds. It must not refer to a container, because the garbage
    collector does not see it.
    """

    task_id: str
    interval: float = 0.0
    slot: int | None = None
    answered_at: float | None = None

    @property
    def due_at(self) -> float | None:
        """When it is due, in monotonic seconds; None while it is polled."""
        return None if self.slot is None else (self.slot >> 1) * SLOT


EntryType = TypeVar("EntryType", bound=Entry)


class _Slot(Generic[EntryType]):
    __slots__ = ("entries", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.entries: list[EntryType] = []


class _Wheel(Generic[EntryType]):
    """Slots by number. The lowest bit identifies the wheel, so that an entry names wheel and
    time.
    """

    def __init__(self, bit: int) -> None:
        self._bit = bit
        self._slots: dict[int, _Slot[EntryType]] = {}
        self._order: list[int] = []

    def push(self, entry: EntryType, number: int) -> None:
        slot = self._slot(number << 1 | self._bit)
        entry.slot = slot.number  # one number object for all entries of the slot
        slot.entries.append(entry)

    def push_spread(self, entries: Sequence[EntryType], slots: range, interval: float) -> None:
        """Push entries evenly over `slots`, slot by slot because a page is large."""
        count = len(slots)
        for position in range(min(count, len(entries))):
            slot = self._slot(slots[position] << 1 | self._bit)
            number = slot.number
            part = entries[position::count]
            for entry in part:
                entry.slot = number
                entry.interval = interval
            slot.entries += part

    def first(self) -> int | None:
        """Return the number, without the bit, of the first slot with entries."""
        while self._order:
            slot = self._slots[self._order[0]]
            if _prune(slot):
                return slot.number >> 1
            self._drop(0)
        return None

    def oldest(self, until: int) -> _Slot[EntryType] | None:
        """Return the first slot with entries if its number is at most `until`."""
        first = self.first()
        return None if first is None or first > until else self._slots[self._order[0]]

    def newest(self, until: int) -> _Slot[EntryType] | None:
        """Return the last slot with entries whose number is at most `until`."""
        while position := bisect_right(self._order, until << 1 | 1):
            slot = self._slots[self._order[position - 1]]
            if _prune(slot):
                return slot
            self._drop(position - 1)
        return None

    def count(self, until: int, enough: int) -> int:
        """Count entries in slots up to `until`; stop at `enough`."""
        total = 0
        for number in self._order:
            if number >> 1 > until or total >= enough:
                break
            slot = self._slots[number]
            total += sum(1 for entry in slot.entries[: enough * 4] if entry.slot == number)
        return total

    def compact(self) -> None:
        """Drop the entries that have moved."""
        for slot in self._slots.values():
            slot.entries = [entry for entry in slot.entries if entry.slot == slot.number]

    def _slot(self, number: int) -> _Slot[EntryType]:
        slot = self._slots.get(number)
        if slot is None:
            slot = self._slots[number] = _Slot(number)
            insort(self._order, number)
        return slot

    def _drop(self, position: int) -> None:
        del self._slots[self._order.pop(position)]


def _prune(slot: _Slot[EntryType]) -> bool:
    """Drop entries at the end that have moved; return whether the slot still has entries."""
    entries = slot.entries
    while entries and entries[-1].slot != slot.number:
        entries.pop()
    return bool(entries)


class Outcome(Enum):
    """Why an entry is added to a schedule."""

    NEW = "new"
    RESTORED = "restored"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    SLOW = "slow"
    LOST = "lost"
    NOT_IN_PAGE = "not in page"
    IN_DOUBT = "in doubt"


_SAME_INTERVAL = {Outcome.NOT_IN_PAGE: 0.0, Outcome.IN_DOUBT: CONFIRM_AFTER}
"""The delays, in seconds, of outcomes that leave the interval as it is."""
_URGENT = frozenset({Outcome.NEW, Outcome.CHANGED})


def next_delay(
    outcome: Outcome, interval: float, polling: PollingSettings, random: Random
) -> tuple[float, float]:
    """Return the next interval and the seconds until the entry is due, jittered; 0 means at once.

    `interval` is the one before. After a restart the first polls are spread over the longest
    interval.
    """
    if outcome in _SAME_INTERVAL:
        return interval, _SAME_INTERVAL[outcome]
    match outcome:
        case Outcome.NEW:
            return polling.min_interval, 0.0
        case Outcome.RESTORED:
            return polling.max_interval, random.random() * polling.max_interval
        case Outcome.CHANGED:
            interval = polling.min_interval
        case Outcome.SLOW:
            interval = polling.max_interval
        case Outcome.LOST:
            interval = LOST_INTERVAL
        case Outcome.UNCHANGED:
            interval = next_interval(interval, polling.multiplier, polling.max_interval)
    return interval, equal_jitter(interval, random)


class Coverage(NamedTuple):
    """Entries about which other requests would show a change: every so many seconds, and polls
    confirm it less often.
    """

    every: float
    confirmed_every: float


class Schedule(Generic[EntryType]):
    """`lagged` receives how many seconds late how many entries are taken.

    `taken_at` is when some were last taken ahead of their due times, in monotonic seconds.
    """

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
        self._in_order = False
        self.taken_at = float("-inf")

    # Adding

    def add(self, entry: EntryType, outcome: Outcome, now: float) -> None:
        """Make an entry due as its last outcome demands; see `next_delay`."""
        entry.interval, delay = next_delay(outcome, entry.interval, self._polling, self._random)
        wheel = self._recent if outcome in _URGENT else self._regular
        wheel.push(entry, _slot_after(now + delay) if delay > 0 else _slot_at(now))

    def add_unchanged(
        self, entries: Iterable[EntryType], now: float, covered: Coverage | None = None
    ) -> None:
        """Make entries without a change due, later than the last time; a page is a thousand of
        them. Those that are `covered` have other intervals.
        """
        longest, multiplier = self._polling.max_interval, self._polling.multiplier
        settles_at = longest
        if covered is not None:
            settles_at, longest = min(longest, covered.every), covered.confirmed_every
        settled: list[EntryType] = []
        for entry in entries:
            if entry.interval * multiplier >= settles_at:
                settled.append(entry)
            elif self._in_order:
                entry.interval *= multiplier
                self._regular.push(entry, _slot_after(now + entry.interval))
            else:
                self.add(entry, Outcome.UNCHANGED, now)
        slots = self._settled_slots(now, longest, len(settled), covered=covered is not None)
        self._regular.push_spread(settled, slots, self._polling.max_interval)

    def _settled_slots(self, now: float, longest: float, count: int, *, covered: bool) -> range:
        """Return the slots for `count` entries at the longest interval."""
        if self._in_order or count <= 1:
            delay = longest if self._in_order else slight_jitter(longest, self._random)
            due = _slot_after(now + delay)
            return range(due, due + 1)
        # They are spread by now, and the least jitter for all keeps them so; more would mean more
        # requests.
        first, end = _slot_after(now + shortened(longest)), _slot_after(now + longest) + 1
        step = (end - first) * _TOGETHER // count if covered else 1
        return range(first, end, max(step, 1))

    def spread(self, entries: Iterable[EntryType], first: float, last: float) -> None:
        """Make waiting entries due between two times instead, except new and just-changed ones."""
        regular = [entry for entry in entries if entry.slot is not None and entry.slot & 1]
        begins = _slot_after(first)
        count = max(_slot_after(last) - begins, 0) + 1
        for position, entry in enumerate(regular):
            entry.interval = self._polling.max_interval
            self._regular.push(entry, begins + position * count // len(regular))

    def remove(self, entry: EntryType) -> None:
        entry.slot = None

    def compact(self) -> None:
        """Drop all entries that were removed or have moved, at once."""
        self._recent.compact()
        self._regular.compact()

    # Taking

    def take(
        self, now: float, places: int, *, fill: bool = False, ahead: bool = False
    ) -> list[EntryType]:
        """Take up to `places` due entries; with `fill`, remaining places go to those due next.

        `ahead` is whether entries are taken even if none is due.
        """
        due = _slot_at(now)
        self._in_order = ahead or self.late(now) > BEHIND_AFTER
        if ahead:
            self.taken_at = now
        taken: list[EntryType] = []
        if self._recent.oldest(due) and self._regular.oldest(due):
            self._owed += places * _OVERDUE_SHARE
            owed, self._owed = divmod(self._owed, 1)
            self._take_oldest(taken, int(owed), due, now)
        while len(taken) < places and (slot := self._recent.newest(due)):
            self._take_from(slot, taken, places, now)
        self._take_oldest(taken, places, _ALWAYS if fill else due, now)
        return taken

    def next_due_at(self) -> float | None:
        """Return when the next entry is due, possibly in the past; None without entries."""
        return None if (first := self._first()) is None else first * SLOT

    def urgent(self, now: float) -> bool:
        """Return whether a new or just-changed entry is due."""
        return self._recent.oldest(_slot_at(now)) is not None

    def due(self, now: float) -> bool:
        return (first := self._first()) is not None and first <= _slot_at(now)

    def late(self, now: float) -> float:
        """Return for how many seconds the most overdue entry has been due."""
        due_at = self.next_due_at()
        return 0.0 if due_at is None else max(now - due_at, 0.0)

    def count(self, until: float, enough: int) -> int:
        """Count entries due by `until`; above `enough`, return any larger number."""
        number = _slot_at(until)
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
                if not self._in_order and _is_early(entry, now):
                    entry.interval /= self._polling.multiplier  # it does not back off faster
                entry.slot = None
                taken.append(entry)
        if count := len(taken) - before:
            self._lagged(max(now - (number >> 1) * SLOT, 0.0), count)


def _is_early(entry: Entry, now: float) -> bool:
    """Return whether an entry fills a page before jitter could make it due."""
    return entry.answered_at is not None and now - entry.answered_at < entry.interval / 2


def _slot_at(now: float) -> int:
    """Return the slot that contains `now`; the tolerance keeps a rounded beginning in its slot."""
    return int(now / SLOT + 1e-6)


def _slot_after(due_at: float) -> int:
    """Return the first slot in which an entry due at `due_at` is due."""
    return int(due_at / SLOT) + 1
