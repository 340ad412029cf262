"""What happened: to one task, and to deliveries."""

from collections.abc import Sequence

from watcher.core.deliveries import DeliveryState
from watcher.core.reading import DeliveryCount, DeliveryGroup, SentTo, TaskEvent
from watcher.core.tasks import TaskKey
from watcher.stores.sqlite import queries, rows
from watcher.stores.sqlite.page_reader import PageReader

EVENTS = """
SELECT id, event_id, type, at, sequence, previous_status, status,
    CASE WHEN type IN ('task.lost', 'task.stalled') AND json_valid(CAST(body AS TEXT))
        THEN json_extract(CAST(body AS TEXT), '$.data.reason') END,
    channels
FROM events WHERE source = ? AND task_id = ? ORDER BY id
"""
DELIVERIES = f"""
SELECT d.event, {queries.DELIVERY_COLUMNS}
FROM json_each(?) AS wanted CROSS JOIN deliveries AS d ON d.event = wanted.value
    JOIN events AS e ON e.id = d.event
ORDER BY d.event, d.id
"""
ATTEMPTS = f"""
SELECT delivery, {queries.ATTEMPT_COLUMNS}
FROM json_each(?) AS wanted CROSS JOIN attempts ON delivery = wanted.value
ORDER BY delivery, number
"""
FAILED = """
SELECT channel, substr(last_error, 1, 200), count(*), min(created_at), max(created_at)
FROM deliveries INDEXED BY deliveries_failed
WHERE state = 'failed' AND (?1 IS NULL OR channel = ?1)
GROUP BY 1, 2 ORDER BY 3 DESC, 5 DESC LIMIT 100
"""

# The state stands in each as it is, so that its partial index is used.
COUNTED = {
    state: "SELECT count(*), min(created_at), max(created_at) FROM deliveries"
    f" WHERE channel = ? AND state = '{state}'"
    for state in DeliveryState
}


class HistoryReader:
    """Reads what happened to tasks and deliveries."""

    def __init__(self, reader: PageReader) -> None:
        self._reader = reader

    async def of_task(self, key: TaskKey) -> Sequence[TaskEvent]:
        """Return the events about a task with their deliveries."""
        events = await self._reader.read(EVENTS, *key)
        sent = await self._sent([row[0] for row in events])
        return [
            TaskEvent(
                id=number,
                event_id=event_id,
                type=kind,
                at=at,
                sequence=sequence,
                previous_status=previous_status,
                status=status,
                reason=reason,
                channels=rows.names(channels),
                deliveries=sent.get(number, ()),
            )
            for number, event_id, kind, at, sequence, previous_status, status, reason, channels in (
                events
            )
        ]

    async def failed_deliveries(self, channel: str | None) -> Sequence[DeliveryGroup]:
        """Return the failed deliveries by channel and error."""
        return [
            DeliveryGroup(channel=name, error=error, count=count, oldest_at=first, newest_at=last)
            for name, error, count, first, last in await self._reader.read(FAILED, channel)
        ]

    async def count_deliveries(self, channel: str, state: DeliveryState) -> DeliveryCount | None:
        """Count the deliveries to a channel in one state."""
        ((count, oldest, newest),) = await self._reader.read(COUNTED[state], channel)
        return DeliveryCount(count=count, oldest_at=oldest, newest_at=newest) if count else None

    async def _sent(self, events: Sequence[int]) -> dict[int, list[SentTo]]:
        found = await self._reader.read(DELIVERIES, rows.as_json(events))
        deliveries = [(row[0], rows.delivery(row[1:])) for row in found]
        attempts: dict[int, list[rows.Row]] = {}
        ids = rows.as_json([delivery.id for _, delivery in deliveries])
        for row in await self._reader.read(ATTEMPTS, ids):
            attempts.setdefault(row[0], []).append(row[1:])
        sent: dict[int, list[SentTo]] = {}
        for event, delivery in deliveries:
            made = [rows.attempt(row) for row in attempts.get(delivery.id, ())]
            sent.setdefault(event, []).append(SentTo(delivery=delivery, attempts=made))
        return sent
