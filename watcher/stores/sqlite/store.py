"""The store on one SQLite file: the watchlist, the events, and the outbox of deliveries.

One writing connection behind a group commit, one reading connection beside it (WAL lets them run at once).
"""

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiosqlite
import anyio

from watcher.core.channels import Suspension, SuspensionKind
from watcher.core.clock import Clock, wall_clock
from watcher.core.deliveries import (
    Attempt,
    AttemptResult,
    Delivery,
    DeliveryState,
    DueDelivery,
    OutboxDepth,
)
from watcher.core.errors import StoreError, StoreUnusableError
from watcher.core.events import Change, Event, EventFilter, StoredEvent
from watcher.core.interfaces.store import StoreSize
from watcher.core.outage import Outage
from watcher.core.settings import MAX_SIZE
from watcher.core.tasks import (
    TERMINAL_STATUSES,
    ActiveWatch,
    Added,
    DiscoveredTask,
    OperationScope,
    TaskKey,
    Watch,
    WatchFilter,
    WatchRequest,
    WatchState,
)
from watcher.stores.sqlite import queries, rows
from watcher.stores.sqlite.connection import (
    connect,
    connect_reader,
    exclusive_lock,
    make_folder,
    store_error,
    warn_of_network,
)
from watcher.stores.sqlite.group_commit import GroupCommit

_BATCH = 5000
_UNCHANGED_BATCH = 500
_RETIRE_STEP = 1000
_RETIRING = (
    queries.RETIRE_DELIVERIES,
    queries.RETIRE_DONE,
    queries.RETIRE_EVENTS,
    queries.RETIRE_UPLOADS,
    queries.RETIRE_NOTES,
)
_VACUUM_PAGES = 1000


@asynccontextmanager
async def create(
    url: str,
    *,
    max_size: int = MAX_SIZE,
    wall: Clock = wall_clock,
    failed: Callable[[], None] = lambda: None,
) -> AsyncIterator["SqliteStore"]:
    """Open the store at `sqlite:////absolute/path` or `sqlite:///relative/path`, made where it is not there.

    It grows to `max_size` bytes, beyond which it refuses what would make it larger, like a disk that is full.
    `failed` is called for each operation that could not be done. Raises `StoreUnusableError` where this process cannot
    use the store at all.
    """
    path = _path(url)
    make_folder(path)
    with exclusive_lock(path):
        warn_of_network(path)
        try:
            writer = await connect(path, max_size)
        except OSError as error:
            raise StoreUnusableError(f"{path} cannot be opened: {error.strerror}") from None
        try:
            reader = await _connected_reader(path, max_size)
            try:
                yield SqliteStore(writer, reader, path, wall, failed)
            finally:
                with anyio.CancelScope(shield=True):
                    await reader.close()
        finally:
            with anyio.CancelScope(shield=True):
                await writer.close()


async def _connected_reader(path: Path, max_size: int) -> aiosqlite.Connection:
    try:
        return await connect_reader(path, max_size)
    except sqlite3.Error as error:
        raise StoreUnusableError(str(store_error(error, path))) from None


def _path(url: str) -> Path:
    name = url.removeprefix("sqlite:///")
    if name == url or name in ("", ":memory:") or name.endswith("/"):
        raise StoreUnusableError(
            f"{url!r} names no file; write sqlite:////var/lib/watcher/watcher.db"
        )
    return Path(name)


