"""The log lines of stored changes: one for each event of a task."""

import logging

import msgspec

from watcher.core.durations import rounded_duration
from watcher.core.events import TASK_ALERTS, Change, Event
from watcher.core.log_fields import about
from watcher.core.texts import cut

logger = logging.getLogger(__name__)

_ERROR_SHOWN = 300
"""Characters of a task's error; its event has all of them."""


class _Data(msgspec.Struct):
    reason: str = ""


class _Alert(msgspec.Struct):
    data: _Data


_decode_alert = msgspec.json.Decoder(_Alert).decode


def log_change(change: Change) -> None:
    """Log a stored change if it has an event: a transition, or that a task is lost or stalled.

    A line such as `task_2 IN_PROGRESS → FAILED (41 min): Object not found → backend, alerts` names
    the channels last, for how long the previous status was seen, and why.
    """
    if (event := change.event) is None:
        return
    key = change.watch.key
    if event.type in TASK_ALERTS:
        what, cause = event.type.removeprefix("task."), _decode_alert(event.body).data.reason
    else:
        what, cause = _transition(event, change.unchanged_for), change.watch.error_message or ""
    logger.info(
        "%s %s%s%s",
        key.task_id,
        what,
        f": {cut(cause, _ERROR_SHOWN)}" if cause else "",
        f" → {', '.join(event.channels)}" if event.channels else "",
        extra=about(source=key.source, task_id=key.task_id, event_id=event.event_id),
    )


def _transition(event: Event, unchanged_for: float | None) -> str:
    if event.previous_status is None:
        return f"first seen {event.status}"
    lasted = "" if unchanged_for is None else f" ({rounded_duration(unchanged_for)})"
    return f"{event.previous_status} → {event.status}{lasted}"
