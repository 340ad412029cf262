"""How a replica renews its session and claims slices: the order of the steps, for every store that
replicas share. The statements are an argument, so a simulation runs the same steps.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import anyio

from watcher.core.clock import Clock
from watcher.core.ownership import SLOTS, Group, Lease, Member, Slice, source_of
from watcher.core.sessions import LocalSession, Rows
from watcher.core.slice_shares import MOST_COUNTED, slices_of_source

_COUNT_INTERVAL = 60.0
"""Seconds between two counts of the active watches of a source."""


class SessionStatements(Protocol):
    """What the steps need of the database. Each is one transaction and may raise `StoreError`."""

    async def begin(self, member: Member) -> int:
        """Begin a session that lasts `SESSION_LASTS`; return its number, which no other one has."""
        ...

    async def renew(
        self, session: int, groups: Mapping[str, int | None], lag: float
    ) -> Rows | None:
        """Renew a session that has not ended, and return what is stored; None if it has."""
        ...

    async def divide(self, slices: Mapping[str, int]) -> None:
        """Set the numbers of slices of groups; each that changes makes all slices of its group
        free, with new epochs.
        """
        ...

    async def claim(self, session: int, slices: Collection[Slice]) -> None:
        """End the sessions that were not renewed; give those of `slices` that are free to a
        session that has not ended, each with a new epoch.
        """
        ...

    async def release(self, session: int, slices: Collection[Slice]) -> None:
        """Make those of `slices` free that the session owns."""
        ...

    async def end(self, session: int) -> None:
        """End a session: its slices are free."""
        ...

    async def count_active(self, source: str, most: int) -> int:
        """Count the active watches of a source, up to `most`."""
        ...


class Renewals:
    """Renews the session `local`. Its methods exclude each other."""

    def __init__(self, statements: SessionStatements, local: LocalSession, now: Clock) -> None:
        self._statements = statements
        self._local = local
        self._now = now
        self._lock = anyio.Lock()
        self._counted_at: dict[str, float] = {}

    async def renew(self, member: Member, groups: Sequence[Group], lag: float) -> Lease:
        """Renew the session or begin one, and claim what this replica should have."""
        wanted = [group for group in groups if group.wanted]
        demanded = {group.name: group.slices for group in wanted}
        async with self._lock:
            rows = await self._renewed(member, demanded, lag)
            if divided := await self._to_divide(wanted, rows):
                await self._statements.divide(divided)
                rows = await self._renewed(member, demanded, lag)
            if released := self._local.to_release(groups):
                await self._release(released)
            if claimed := self._local.to_claim(rows):
                await self._statements.claim(self._session, claimed)
                rows = await self._renewed(member, demanded, lag)
            return self._local.lease(rows)

    @property
    def _session(self) -> int:
        return self._local.session or 0

    async def _renewed(
        self, member: Member, demanded: Mapping[str, int | None], lag: float
    ) -> Rows:
        while True:
            if self._local.session is None:
                self._local.began(await self._statements.begin(member))
            started = self._now()
            rows = await self._statements.renew(self._session, demanded, lag)
            if rows is not None:
                self._local.renewed(started, rows)
                return rows
            self._local.ended()

    async def release(self, slices: Collection[Slice]) -> None:
        """Give up slices. They are void from the first moment on."""
        self._local.void(slices)
        async with self._lock:
            if self._local.session is not None:
                await self._release(slices)

    async def _release(self, slices: Collection[Slice]) -> None:
        await self._statements.release(self._session, slices)

    async def leave(self) -> None:
        """End the session."""
        async with self._lock:
            session = self._local.session
            self._local.ended()
            if session is not None:
                await self._statements.end(session)

    async def _to_divide(self, groups: Sequence[Group], rows: Rows) -> Mapping[str, int]:
        """Return the numbers of slices that have to change."""
        now = {row.grant.slice.group: row.grant.of for row in rows.slices}
        wanted = {group.name: await self._wanted(group, rows, now) for group in groups}
        return {name: number for name, number in wanted.items() if now.get(name) != number}

    async def _wanted(self, group: Group, rows: Rows, now: Mapping[str, int]) -> int:
        demands = [row.groups.get(group.name) for row in rows.sessions]
        fixed = [demand for demand in demands if demand is not None]
        if fixed:
            return min(max(fixed), SLOTS)
        divided = now.get(group.name)
        if divided is not None and not self._counts(group.name):
            return divided
        active = await self._statements.count_active(source_of(group.name), MOST_COUNTED)
        return slices_of_source(active, divided)

    def _counts(self, group: str) -> bool:
        """Return whether this replica should count the watches of a source again."""
        due = self._now() - self._counted_at.get(group, float("-inf")) >= _COUNT_INTERVAL
        if due and Slice(group, 0) in self._local.granted():
            self._counted_at[group] = self._now()
            return True
        return False
