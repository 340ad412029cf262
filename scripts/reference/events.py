"""The events. The daemon's own code builds the examples, which check the descriptions."""

import json

import msgspec

from scripts.reference.markdown import Json, code, page, table
from watcher.core.events import event_type, task_alert_event, task_event
from watcher.core.tasks import (
    KNOWN_STATUSES,
    TERMINAL_STATUSES,
    Detail,
    Observation,
    TaskKey,
    Watch,
)

INTRODUCTION = """
A webhook is a `POST` with the body below and the headers `webhook-id`, `webhook-timestamp` and
`webhook-signature` of [Standard Webhooks](https://www.standardwebhooks.com). `GET /v1/events`
streams the same bodies.
"""
UNKNOWN_STATUS = """
Any other status has the type `task.` and the status in lower case, with characters outside
`[a-z0-9_]` as `_`.
"""
TYPES = {
    "task.lost": "upstream has answered 404 for longer than `lost_after`",
    "task.stalled": "the status has not changed for longer than `stalled_after`",
    "source.unreachable": "a source has failed for `unreachable_after`, rejects the key, or knows"
    " none of the tasks",
    "source.recovered": "a source that was unreachable answers again",
    "channel.failing": "a channel has failed for `alert_after`, a delivery ended as `failed`, or"
    " its backlog exceeds its share of the store",
    "channel.recovered": "a channel that failed accepts deliveries again",
    "channel.stopped": "a channel was stopped by its receiver (410), or is off after three days of"
    " failures",
}
TASK_FIELDS = {
    "task_id": "ID of the task",
    "task_type": "type of the task, cut to 256 characters, or null",
    "source": "name of the source",
    "namespace": "namespace of the watch, else of the task, cut to 256 characters, or null",
    "previous_status": "status before, null for the first",
    "status": "status now, under its canonical name, of at most 100 characters",
    "upstream_status": "upstream's own word for it, of at most 256 characters; null in"
    " `task.lost` and `task.stalled`",
    "terminal": "true if the status is final",
    "sequence": "number of the task's transition, from 1; not advanced by `task.lost` and"
    " `task.stalled`",
    "error_message": "error of the task, cut to 8,192 characters, or null",
    "inputs": "as upstream returned them",
    "outputs": "as upstream returned them",
    "additional_data": "as upstream returned it",
    "labels": "labels of the watch: at most 20, names of 64 and values of 256 characters",
    "unreadable": "only if there are any: the paths of values that JSON cannot represent, sent as"
    " null; the first 100",
    "truncated": "only if true: the event was too large for the receiver or for `max_body`, and"
    " fields are left out",
    "observed_from": "`batch` if the task itself was gone and its batch showed the status; else"
    " absent",
    "reason": "only in `task.lost` and `task.stalled`, whose other fields are the last known ones;"
    " at most 1,000 characters",
}
OCCASIONAL_FIELDS = ("unreadable", "truncated", "observed_from")
"""Fields of `data` that the examples do not have."""
SYSTEM_FIELDS = {
    "source": "name of the source, in `source.*`",
    "channel": "name of the channel, in `channel.*`",
    "reason": "what failed; for a backlog above its share of the store, in words with the number"
    " and the times of the deliveries that failed",
    "status": "HTTP status of the last failure, or null",
    "error": "text of the last failure, with the first line of the response, cut to 8,192"
    " characters, or null",
    "since": "start of the outage",
    "active_watches": "number of active watches of the source, in `source.*`",
    "pending": "number of pending deliveries of the channel, in `channel.*`",
}


class _Details:
    """The task of the example events."""

    def of(self, task_id: str) -> Detail:
        task = {
            "task_id": task_id,
            "inputs": ["batch_xyz"],
            "additional_data": {"batch_id": "batch_xyz"},
        }
        error = "Failed to process batch: Object not found"
        return Detail(
            error_message=error,
            raw=msgspec.Raw(msgspec.json.encode(task)),
            upstream_status="failed",
        )


def events() -> str:
    changed, stalled = _examples()
    if undescribed := {*changed["data"], *stalled["data"], *OCCASIONAL_FIELDS} ^ {*TASK_FIELDS}:
        raise SystemExit(f"scripts/reference/events.py: TASK_FIELDS differs in {undescribed}")
    return page(
        "Events reference",
        INTRODUCTION,
        f"```json\n{json.dumps(changed, indent=2)}\n```",
        "## Types",
        UNKNOWN_STATUS,
        table(["type", "sent when"], [*map(_status, sorted(KNOWN_STATUSES)), *_rows(TYPES)]),
        "## `data` of `task.*`",
        "Other fields of the task follow unchanged.",
        table(["field", "value"], _rows(TASK_FIELDS)),
        "## `data` of `source.*` and `channel.*`",
        table(["field", "value"], _rows(SYSTEM_FIELDS)),
    )


def _examples() -> tuple[Json, Json]:
    """Return the body of a transition and of an alert."""
    watch = Watch(
        key=TaskKey("mixpeek", "task_1"),
        labels={"team": "search"},
        status="IN_PROGRESS",
        sequence=2,
        added_at=0.0,
    )
    seen = Observation(
        task_id="task_1",
        status="FAILED",
        task_type="api_buckets_batches_process",
        details=_Details(),
    )
    at = 1795417200.123456
    changed = task_event(
        watch, seen, namespace=None, sequence=3, at=at, event_id="msg_1", channels=()
    )
    stalled = task_alert_event(
        watch, "task.stalled", reason="unchanged for 24 h", at=at, event_id="msg_2", channels=()
    )
    return json.loads(changed.body), json.loads(stalled.body)


def _status(status: str) -> list[str]:
    suffix = " (terminal)" if status in TERMINAL_STATUSES else ""
    return [code(event_type(status)), f"the status became {status}{suffix}"]


def _rows(texts: dict[str, str]) -> list[list[str]]:
    return [[code(name), text] for name, text in texts.items()]
