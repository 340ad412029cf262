"""Deliveries for tests that use no store."""

from dataclasses import replace
from typing import Any

from watcher.core.deliveries import DueDelivery

DELIVERY = DueDelivery(
    id=1,
    channel="backend",
    event_id="msg_1",
    type="task.failed",
    task_id="task_1",
    body=b"{}",
    body_size=2,
    event_at=900.0,
    created_at=900.0,
    watched_for=None,
    attempts=1,
    scheduled=1,
    first_attempt_at=990.0,
    last_attempt_at=990.0,
    next_attempt_at=995.0,
    scheduled_at=995.0,
    not_before=None,
)


def due_delivery(number: int, **changes: Any) -> DueDelivery:
    return replace(DELIVERY, id=number, event_id=f"msg_{number}", **changes)
