"""Sessions of replicas, what they own, and signals between them, in the PostgreSQL store."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import anyio
import msgspec

from watcher.core.clock import Clock, FollowedClock
from watcher.core.ownership import Grant, Group, Lease, Member, Replica, Signal, Signals, Slice
from watcher.core.reports import NOTHING_REPORTED, Report
from watcher.core.sessions import Rows, SessionRow, SliceRow
from watcher.stores._ownership import Renewals
from watcher.stores.postgresql import ownership_queries as queries
from watcher.stores.postgresql import rows
from watcher.stores.postgresql.connection import OWNERSHIP, WRITING
from watcher.stores.postgresql.database import Database, StorePart
from watcher.stores.postgresql.fence import slice_arrays
from watcher.stores.postgresql.hints import Connect
from watcher.stores.postgresql.schema import Connection

_decode: Callable[[str], Any] = msgspec.json.decode
_decode_report = msgspec.json.Decoder(Report).decode
TIMEOUT = 2.0
"""Seconds after which a statement has failed: well before a session ends."""


class PostgresqlOwnership(StorePart):
    """Implements `watcher.core.interfaces.ownership.Ownership`. `connect` opens a connection of its
    own, and `boot` is the clock by which this replica trusts its session; `clock` follows that of
    the database.
    """

    def __init__(
        self, database: Database, clock: FollowedClock, *, connect: Connect, boot: Clock
    ) -> None:
        super().__init__(database, clock)
        self._connect = connect
        self._statements = SqlStatements(database, clock, boot)
        self._renewals = Renewals(self._statements, database.local, boot)

    async def renew(
        self, member: Member, groups: Sequence[Group], lag: float, report: Report = NOTHING_REPORTED
    ) -> Lease:
        self._statements.report = report
        return await self._renewals.renew(member, groups, lag)

    def granted(self) -> Mapping[Slice, Grant]:
        return self._database.local.granted()

    def trusted(self) -> bool:
        return self._database.local.trusted

    def fenced(self) -> int:
        return self._database.local.fenced

    async def migrate(self) -> bool:
        return await self._database.migrate()

    async def release(self, slices: Collection[Slice]) -> None:
        await self._renewals.release(slices)

    async def leave(self) -> None:
        await self._renewals.leave()

    async def replicas(self) -> Sequence[Replica]:
        found = await self._database.read(queries.LIVE_SESSIONS)
        return [
            replace(_replica((*about, lag, renewed), _decode(slices)), report=_reported(report))
            for *about, report, lag, renewed, slices in map(tuple, found)
        ]

    async def signals(self, after: int | None) -> Signals:
        session = self._database.local.session
        (found,) = await self._database.read(queries.SIGNALS, after or 0, session)
        decoded = _decode(found["signals"] or "[]") if after is not None else []
        signals = tuple(
            Signal(group=name, task_ids=tuple(task_ids), attempt=attempt)
            for name, task_ids, attempt in decoded
        )
        for signal in signals:
            kind, _, name = signal.group.partition(" ")
            if kind == "channel":
                self._database.due_floors.of(name).stored(-math.inf)
        last = max(found["last"], after or 0)
        return Signals(last=last, last_event=found["last_event"], signals=signals)

    def now(self) -> float:
        return self._wall()

    async def follow(self, hint: Callable[[], None], moved: Callable[[], None]) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._database.pool.watch, self._connect)
            await self._database.hints.follow(self._connect, hint, moved)


class SqlStatements:
    """Implements `watcher.stores._ownership.SessionStatements`."""

    def __init__(self, database: Database, clock: FollowedClock, boot: Clock) -> None:
        self._database = database
        self._clock = clock
        self._boot = boot
        self.report = NOTHING_REPORTED
        """What each renewal stores."""

    async def begin(self, member: Member) -> int:
        parameters = (rows.clean(member.name), member.version, member.started_at)
        found = await self._database.update(
            queries.BEGIN_SESSION, *parameters, self._database.schema.known, limit=TIMEOUT
        )
        if not found:
            raise await self._database.unserved()
        return int(found[0]["session"])

    async def renew(
        self, session: int, groups: Mapping[str, int | None], lag: float
    ) -> Rows | None:
        report = msgspec.json.encode(self.report).decode()
        changes = self._database.changes
        parameters = (session, rows.as_json(groups), lag, report, changes)
        requested_at = self._boot()
        (found,) = await self._database.update(queries.RENEW_SESSION, *parameters, limit=TIMEOUT)
        self._clock.answered(found["now"], requested_at)
        if not found["renewed"]:
            return None
        slices = [
            SliceRow(grant=Grant(Slice(name, number), epoch, of), owner=owner)
            for name, number, epoch, of, owner in _decode(found["slices"] or "[]")
        ]
        owned: dict[int, list[Slice]] = {}
        for row in slices:
            if row.owner is not None:
                owned.setdefault(row.owner, []).append(row.grant.slice)
        return Rows(sessions=_sessions(found["sessions"], owned), slices=slices)

    async def divide(self, slices: Mapping[str, int]) -> None:
        async def divide(connection: Connection) -> None:
            numbers = list(slices.values())
            await connection.execute(queries.DIVIDE, list(slices), numbers, timeout=TIMEOUT)

        await self._database.transact(divide, WRITING, OWNERSHIP, limit=TIMEOUT)

    async def claim(self, session: int, slices: Collection[Slice]) -> None:
        async def claim(connection: Connection) -> None:
            await connection.execute(queries.END_EXPIRED_SESSIONS, timeout=TIMEOUT)
            claimed = slice_arrays(slices)
            await connection.execute(queries.CLAIM, session, *claimed, timeout=TIMEOUT)

        await self._database.transact(claim, OWNERSHIP, limit=TIMEOUT)

    async def release(self, session: int, slices: Collection[Slice]) -> None:
        released = slice_arrays(slices)
        await self._database.update(queries.RELEASE, session, *released, limit=TIMEOUT)

    async def end(self, session: int) -> None:
        await self._database.update(queries.END_SESSION, session, limit=TIMEOUT)

    async def count_active(self, source: str, most: int) -> int:
        parameters = (source, most)
        ((count,),) = await self._database.read(queries.COUNT_ACTIVE, *parameters, limit=TIMEOUT)
        return int(count)


def _reported(report: str) -> Report:
    """Return the report of a replica; none of a version whose reports are of another form."""
    try:
        return _decode_report(report)
    except msgspec.ValidationError:
        return NOTHING_REPORTED


def _sessions(found: str, owned: Mapping[int, Sequence[Slice]]) -> list[SessionRow]:
    return [
        SessionRow(
            session=session,
            replica=_replica((*about, lag, renewed), owned.get(session, ())),
            groups=groups,
        )
        for session, *about, groups, lag, renewed in _decode(found)
    ]


def _replica(about: Sequence[Any], slices: Iterable[Any]) -> Replica:
    name, version, started_at, lag, renewed = about
    return Replica(
        name=name,
        version=version,
        started_at=started_at,
        lag=lag,
        renewed=max(float(renewed), 0.0),
        slices=tuple(sorted(Slice(*owned) for owned in slices)),
    )