class SqliteStore:
    """Implements `watcher.core.interfaces.store.Store`."""

    def __init__(
        self,
        writer: aiosqlite.Connection,
        reader: aiosqlite.Connection,
        path: Path,
        wall: Clock,
        failed: Callable[[], None],
    ) -> None:
        self._commits = GroupCommit(writer, self._failure)
        self._reader = reader
        self._path = path
        self._wall = wall
        self._failed = failed

    def _failure(self, error: sqlite3.Error) -> StoreError:
        self._failed()
        return store_error(error, self._path)

    async def _read(self, query: str, *parameters: object) -> list[Any]:
        try:
            return list(await self._reader.execute_fetchall(query, parameters))
        except sqlite3.Error as error:
            raise self._failure(error) from None

    # The watchlist

    async def add(self, requests: Sequence[WatchRequest], now: float) -> Added:
        return await self._commits.write(lambda connection: _add(connection, requests, now))

    async def rule_ran(self, rule: str) -> bool:
        return bool(await self._read("SELECT 1 FROM discovery_rules WHERE rule = ?", rule))

    async def discover(
        self,
        rule: str,
        source: str,
        found: Sequence[DiscoveredTask],
        labels: Mapping[str, str],
        now: float,
        *,
        silent: bool,
    ) -> tuple[int, Added]:
        ids = rows.as_json([one.task_id for one in found])

        async def note(connection: aiosqlite.Connection) -> tuple[int, Added]:
            known = {
                row[0] for row in await connection.execute_fetchall(queries.DISCOVERED, (rule, ids))
            }
            new = {one.task_id: one for one in found if one.task_id not in known}
            await connection.execute(queries.STILL_LISTED, (rule, ids, now))
            await connection.executemany(
                queries.DISCOVER, [(rule, task_id, now) for task_id in new]
            )
            finished = [one for one in new.values() if silent and one.status in TERMINAL_STATUSES]
            told = rows.as_json(labels)
            await connection.executemany(
                queries.INSERT_FINISHED,
                [(source, one.task_id, told, one.status, one.task_type, now) for one in finished],
            )
            running = new.keys() - {one.task_id for one in finished}
            requests = [
                WatchRequest(key=TaskKey(source, one), labels=labels)
                for one in new
                if one in running
            ]
            return len(new), await _add(connection, requests, now)

        return await self._commits.write(note)

    async def rule_finished(self, rule: str, now: float, forget_before: float | None) -> None:
        async def finish(connection: aiosqlite.Connection) -> None:
            await connection.execute(
                "INSERT OR IGNORE INTO discovery_rules VALUES (?, ?)", (rule, now)
            )
            if forget_before is not None:
                await connection.execute(
                    "DELETE FROM discovered WHERE rule = ? AND listed_at < ?", (rule, forget_before)
                )

        await self._commits.write(finish)

    async def claim_operations(
        self, bucket: OperationScope, upload_ids: Sequence[str], now: float
    ) -> Mapping[str, str | None]:
        async def claim(connection: aiosqlite.Connection) -> Mapping[str, str | None]:
            found = await connection.execute_fetchall(
                queries.KNOWN_UPLOADS, (*bucket, rows.as_json(upload_ids))
            )
            known: dict[str, str | None] = {row[0]: row[1] for row in found}
            new = [(*bucket, upload_id, now) for upload_id in upload_ids if upload_id not in known]
            await connection.executemany(queries.CLAIM_UPLOAD, new)
            return known

        return await self._commits.write(claim)

    async def release_operations(self, bucket: OperationScope, upload_ids: Sequence[str]) -> None:
        async def release(connection: aiosqlite.Connection) -> None:
            await connection.execute(queries.RELEASE_UPLOADS, (*bucket, rows.as_json(upload_ids)))

        await self._commits.write(release)

    async def complete_operations(
        self, bucket: OperationScope, upload_ids: Sequence[str], started: WatchRequest, now: float
    ) -> Added:
        async def confirm(connection: aiosqlite.Connection) -> Added:
            told = (*bucket, rows.as_json(upload_ids), started.key.task_id, now)
            await connection.execute(queries.CONFIRM_UPLOADS, told)
            return await _add(connection, [started], now)

        return await self._commits.write(confirm)

    async def remove(self, key: TaskKey) -> bool:
        async def delete(connection: aiosqlite.Connection) -> bool:
            cursor = await connection.execute(
                "DELETE FROM watches WHERE source = ? AND task_id = ?", key
            )
            return cursor.rowcount > 0

        return await self._commits.write(delete)

    async def watches(self, keys: Sequence[TaskKey]) -> Mapping[TaskKey, Watch]:
        return {
            watch.key: watch
            for watch in map(rows.watch, await self._read(queries.WATCHES_BY_KEY, rows.keys(keys)))
        }

    async def find(self, task_id: str) -> Sequence[Watch]:
        query = f"SELECT {queries.WATCH_COLUMNS} FROM watches WHERE task_id = ? ORDER BY source"
        return [rows.watch(row) for row in await self._read(query, task_id)]

    async def list_watches(
        self, chosen: WatchFilter, limit: int, cursor: str | None
    ) -> tuple[Sequence[Watch], str | None]:
        conditions, parameters = _conditions(chosen)
        query = f"SELECT id, {queries.WATCH_COLUMNS} FROM watches WHERE id < ? {conditions} ORDER BY id DESC LIMIT ?"
        found = await self._read(query, _position(cursor), *parameters, limit + 1)
        return [rows.watch(row[1:]) for row in found[:limit]], _next_cursor(found, limit)

    async def active_watches(self) -> AsyncIterator[Sequence[ActiveWatch]]:
        last = 0
        while found := await self._read(queries.ACTIVE_WATCHES, last, _BATCH):
            last = found[-1][-1]
            yield [ActiveWatch(*row[:-1]) for row in found]

    async def unchanged_watches(self, source: str, before: float) -> AsyncIterator[Sequence[Watch]]:
        changed_at, last = 0.0, 0
        while found := await self._read(
            queries.UNCHANGED_WATCHES, source, before, changed_at, last, _UNCHANGED_BATCH
        ):
            watches = [rows.watch(row[:-1]) for row in found]
            changed_at, last = watches[-1].changed_at or 0.0, found[-1][-1]
            yield watches

    async def transitions(self, key: TaskKey) -> Sequence[StoredEvent]:
        query = f"SELECT {queries.EVENT_COLUMNS} FROM events WHERE source = ? AND task_id = ? ORDER BY id"
        return [rows.stored_event(row) for row in await self._read(query, *key)]

    # Events

    async def record(self, changes: Sequence[Change]) -> Sequence[bool]:
        async def step(connection: aiosqlite.Connection) -> Sequence[bool]:
            keys = rows.keys(change.watch.key for change in changes)
            standing = {
                TaskKey(source, task_id): (sequence, state)
                for source, task_id, sequence, state in await connection.execute_fetchall(
                    queries.STANDING, (keys,)
                )
            }
            applied = []
            for change in changes:
                applies = standing.get(change.watch.key) == (
                    change.expected_sequence,
                    WatchState.ACTIVE,
                )
                applied.append(applies)
                if applies:
                    standing[change.watch.key] = (change.watch.sequence, change.watch.state)
            taken = [change for change, applies in zip(changes, applied, strict=True) if applies]
            await connection.executemany(
                queries.STEP_WATCH, [rows.step_row(change.watch) for change in taken]
            )
            await _insert_events(
                connection, [change.event for change in taken if change.event is not None]
            )
            return applied

        return await self._commits.write(step)

    async def record_outage(
        self, event: Event | None, trouble: Outage | None, recovered: str | None = None
    ) -> None:
        async def insert(connection: aiosqlite.Connection) -> None:
            await _tell(connection, event, trouble)
            if recovered is not None:
                await connection.execute("DELETE FROM troubles WHERE subject = ?", (recovered,))

        await self._commits.write(insert)

    async def outage(self, subject: str) -> Outage | None:
        found = await self._read(
            "SELECT subject, since, alerted_at FROM troubles WHERE subject = ?", subject
        )
        return Outage(subject=subject, since=found[0][1], alerted_at=found[0][2]) if found else None

    async def suspensions(self) -> Sequence[Suspension]:
        found = await self._read("SELECT channel, kind, reason, since FROM holds ORDER BY channel")
        return [
            Suspension(channel=channel, kind=SuspensionKind(kind), reason=reason, since=since)
            for channel, kind, reason, since in found
        ]

    async def suspend(self, hold: Suspension, event: Event | None, trouble: Outage | None) -> None:
        async def insert(connection: aiosqlite.Connection) -> None:
            await _tell(connection, event, trouble)
            await connection.execute(
                "INSERT OR REPLACE INTO holds (channel, kind, reason, since) VALUES (?, ?, ?, ?)",
                (hold.channel, hold.kind, hold.reason, hold.since),
            )

        await self._commits.write(insert)

    async def lift_suspension(self, channel: str) -> None:
        async def delete(connection: aiosqlite.Connection) -> None:
            await connection.execute("DELETE FROM holds WHERE channel = ?", (channel,))

        await self._commits.write(delete)

    async def events_after(self, event_id: int, limit: int) -> Sequence[StoredEvent]:
        query = f"SELECT {queries.EVENT_COLUMNS} FROM events WHERE id > ? ORDER BY id LIMIT ?"
        return [rows.stored_event(row) for row in await self._read(query, event_id, limit)]

    async def last_event_id(self) -> int:
        found = await self._read("SELECT seq FROM sqlite_sequence WHERE name = 'events'")
        return int(found[0][0]) if found else 0

    # The outbox

    async def due(self, channel: str, now: float, limit: int) -> Sequence[DueDelivery]:
        return [
            rows.due_delivery(row) for row in await self._read(queries.DUE, channel, now, limit)
        ]

    async def next_due_at(self, channel: str, after: float) -> float | None:
        moment: float | None = (await self._read(queries.NEXT_DUE_AT, channel, after))[0][0]
        return moment

    async def due_for_probe(self, channel: str, limit: int) -> Sequence[DueDelivery]:
        return [rows.due_delivery(row) for row in await self._read(queries.STALEST, channel, limit)]

    async def settle(self, settlements: Sequence[AttemptResult]) -> None:
        now = self._wall()
        await self._commits.write_items(_settle, [(settlement, now) for settlement in settlements])

    async def unblock_expired(self, channel: str, now: float) -> int:
        if not await self._read(queries.PASSING, channel, now):
            return 0

        async def update(connection: aiosqlite.Connection) -> int:
            passed = [
                row[0]
                for row in await connection.execute_fetchall(queries.LET_PASS, (channel, now))
            ]
            await connection.execute(queries.UNBLOCK_NEXT, (rows.as_json(passed),))
            return len(passed)

        return await self._commits.write(update)

    async def make_due(self, channel: str, attempted_before: float, now: float) -> int:
        async def update(connection: aiosqlite.Connection) -> int:
            return (
                await connection.execute(queries.HASTEN, (channel, attempted_before, now))
            ).rowcount

        return await self._commits.write(update)

    async def list_deliveries(
        self, state: DeliveryState | None, channel: str | None, limit: int, cursor: str | None
    ) -> tuple[Sequence[Delivery], str | None]:
        query = f"""SELECT {queries.DELIVERY_COLUMNS} WHERE d.id < ?1 AND (?2 IS NULL OR d.state = ?2)
            AND (?3 IS NULL OR d.channel = ?3) ORDER BY d.id DESC LIMIT ?4"""
        found = await self._read(query, _position(cursor), state, channel, limit + 1)
        return [rows.delivery(row) for row in found[:limit]], _next_cursor(found, limit)

    async def delivery(self, delivery_id: int) -> tuple[Delivery, Sequence[Attempt]] | None:
        found = await self._read(f"SELECT {queries.DELIVERY_COLUMNS} WHERE d.id = ?", delivery_id)
        if not found:
            return None
        attempts = await self._read(queries.ATTEMPTS, delivery_id)
        return rows.delivery(found[0]), [rows.attempt(row) for row in attempts]

    async def retry(self, delivery_id: int, now: float) -> Delivery | None:
        async def reset(connection: aiosqlite.Connection) -> Delivery | None:
            await connection.execute(queries.RETRY, (delivery_id, now))
            # It may have been the head of its line.
            await connection.execute(queries.UNBLOCK_NEXT, (rows.as_json([delivery_id]),))
            query = f"SELECT {queries.DELIVERY_COLUMNS} WHERE d.id = ?"
            found = list(await connection.execute_fetchall(query, (delivery_id,)))
            return rows.delivery(found[0]) if found else None

        return await self._commits.write(reset)

    async def purge(self, channel: str, state: DeliveryState, before: float) -> int:
        async def delete(connection: aiosqlite.Connection) -> int:
            count = (
                await connection.execute(queries.PURGE, (channel, state, before, _RETIRE_STEP))
            ).rowcount
            if state is DeliveryState.PENDING and count < _RETIRE_STEP:
                await connection.execute(queries.REORDER_LINES, (channel,))
            return count

        gone = 0
        while removed := await self._commits.write(delete):
            gone += removed
        return gone

    async def trim_pending(self, channel: str, most: int, why: str) -> int:
        async def fail(connection: aiosqlite.Connection) -> int:
            ended = await connection.execute_fetchall(
                queries.OLDEST_FAIL, (channel, min(left, _BATCH), why)
            )
            ids = [row[0] for row in ended]
            await connection.execute(queries.UNBLOCK_NEXT, (rows.as_json(ids),))
            return len(ids)

        left = too_many = max((await self._read(queries.PENDING, channel))[0][0] - most, 0)
        while left > 0 and (failed := await self._commits.write(fail)):
            left -= failed
        return int(too_many - left)

    async def replay(self, channel: str, chosen: EventFilter, now: float) -> int:
        until = now if chosen.until is None else chosen.until
        statuses, tasks = (
            rows.as_json(names) if names else None for names in (chosen.statuses, chosen.task_ids)
        )
        span = (channel, chosen.since, until, now, statuses, tasks)

        async def queue(connection: aiosqlite.Connection) -> int:
            queued = [
                *await connection.execute_fetchall(queries.REPLAY_STORED, span),
                *await connection.execute_fetchall(queries.REPLAY_RETIRED, span),
            ]
            await connection.execute(queries.REORDER_LINES, (channel,))
            return len(queued)

        return await self._commits.write(queue)

    async def read_note(self, channel: str, name: str) -> bytes | None:
        found = await self._read(
            "SELECT value FROM notes WHERE channel = ? AND name = ?", channel, name
        )
        return found[0][0] if found else None

    async def write_note(self, channel: str, name: str, value: bytes, now: float) -> None:
        async def keep(connection: aiosqlite.Connection) -> None:
            await connection.execute(
                "INSERT OR REPLACE INTO notes VALUES (?, ?, ?, ?)", (channel, name, value, now)
            )

        await self._commits.write(keep)

    async def outbox(self) -> Sequence[OutboxDepth]:
        return [
            OutboxDepth(channel=channel, pending=pending, failed=failed, oldest_created_at=oldest)
            for channel, pending, failed, oldest in await self._read(queries.OUTBOX)
        ]

    # Upkeep

    async def prune(self, before: float, *, failed_too: bool = False) -> int:
        gone = 0
        for query in (queries.RETIRE_FAILED, *_RETIRING) if failed_too else _RETIRING:
            while removed := await self._delete_some(query, before):
                gone += removed
        await self._vacuum()
        return gone

    async def prune_lost(self, before: float) -> Sequence[TaskKey]:
        async def delete(connection: aiosqlite.Connection) -> Sequence[TaskKey]:
            found = await connection.execute_fetchall(queries.RETIRE_LOST, (before, _RETIRE_STEP))
            return [TaskKey(source, task_id) for source, task_id in found]

        return await self._commits.write(delete)

    async def size(self) -> StoreSize:
        used, limit = (await self._read(queries.SIZE))[0]
        return StoreSize(used=used, limit=limit)

    async def ping(self) -> None:
        now = self._wall()

        async def beat(connection: aiosqlite.Connection) -> None:
            await connection.execute("UPDATE pulse SET at = ?", (now,))

        await self._commits.write(beat)

    async def _delete_some(self, query: str, before: float) -> int:
        async def delete(connection: aiosqlite.Connection) -> int:
            return (await connection.execute(query, (before, _RETIRE_STEP))).rowcount

        return await self._commits.write(delete)

    async def _vacuum(self) -> None:
        async def shrink(connection: aiosqlite.Connection) -> None:
            await connection.execute_fetchall(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")

        await self._commits.write(shrink)


async def _settle(
    connection: aiosqlite.Connection, settlements: Sequence[tuple[AttemptResult, float]]
) -> None:
    await connection.executemany(
        queries.SETTLE, [rows.settle_row(settled, now) for settled, now in settlements]
    )
    await connection.executemany(
        queries.ATTEMPT, [rows.attempt_row(settled) for settled, _ in settlements]
    )
    ids = [settled.delivery_id for settled, _ in settlements]
    await connection.execute(queries.UNBLOCK_NEXT, (rows.as_json(ids),))


async def _tell(
    connection: aiosqlite.Connection, event: Event | None, trouble: Outage | None
) -> None:
    if event is not None:
        await _insert_events(connection, [event])
    if trouble is not None:
        await connection.execute(
            "INSERT OR REPLACE INTO troubles (subject, since, alerted_at) VALUES (?, ?, ?)",
            (trouble.subject, trouble.since, trouble.alerted_at),
        )


async def _add(
    connection: aiosqlite.Connection, requests: Sequence[WatchRequest], now: float
) -> Added:
    keys = rows.keys(request.key for request in requests)
    found = await connection.execute_fetchall(queries.WATCHES_BY_KEY, (keys,))
    before = {watch.key: watch for watch in map(rows.watch, found)}
    after = _merge(requests, before, now)
    new = [watch for key, watch in after.items() if key not in before]
    merged = [watch for key, watch in after.items() if key in before and watch != before[key]]
    await connection.executemany(
        queries.INSERT_WATCH,
        [
            (*watch.key, watch.namespace, rows.as_json(watch.labels), watch.added_at)
            for watch in new
        ],
    )
    await connection.executemany(
        queries.MERGE_WATCH,
        [(watch.namespace, rows.as_json(watch.labels), *watch.key) for watch in merged],
    )
    lost = {key for key, watch in before.items() if watch.lost_at is not None}
    return Added(
        added=len(new),
        existing=len(requests) - len(new),
        watches=tuple(after[request.key] for request in requests),
        reactivated=frozenset({watch.key for watch in new} | lost),
    )


def _merge(
    requests: Iterable[WatchRequest], before: Mapping[TaskKey, Watch], now: float
) -> dict[TaskKey, Watch]:
    after = dict(before)
    for request in requests:
        known = after.get(request.key) or Watch(key=request.key, added_at=now)
        after[request.key] = replace(
            known,
            namespace=request.namespace if known.namespace is None else known.namespace,
            labels={**known.labels, **request.labels},
        )
    return after


def _conditions(chosen: WatchFilter) -> tuple[str, list[object]]:
    conditions: list[str] = []
    parameters: list[object] = []
    if chosen.statuses:
        conditions.append(f"AND status IN ({', '.join('?' * len(chosen.statuses))})")
        parameters += chosen.statuses
    if chosen.state is not None:
        conditions.append("AND state = ?")
        parameters.append(chosen.state)
    for name, value in chosen.labels.items():
        conditions.append(
            "AND EXISTS (SELECT 1 FROM json_each(labels) WHERE key = ? AND json_each.value = ?)"
        )
        parameters += [name, value]
    return " ".join(conditions), parameters


async def _insert_events(connection: aiosqlite.Connection, events: Sequence[Event]) -> None:
    await connection.executemany(queries.INSERT_EVENT, [rows.event_row(event) for event in events])
    pairs = [(event.event_id, channel) for event in events for channel in event.channels]
    await connection.executemany(queries.INSERT_DELIVERY, pairs)


def _next_cursor(found: Sequence[Any], limit: int) -> str | None:
    return None if len(found) <= limit else str(found[limit - 1][0])


def _position(cursor: str | None) -> int:
    """Return the id that a page begins below. Raises `ValueError` for a cursor that is none of ours."""
    if cursor is None:
        return 2**63 - 1
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
        raise ValueError("this cursor was not given by a list of this store")
    return int(cursor)
