"""The last transitions, as rows of the overview. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from watcher.api.page.marks import Mark, of_status
from watcher.api.page.paths import address, segment
from watcher.core.events import TASK_ALERTS, StoredEvent

SHOWN = 12
READ = 4 * SHOWN
"""Events to read: some of the last ones may be about sources and channels."""


class _Data(msgspec.Struct):
    task_id: str
    source: str | None = None
    error_message: str | None = None


class _Body(msgspec.Struct):
    data: _Data


_decode = msgspec.json.Decoder(_Body).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentTransition:
    """A task and the status that it got."""

    number: int
    task_id: str
    link: str
    previous: Mark | None
    mark: Mark
    error: str | None
    at: float


def transitions(events: Iterable[StoredEvent]) -> list[RecentTransition]:
    """Return the last transitions among `events`, the newest first."""
    found = [
        event for event in events if event.sequence is not None and event.type not in TASK_ALERTS
    ]
    return [_transition(event) for event in reversed(found[-SHOWN:])]


def _transition(event: StoredEvent) -> RecentTransition:
    data = _decode(event.body).data
    previous = event.previous_status
    return RecentTransition(
        number=event.id,
        task_id=data.task_id,
        link=address(f"tasks/{segment(data.task_id)}", {"source": data.source}),
        previous=None if previous is None else of_status(previous),
        mark=of_status(event.status),
        error=data.error_message,
        at=event.at,
    )
