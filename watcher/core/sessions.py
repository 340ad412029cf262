"""What one replica knows of its session: what it may trust, claim and give up. Pure; the clock is
an argument.

    event                                 consequence
    a renewal was answered                its slices are granted, until its start + `TRUSTED_FOR`
    no renewal for that long              nothing is granted, whatever the database says
    the session has ended                 a new one begins: all epochs are new
    a slice is released                   not granted any more, whether or not the statement failed
    a write shows another owner           not granted any more
    a slice is free                       it is claimed by the replica that should have it, and by
                                          any that can serve it after `LEFT_FREE`
    a replica has just started            slices of divided sources are claimed after `GATHERING`
    the shares are uneven for `CALM`,     one slice at a time is surplus, until it is released
    and all replicas are healthy
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from watcher.core.clock import Clock
from watcher.core.ownership import (
    RENEW_INTERVAL,
    TRUSTED_FOR,
    Grant,
    Group,
    Lease,
    Replica,
    Slice,
    source_group,
)
from watcher.core.slice_shares import Shares, assigned, moves

CALM = 0.75 * RENEW_INTERVAL
"""Seconds for which the live replicas and their groups stay the same before a slice moves: until
the second renewal after a hint shows another replica.
"""
HEALTHY_FOR = 2 * RENEW_INTERVAL
"""Seconds since its renewal for which a replica counts as healthy. While one is silent no slice
moves: if it has died, what it had or just got has to be taken over first.
"""
LEFT_FREE = 3.0
"""Seconds after which a free slice is claimed by any replica."""
GATHERING = 2.0
"""Seconds after its start in which a replica leaves a source with many watches alone: of replicas
that start together, none reads what another is going to have.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """A live session as the database has it. `groups` are the slices that it demands of each group
    that it can serve, None where the store decides.
    """

    session: int
    replica: Replica
    groups: Mapping[str, int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceRow:
    """A slice as the database has it; `owner` may be a session that has ended."""

    grant: Grant
    owner: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Live sessions and all slices, as of one moment, with the replica's own session renewed."""

    sessions: Sequence[SessionRow]
    slices: Sequence[SliceRow]

    def shares(self) -> Shares:
        served = {row.session: frozenset(row.groups) for row in self.sessions}
        owners = {
            row.grant.slice: row.owner if row.owner in served else None for row in self.slices
        }
        return Shares(served=served, owners=owners)


class LocalSession:
    """The session of this replica, by its own clock `now`, which also runs while the machine
    sleeps.
    """

    def __init__(self, now: Clock) -> None:
        self._now = now
        self._trusted_until = float("-inf")
        self._grants: Mapping[Slice, Grant] = {}
        self._void: frozenset[Grant] = frozenset()
        self._free_since: Mapping[Slice, float] = {}
        self._served: Mapping[int, frozenset[str]] = {}
        self._same_since = float("-inf")
        self._joined_at = float("-inf")
        self.session: int | None = None
        """Its number in the database; None before the first renewal, and after its end."""
        self.in_fleet = False
        """Whether this replica has ever had a session: else nothing is restricted."""
        self.fenced = 0
        """Writes that were rejected because the slice is not granted, or is another's."""

    def began(self, session: int) -> None:
        """A new session has begun, which owns nothing."""
        self.ended()
        if not self.in_fleet:
            self._joined_at = self._now()
        self.session = session
        self.in_fleet = True

    def ended(self) -> None:
        """The session has ended, or is given up."""
        self.session = None
        self._grants = {}
        self._void = frozenset()
        self._trusted_until = float("-inf")

    def renewed(self, started: float, rows: Rows) -> None:
        """A renewal that was started at `started` was answered with `rows`."""
        self._trusted_until = started + TRUSTED_FOR
        owned = [row.grant for row in rows.slices if row.owner == self.session]
        self._grants = {grant.slice: grant for grant in owned if grant not in self._void}
        self._void &= frozenset(owned)
        self._observe(rows.shares())

    def _observe(self, shares: Shares) -> None:
        """Note since when slices are free, and since when the same replicas are alive."""
        now = self._now()
        self._free_since = {
            owned: self._free_since.get(owned, now)
            for owned, owner in shares.owners.items()
            if owner is None
        }
        if shares.served != self._served:
            self._served, self._same_since = shares.served, now

    # What is granted

    @property
    def trusted(self) -> bool:
        """Whether the last renewal may still be trusted."""
        return self._now() < self._trusted_until

    def granted(self) -> Mapping[Slice, Grant]:
        """Return what this replica may poll and send now."""
        return self._grants if self.trusted else {}

    def void(self, slices: Collection[Slice]) -> None:
        """These slices are not granted any more, with the epochs that they have now."""
        lost = [self._grants[given] for given in slices if given in self._grants]
        self._void |= frozenset(lost)
        self._grants = {
            given: grant for given, grant in self._grants.items() if given not in slices
        }

    # What follows from a renewal

    def to_release(self, groups: Collection[Group]) -> list[Slice]:
        """Return what has to be released: what is not configured any more, or was not released
        because a statement failed.
        """
        names = {group.name for group in groups}
        self.void([given for given in self._grants if given.group not in names])
        return sorted(grant.slice for grant in self._void)

    def to_claim(self, rows: Rows) -> list[Slice]:
        """Return the free slices that this replica should claim."""
        now, taker = self._now(), assigned(rows.shares())
        left = _divided_sources(rows) if now - self._joined_at < GATHERING else frozenset()
        return [
            free
            for free, since in self._free_since.items()
            if (
                taker.get(free) == self.session
                or (free in taker and self._can_serve(free.group) and now - since >= LEFT_FREE)
            )
            and free.group not in left
        ]

    def _can_serve(self, group: str) -> bool:
        return self.session is not None and group in self._served.get(self.session, ())

    def lease(self, rows: Rows) -> Lease:
        """Return what is granted now, and what to give up."""
        granted = self.granted()
        unowned = tuple(assigned(rows.shares()))
        return Lease(
            grants=tuple(granted[given] for given in sorted(granted)),
            surplus=None if unowned else self._surplus(rows),
            replicas=tuple(sorted((row.replica for row in rows.sessions), key=_by_name)),
            unowned=unowned,
        )

    def _surplus(self, rows: Rows) -> Slice | None:
        silent = any(row.replica.renewed >= HEALTHY_FOR for row in rows.sessions)
        stops = not any(row.groups for row in rows.sessions if row.session == self.session)
        if silent or stops or self._now() - self._same_since < CALM:
            return None
        granted = self.granted()
        own = (given for giver, given in moves(rows.shares()) if giver == self.session)
        return next((given for given in own if given in granted), None)


def _divided_sources(rows: Rows) -> frozenset[str]:
    grants = [row.grant for row in rows.slices if row.grant.of > 1]
    return frozenset(
        grant.slice.group for grant in grants if grant.slice.group.startswith(source_group(""))
    )


def _by_name(replica: Replica) -> tuple[str, float]:
    return replica.name, replica.started_at
