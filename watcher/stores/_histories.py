"""What happened: to one task, and to deliveries."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from watcher.core.deliveries import DeliveryState
from watcher.core.reading import DeliveryCount, DeliveryGroup, SentTo, TaskEvent
from watcher.core.tasks import TaskKey
from watcher.stores import _rows
from watcher.stores._rows import Row
from watcher.stores._task_lists import Reader


@dataclass(frozen=True, slots=True, kw_only=True)
class Statements:
    """The statements of a database; `as_parameter` makes one parameter of several IDs."""

    events: str
    """Of a task: ID, event ID, type, time, sequence, statuses, body of an alert, and channels."""
    deliveries: str
    """Of several events: the event and the columns of each delivery."""
    attempts: str
    """Of several deliveries: the delivery and the columns of each attempt."""
    failed: str
    """Of a channel, or of all: channel, beginning of the error, count, first and last time."""
    counted: Mapping[DeliveryState, str]
    """Of a channel: count, first and last time of its deliveries in a state."""
    as_parameter: Callable[[Sequence[int]], object]
    names: Callable[[Any], Sequence[str]]
    """Reads the column of an event's channels."""


class _Fields(msgspec.Struct):
    reason: str | None = None


class _Body(msgspec.Struct):
    data: _Fields


_decode_body = msgspec.json.Decoder(_Body).decode


class HistoryReader:
    """Reads what happened to tasks and deliveries."""

    def __init__(self, reader: Reader, statements: Statements) -> None:
        self._reader = reader
        self._statements = statements

    async def of_task(self, key: TaskKey) -> Sequence[TaskEvent]:
        """Return the events about a task with their deliveries."""
        events = await self._reader.read(self._statements.events, *key)
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
                reason=_reason_of(body),
                channels=self._statements.names(channels),
                deliveries=sent.get(number, ()),
            )
            for number, event_id, kind, at, sequence, previous_status, status, body, channels in (
                events
            )
        ]

    async def failed_deliveries(self, channel: str | None) -> Sequence[DeliveryGroup]:
        """Return the failed deliveries by channel and error."""
        return [
            DeliveryGroup(channel=name, error=error, count=count, oldest_at=first, newest_at=last)
            for name, error, count, first, last in await self._reader.read(
                self._statements.failed, channel
            )
        ]

    async def count_deliveries(self, channel: str, state: DeliveryState) -> DeliveryCount | None:
        """Count the deliveries to a channel in one state."""
        ((count, oldest, newest),) = await self._reader.read(
            self._statements.counted[state], channel
        )
        return DeliveryCount(count=count, oldest_at=oldest, newest_at=newest) if count else None

    async def _sent(self, events: Sequence[int]) -> dict[int, list[SentTo]]:
        found = await self._reader.read(
            self._statements.deliveries, self._statements.as_parameter(events)
        )
        deliveries = [(row[0], _rows.delivery(row[1:])) for row in found]
        attempts: dict[int, list[Row]] = {}
        ids = self._statements.as_parameter([delivery.id for _, delivery in deliveries])
        for row in await self._reader.read(self._statements.attempts, ids):
            attempts.setdefault(row[0], []).append(row[1:])
        sent: dict[int, list[SentTo]] = {}
        for event, delivery in deliveries:
            made = [_rows.attempt(row) for row in attempts.get(delivery.id, ())]
            sent.setdefault(event, []).append(SentTo(delivery=delivery, attempts=made))
        return sent


def _reason_of(body: bytes | None) -> str | None:
    """Return the reason that an alert states."""
    if body is None:
        return None
    try:
        return _decode_body(body).data.reason
    except msgspec.DecodeError:
        return None
