"""Decoding one task.

Any field may hold any JSON value: a value that cannot be used is ignored and does not make the task
unreadable.
"""

import msgspec

from watcher.core.tasks import KNOWN_STATUSES, Detail, Observation
from watcher.net.exchange import Reply
from watcher.sources.mixpeek.error_decoding import UNREADABLE, error_text, protocol_error

_STATUS_LIMIT = 100
_ERROR_TEXT_LIMIT = 8192


class _Task(msgspec.Struct, gc=False):
    task_id: object = None
    status: object = None
    task_type: object = None
    error_message: object = None
    error: object = None
    additional_data: msgspec.Raw = msgspec.Raw(b"null")


class _AdditionalData(msgspec.Struct):
    error: object = None


class _TaskDetails:
    """Implements `watcher.core.tasks.Details` for one task."""

    def __init__(self, raw: msgspec.Raw) -> None:
        self._raw = raw

    def of(self, task_id: str) -> Detail:
        return task_detail(self._raw)


_decode_task = msgspec.json.Decoder(_Task).decode
_decode_additional_data = msgspec.json.Decoder(_AdditionalData).decode


def decode_task_reply(task_id: str, reply: Reply) -> Observation:
    """Return the requested task. Raises `SourceError` (protocol) for anything else."""
    if reply.truncated:
        raise protocol_error(f"the answer is longer than {len(reply.body) >> 20} MiB")
    task = decode_task(msgspec.Raw(reply.body))
    if isinstance(task, str):
        raise protocol_error(f"the answer {task}")
    if task.task_id != task_id:
        raise protocol_error("the answer is about another task")
    return task


def decode_task(raw: msgspec.Raw) -> Observation | str:
    """Return the task, or the reason why it is unreadable.

    Events contain these bytes unchanged, so all of them must be UTF-8. The decoder does not check
    the fields that it skips.
    """
    try:
        task = _decode_task(raw)
        str(raw, "utf-8")
    except UNREADABLE:
        return "is not the JSON of a task"
    status = normalize_status(task.status)
    if not status:
        return "has no status"
    if not isinstance(task.task_id, str):
        return "has no task ID"
    task_type = task.task_type if isinstance(task.task_type, str) else None
    return Observation(
        task_id=task.task_id, status=status, task_type=task_type, details=_TaskDetails(raw)
    )


def normalize_status(value: object) -> str:
    """Return a status in upper case; empty where `value` is not a valid one."""
    if isinstance(value, str) and value in KNOWN_STATUSES:
        return value
    status = value.strip().upper() if isinstance(value, str) else ""
    return status if len(status) <= _STATUS_LIMIT and status.isprintable() else ""


def task_detail(raw: msgspec.Raw) -> Detail:
    return Detail(error_message=_error_message(_decode_task(raw)), raw=raw)


def _error_message(task: _Task) -> str | None:
    """Return the error text from any of the three places where versions of the API put it."""
    for value in (task.error_message, task.error):
        if value is not None and (text := error_text(value)):
            return text[:_ERROR_TEXT_LIMIT]
    try:
        text = error_text(_decode_additional_data(task.additional_data).error)
    except UNREADABLE:
        return None
    return None if text is None else text[:_ERROR_TEXT_LIMIT]
