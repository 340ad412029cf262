"""The log lines of stored changes: one for each event of a task."""

import logging

from watcher.core.events import TASK_ALERTS, Change
from watcher.core.log_fields import about

logger = logging.getLogger(__name__)


def log_change(change: Change) -> None:
    """Log a stored change if it has an event: a transition, or that a task is lost or stalled."""
    if (event := change.event) is None:
        return
    key = change.watch.key
    fields = about(source=key.source, task_id=key.task_id, event_id=event.event_id)
    if event.type in TASK_ALERTS:
        logger.info("task %r: %s", key.task_id, event.type, extra=fields)
    else:
        before = event.previous_status or "not seen before"
        logger.info("task %r: %s -> %s", key.task_id, before, event.status, extra=fields)
