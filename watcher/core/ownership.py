"""Which replica serves what: records of sessions, slices and grants.

A *group* is what is served: `source NAME` or `channel NAME`, as in the order keys of events. It is
divided into *slices* of its slots; one replica at a time owns a slice. A task belongs to the slot
of its ID, a delivery to that of its order key, so a queue is never divided.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple
from zlib import crc32

from watcher.core.reports import NOTHING_REPORTED, Report

SLOTS = 256

SESSION_LASTS = 8.0
"""Seconds after its renewal at which a session ends, by the clock of the database."""
TRUSTED_FOR = 7.0
"""Seconds after the start of a renewal for which a replica trusts it, by its own clock."""
RENEW_INTERVAL = 2.0
"""Seconds between two renewals."""
SIGNALS_KEPT = 600.0
"""Seconds for which signals are kept."""


def slot(key: str) -> int:
    """Return the slot of a task ID or an order key, from 0 to `SLOTS` - 1: the same everywhere."""
    return crc32(key.encode()) % SLOTS


def slice_number(key: str, of: int) -> int:
    """Return which of `of` slices a task ID or an order key belongs to."""
    return slot(key) * of // SLOTS


def source_group(source: str) -> str:
    return f"source {source}"


def source_of(group: str) -> str:
    """Return the name of the source whose group this is."""
    return group.removeprefix("source ")


def channel_group(channel: str) -> str:
    return f"channel {channel}"


class Slice(NamedTuple):
    """One slice of a group; the first is number 0."""

    group: str
    number: int


class Grant(NamedTuple):
    """A slice that a replica owns. `epoch` is greater each time the slice changes hands; `of` is
    the number of slices of the group.
    """

    slice: Slice
    epoch: int
    of: int

    def slots(self) -> range:
        """Return the slots of the slice."""
        first = self.slice.number
        return range(-(-SLOTS * first // self.of), -(-SLOTS * (first + 1) // self.of))

    def covers(self, key: str) -> bool:
        """Return whether a task ID or an order key belongs to the slice."""
        return slice_number(key, self.of) == self.slice.number


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What a replica is configured to serve. Without `slices`, the store divides it by the number
    of its active watches; the greatest number that a live replica demands counts. Of what is not
    `wanted` a replica keeps the slices that it owns, and gets no other.
    """

    name: str
    slices: int | None = None
    wanted: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """What a replica says about itself. `started_at` is in Unix seconds, by its clock."""

    name: str
    version: str
    started_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """A live replica. `lag` are the seconds by which what it serves was late, as it said itself
    when it renewed its session, `renewed` seconds ago.
    """

    name: str
    version: str
    started_at: float
    lag: float
    renewed: float
    slices: tuple[Slice, ...]
    report: Report = NOTHING_REPORTED
    """What it serves, as it was then; only `Ownership.replicas` returns it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What a renewal granted: start and stop units by it.

    `surplus` is a slice that another replica should have: stop what serves it in order, then
    release it. It is among the grants until then.
    """

    grants: tuple[Grant, ...] = ()
    surplus: Slice | None = None
    replicas: tuple[Replica, ...] = ()
    unowned: tuple[Slice, ...] = ()
    """Slices without an owner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """Another replica has changed what the owner of a group has in memory: these tasks were added,
    added again or removed; or, without any, the channel was suspended or resumed, or deliveries
    were retried, replayed or purged. With `attempt`, all that is pending is to be attempted now.
    """

    group: str
    task_ids: tuple[str, ...] = ()
    attempt: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """What is new. `last` is the number to read on after; `last_event` is that of the last event,
    which may have deliveries to any channel.
    """

    last: int
    last_event: int
    signals: tuple[Signal, ...] = field(default=())


def groups_of(grants: Iterable[Grant]) -> dict[str, tuple[Grant, ...]]:
    """Return the grants by group."""
    found: dict[str, tuple[Grant, ...]] = {}
    for grant in grants:
        found[grant.slice.group] = (*found.get(grant.slice.group, ()), grant)
    return found
