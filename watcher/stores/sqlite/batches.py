"""Batches of tasks, for pages."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from watcher.core.reading import BatchSummary, BatchTasks
from watcher.core.summary import FailureGroup
from watcher.stores.sqlite import queries, rows
from watcher.stores.sqlite.page_reader import PageReader

_LAST_ADDED = 10_000
"""Watches among which the last batches are looked for."""

LAST_BATCHES = """
SELECT batch FROM (
    SELECT batch, id FROM watches NOT INDEXED WHERE id > (SELECT max(id) FROM watches) - ?
        AND batch IS NOT NULL)
GROUP BY batch ORDER BY max(id) DESC LIMIT ?
"""
COUNTS = """
SELECT batch, source, status, state, count(*), min(added_at), max(changed_at)
FROM watches INDEXED BY watches_batch WHERE batch IN (SELECT value FROM json_each(?))
GROUP BY batch, source, status, state
"""
FAILURES = """
SELECT status, substr(error_message, 1, 40), count(*), max(changed_at)
FROM watches INDEXED BY watches_batch
WHERE batch = ? AND state = 'done' AND status IN ('FAILED', 'COMPLETED_WITH_ERRORS')
GROUP BY 1, 2 ORDER BY 3 DESC, 4 DESC LIMIT 100
"""
_RANK = """
CASE WHEN state = 'active' THEN CASE WHEN lost_at IS NULL AND stalled_at IS NULL THEN 5 ELSE 2 END
    WHEN status = 'FAILED' THEN 0 WHEN status = 'COMPLETED_WITH_ERRORS' THEN 1
    WHEN status = 'CANCELED' THEN 3 WHEN status = 'SKIPPED' THEN 6
    WHEN status = 'COMPLETED' THEN 7 ELSE 4 END
"""
TASKS = f"""
SELECT * FROM (
    SELECT {_RANK} AS rank, id, {queries.WATCH} FROM watches INDEXED BY watches_batch
    WHERE batch = ?1)
WHERE (rank, -id) > (?2, ?3) ORDER BY rank, id DESC LIMIT ?4
"""
BUCKET = """
SELECT json_extract(CAST(body AS TEXT), '$.data.additional_data.bucket_id') FROM events
WHERE source = ?1 AND task_id = ?2 AND json_valid(CAST(body AS TEXT)) ORDER BY id DESC LIMIT 1
"""


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

    def __init__(self, reader: PageReader) -> None:
        self._reader = reader

    async def last(self, limit: int) -> Sequence[BatchSummary]:
        """Return the batches to which tasks were added last, failed ones first."""
        found = [row[0] for row in await self._reader.read(LAST_BATCHES, _LAST_ADDED, limit)]
        summaries = await self._summaries(found)
        return sorted((summaries[batch] for batch in found), key=lambda one: one.failed == 0)

    async def batch(self, batch: str, limit: int, cursor: str | None) -> BatchTasks | None:
        """Return a batch with a page of its tasks."""
        after = _place(cursor)
        summary = (await self._summaries([batch])).get(batch)
        if summary is None:
            return None
        failures = await self._reader.read(FAILURES, batch)
        found = await self._reader.read(TASKS, batch, after.rank, -after.id, limit + 1)
        watches = [rows.watch(row[2:]) for row in found[:limit]]
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
        found = await self._reader.read(BUCKET, *key)
        bucket = found[0][0] if found else None
        return bucket if isinstance(bucket, str) else None

    async def _summaries(self, batches: Sequence[str]) -> Mapping[str, BatchSummary]:
        counted: dict[str, list[rows.Row]] = {}
        for row in await self._reader.read(COUNTS, rows.as_json(batches)):
            counted.setdefault(row[0], []).append(row[1:])
        return {batch: _summary(batch, found) for batch, found in counted.items()}


def _summary(batch: str, found: Sequence[rows.Row]) -> BatchSummary:
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
