"""Records for tests: a watch, a step of it, and the events of a line."""

from collections.abc import Sequence
from dataclasses import replace

from msgspec import Raw

from watcher.core.deliveries import AttemptResult, DeliveryState
from watcher.core.events import Change, Event
from watcher.core.tasks import Detail, Observation, TaskKey, Watch, WatchRequest, WatchState

KEY = TaskKey("mixpeek", "task_1")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
"""The key of the Standard Webhooks specification's own example."""


def request(task_id: str = KEY.task_id, **labels: str) -> WatchRequest:
    return WatchRequest(key=TaskKey("mixpeek", task_id), labels=labels)


def event(
    number: int,
    *,
    key: TaskKey | None = KEY,
    channels: tuple[str, ...] = ("backend",),
    at: float = 100.0,
    order_key: str | None = None,
) -> Event:
    return Event(
        event_id=f"msg_{key.task_id if key else 'notice'}_{number}",
        type="task.in_progress",
        at=at,
        body=b'{"number":%d}' % number,
        order_key=order_key or f"task {key}",
        channels=channels,
        key=key,
        sequence=number,
        status="IN_PROGRESS",
    )


def step(
    watch: Watch, status: str, *, at: float = 100.0, channels: tuple[str, ...] = ("backend",)
) -> Change:
    """The change by which `watch` comes to `status`."""
    sequence = watch.sequence + 1
    done = status in ("COMPLETED", "FAILED")
    after = replace(
        watch,
        status=status,
        sequence=sequence,
        state=WatchState.DONE if done else WatchState.ACTIVE,
        first_seen_at=watch.first_seen_at or at,
        changed_at=at,
    )
    event_of_step = replace(
        event(sequence, key=watch.key, channels=channels, at=at),
        previous_status=watch.status,
        status=status,
        type=f"task.{status.lower()}",
        body=b'{"data":{"task_id":"%s"},"number":%d}' % (watch.key.task_id.encode(), sequence),
    )
    return Change(watch=after, expected_sequence=watch.sequence, event=event_of_step)


def observation(task_id: str, status: str, extra: bytes = b"") -> Observation:
    raw = b'{"task_id":"%s","status":"%s"%s}' % (task_id.encode(), status.encode(), extra)
    return observed(task_id, status, raw)


def observed(
    task_id: str,
    status: str,
    raw: bytes,
    error: str | None = None,
    upstream_status: str | None = None,
    unreadable: Sequence[str] = (),
) -> Observation:
    """An answer whose details are these."""
    detail = Detail(
        error_message=error,
        raw=Raw(raw),
        upstream_status=upstream_status,
        unreadable=unreadable,
    )
    return Observation(
        task_id=task_id, status=status, task_type="api_x", details=KnownDetail(detail)
    )


class KnownDetail:
    """Implements `watcher.core.tasks.Details` with one record."""

    def __init__(self, detail: Detail) -> None:
        self._detail = detail

    def of(self, task_id: str) -> Detail:
        return self._detail


def settled(
    delivery_id: int,
    state: DeliveryState,
    *,
    at: float = 100.0,
    next_attempt_at: float | None = None,
    unblocks_at: float | None = None,
    not_before: float | None = None,
) -> AttemptResult:
    return AttemptResult(
        delivery_id=delivery_id,
        state=state,
        attempted_at=at,
        scheduled=1,
        next_attempt_at=next_attempt_at,
        unblocks_at=unblocks_at,
        not_before=not_before,
    )
