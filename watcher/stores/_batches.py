"""Batches of tasks, for pages."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from watcher.core.reading import BatchSummary, BatchTasks
from watcher.core.summary import FailureGroup
from watcher.core.tasks import Watch
from watcher.stores._rows import Row
from watcher.stores._task_lists import Reader

_LAST_ADDED = 10_000
"""Watches among which the last batches are looked for."""

RANK = """
CASE WHEN state = 'active' THEN CASE WHEN lost_at IS NULL AND stalled_at IS NULL THEN 5 ELSE 2 END
    WHEN status = 'FAILED' THEN 0 WHEN status = 'COMPLETED_WITH_ERRORS' THEN 1
    WHEN status = 'CANCELED' THEN 3 WHEN status = 'SKIPPED' THEN 6
    WHEN status = 'COMPLETED' THEN 7 ELSE 4 END
"""
"""The rank of a task within its batch: the failed ones come first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statements:
    """The statements of a database, `as_parameter` makes one parameter of several texts."""

    last: str
    """The batches among the last watches: of how many, and how many batches."""
    counts: str
    """Of several batches: each with source, status, state, count, first addition, last change."""
    failures: str
    """Of a batch: status, beginning of the error, count and last change of its failures."""
    tasks: str
    """Of a batch after a rank and a negative ID, as many as a number: rank, ID and watch."""
    bodies: str
    """Of a task: the body of its last event."""
    as_parameter: Callable[[Sequence[str]], object]
    watch: Callable[[Row], Watch]


class _AdditionalFields(msgspec.Struct):
    bucket_id: object = None


class _Fields(msgspec.Struct):
    additional_data: _AdditionalFields | None = None


class _Body(msgspec.Struct):
    data: _Fields


_decode_body = msgspec.json.Decoder(_Body).decode


class _Place(NamedTuple):
    rank: int
    id: int

    def text(self) -> str:
        return f"{self.rank}_{self.id}"


def _place(cursor: str | None) -> _Place:
    if cursor is None:
        return _Place(-1, 0)
    rank, _, number = cursor.partition("_")
    if not all(one.isascii() and one.isdigit() and len(one) <= 18 for one in (rank, number)):
        raise ValueError("invalid cursor: pass the next_cursor of the previous page")
    return _Place(int(rank), int(number))


class BatchReader:
    """Reads batches."""

    def __init__(self, reader: Reader, statements: Statements) -> None:
        self._reader = reader
        self._statements = statements

    async def last(self, limit: int) -> Sequence[BatchSummary]:
        """Return the batches to which tasks were added last, failed ones first."""
        found = await self._reader.read(self._statements.last, _LAST_ADDED, limit)
        batches = [row[0] for row in found]
        summaries = await self._summaries(batches)
        return sorted((summaries[batch] for batch in batches), key=lambda one: one.failed == 0)

    async def batch(self, batch: str, limit: int, cursor: str | None) -> BatchTasks | None:
        """Return a batch with a page of its tasks."""
        after = _place(cursor)
        summary = (await self._summaries([batch])).get(batch)
        if summary is None:
            return None
        failures = await self._reader.read(self._statements.failures, batch)
        found = await self._reader.read(
            self._statements.tasks, batch, after.rank, -after.id, limit + 1
        )
        watches = [self._statements.watch(row[2:]) for row in found[:limit]]
        return BatchTasks(
            summary=summary,
            bucket=await self._bucket(watches[0].key) if watches else None,
            failures=[
                FailureGroup(status=status, error=error, count=count, last_at=at)
                for status, error, count, at in failures
            ],
            watches=watches,
            next_cursor=_Place(*found[limit - 1][:2]).text() if len(found) > limit else None,
        )

    async def _bucket(self, key: tuple[str, str]) -> str | None:
        found = await self._reader.read(self._statements.bodies, *key)
        return _bucket_of(found[0][0]) if found else None

    async def _summaries(self, batches: Sequence[str]) -> Mapping[str, BatchSummary]:
        counted: dict[str, list[Row]] = {}
        wanted = self._statements.as_parameter(batches)
        for row in await self._reader.read(self._statements.counts, wanted):
            counted.setdefault(row[0], []).append(row[1:])
        return {batch: _summary(batch, found) for batch, found in counted.items()}


def _summary(batch: str, found: Sequence[Row]) -> BatchSummary:
    counts: dict[str | None, int] = {}
    for _, status, _, count, _, _ in found:
        counts[status] = counts.get(status, 0) + count
    return BatchSummary(
        batch=batch,
        sources=sorted({row[0] for row in found}),
        counts=counts,
        active=sum(row[3] for row in found if row[2] == "active"),
        added_at=min(row[4] for row in found),
        changed_at=max((row[5] for row in found if row[5] is not None), default=None),
    )


def _bucket_of(body: bytes) -> str | None:
    """Return the bucket that an event names, if any."""
    try:
        additional = _decode_body(body).data.additional_data
    except msgspec.DecodeError:
        return None
    bucket = None if additional is None else additional.bucket_id
    return bucket if isinstance(bucket, str) else None
