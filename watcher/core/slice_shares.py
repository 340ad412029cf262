"""How live replicas share slices: one rule that all of them apply to the same rows, pure.

A free slice goes to the replica with the fewest slices of its group, then with the fewest in all.
A slice moves only if that evens out one of these numbers without making the other less even: by
two or more within its group, or by one within it and by two or more in all. Each move makes the
sum of squares smaller, so moves come to an end, and nothing goes back.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from watcher.core.ownership import Slice

WATCHES_PER_SLICE = 10_000
"""Active watches of a source above which it is divided further."""
MOST_SLICES = 32
"""Slices of a source at most: every write of an owner compares the epochs of its slices."""

MOST_COUNTED = MOST_SLICES * WATCHES_PER_SLICE
"""Active watches of a source above which their number changes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """The groups that each live session can serve, and the live owner of each slice, None if it is
    free.
    """

    served: Mapping[int, frozenset[str]]
    owners: Mapping[Slice, int | None]

    def able(self, group: str) -> list[int]:
        """Return the sessions that can serve a group."""
        return [session for session in sorted(self.served) if group in self.served[session]]


class _Counts:
    """How many slices each session owns, by group and in all."""

    def __init__(self, shares: Shares) -> None:
        self.of_group: Counter[tuple[int, str]] = Counter()
        self.total: Counter[int] = Counter()
        for owned, owner in shares.owners.items():
            if owner is not None:
                self.add(owner, owned, 1)

    def add(self, session: int, owned: Slice, number: int) -> None:
        self.of_group[session, owned.group] += number
        self.total[session] += number

    def load(self, session: int, group: str) -> tuple[int, int, int]:
        return self.of_group[session, group], self.total[session], session


def assigned(shares: Shares) -> dict[Slice, int]:
    """Return which session should claim each free slice that any can serve."""
    counts, found = _Counts(shares), dict[Slice, int]()
    for free in sorted(owned for owned, owner in shares.owners.items() if owner is None):
        able = shares.able(free.group)
        if able:
            taker = min(able, key=lambda session: counts.load(session, free.group))
            counts.add(taker, free, 1)
            found[free] = taker
    return found


def moves(shares: Shares) -> list[tuple[int, Slice]]:
    """Return which slices their owners should give up until the shares are even, in order."""
    counts, owners = _Counts(shares), dict(shares.owners)
    groups = sorted({owned.group for owned in owners})
    found = list[tuple[int, Slice]]()
    while move := _next_move(shares, counts, owners, groups):
        giver, taker, moved = move
        counts.add(giver, moved, -1)
        counts.add(taker, moved, 1)
        owners[moved] = taker
        found.append((giver, moved))
    return found


def _next_move(
    shares: Shares, counts: _Counts, owners: Mapping[Slice, int | None], groups: list[str]
) -> tuple[int, int, Slice] | None:
    for within_group in (True, False):
        for group in groups:
            for taker in sorted(shares.able(group), key=lambda able: counts.load(able, group)):
                giver = _giver(shares, counts, group, taker, within_group=within_group)
                if giver is not None:
                    of_giver = [
                        owned
                        for owned, owner in owners.items()
                        if owner == giver and owned.group == group
                    ]
                    return giver, taker, max(of_giver)
    return None


def _giver(
    shares: Shares, counts: _Counts, group: str, taker: int, *, within_group: bool
) -> int | None:
    """Return the session that should give a slice of `group` to `taker`."""
    count, total, _ = counts.load(taker, group)
    enough = [
        session
        for session in shares.served
        if counts.of_group[session, group] >= count + (2 if within_group else 1)
        and (within_group or counts.total[session] >= total + 2)
    ]
    return max(enough, key=lambda session: counts.load(session, group), default=None)


def slices_of_source(active: int, now: int | None) -> int:
    """Return into how many slices a source with `active` watches is divided, that has `now` slices.

    They become fewer only where a quarter of the watches per slice is left, so that a source at
    the limit does not change all epochs again and again.
    """
    needed = 1
    while needed < MOST_SLICES and active > needed * WATCHES_PER_SLICE:
        needed *= 2
    if now is None or needed > now or active * 4 <= now * WATCHES_PER_SLICE:
        return needed
    return now
