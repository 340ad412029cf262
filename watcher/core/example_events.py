"""An event of each type in its true shape, marked as an example: what a channel's test sends."""

from collections.abc import Mapping

import msgspec

from watcher.core.clock import rfc3339
from watcher.core.event_bodies import ChannelData, ChannelTestData, SourceData, SystemData
from watcher.core.events import Event, system_event, task_alert_event, task_event
from watcher.core.selectors import KNOWN_EVENTS
from watcher.core.tasks import KNOWN_STATUSES, Detail, Observation, TaskKey, Watch

TEST_EVENT = "watcher.test"
"""The type of a test message that has the shape of no event."""
EXAMPLE_TYPES = (TEST_EVENT, *KNOWN_EVENTS)

_MARK = "an example, sent by `watcher channels test`"
_TASK_ID = "task_example"
_STATUS_OF = {f"task.{status.lower()}": status for status in KNOWN_STATUSES}
_ERRORS = ("FAILED", "COMPLETED_WITH_ERRORS")
_ALERTS: Mapping[str, str] = {
    "task.lost": "upstream has answered 404 for 600 s",
    "task.stalled": "unchanged for 24 h",
}


class _Details:
    """The details of the example's task."""

    def __init__(self, status: str) -> None:
        self._status = status

    def of(self, task_id: str) -> Detail:
        task = {
            "task_id": task_id,
            "inputs": ["batch_example"],
            "additional_data": {"batch_id": "batch_example"},
        }
        return Detail(
            error_message=_MARK if self._status in _ERRORS else None,
            raw=msgspec.Raw(msgspec.json.encode(task)),
            upstream_status=self._status,
        )


def example_event(kind: str, *, channel: str, at: float, event_id: str) -> Event:
    """Return an event of one of `EXAMPLE_TYPES` for a test of `channel`."""
    watch = Watch(
        key=TaskKey("mixpeek", _TASK_ID),
        labels={"example": "yes"},
        status="IN_PROGRESS",
        sequence=2,
        task_type="api_buckets_batches_process",
        added_at=at - 2460.0,
    )
    if kind in _ALERTS:
        reason = f"{_ALERTS[kind]} ({_MARK})"
        return task_alert_event(
            watch, kind, reason=reason, at=at, event_id=event_id, channels=(channel,)
        )
    if (status := _STATUS_OF.get(kind)) is not None:
        seen = Observation(
            task_id=_TASK_ID, status=status, task_type=watch.task_type, details=_Details(status)
        )
        return task_event(
            watch, seen, namespace=None, sequence=3, at=at, event_id=event_id, channels=(channel,)
        )
    return system_event(
        kind,
        at=at,
        event_id=event_id,
        data=_system_data(kind, channel, at),
        order_key="test",
        channels=(channel,),
    )


def _system_data(kind: str, channel: str, at: float) -> SystemData:
    if kind == TEST_EVENT:
        return ChannelTestData(channel=channel, reason="a test, sent by `watcher channels test`")
    since = rfc3339(at - 300)
    if kind.startswith("source."):
        return SourceData(
            source="mixpeek",
            reason="timeout",
            status=None,
            error=_MARK,
            since=since,
            active_watches=0,
        )
    return ChannelData(
        channel="example", reason="timeout", status=None, error=_MARK, since=since, pending=0
    )
