"""Decoding one task.

Any field may hold any JSON value, and some that JSON does not have: a value that cannot be used is
ignored and does not make the task unreadable.
"""

import msgspec

from watcher.core.json_repair import is_deep, is_suspicious, repaired
from watcher.core.statuses import StatusTable
from watcher.core.tasks import Detail, Observation, TaskUnreadable
from watcher.net.exchange import Reply
from watcher.sources._calls import REPLY_LIMIT
from watcher.sources._errors import UNREADABLE, error_text, protocol_error


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


class TaskDecoder:
    """Decodes the tasks of one source, whose words for statuses are in `statuses`."""

    def __init__(self, statuses: StatusTable) -> None:
        self.statuses = statuses

    def reply(self, task_id: str, reply: Reply) -> Observation | TaskUnreadable:
        """Return the requested task. Raises `SourceError` (protocol) for anything else."""
        if reply.truncated:
            limit = f"{REPLY_LIMIT >> 20} MiB"
            raise protocol_error(f"the answer is longer than {limit}, or became that long")
        task = self.task(msgspec.Raw(reply.body))
        if task is None:
            raise protocol_error("the answer is not the JSON of a task")
        if task.task_id != task_id:
            raise protocol_error("the answer is about another task")
        return task

    def task(self, raw: msgspec.Raw) -> Observation | TaskUnreadable | None:
        """Return the task; None for what is not the JSON of one."""
        try:
            task = _decode_repaired(raw)
        except UNREADABLE:
            return None
        if not isinstance(task.task_id, str):
            return None
        status = self.statuses.canonical(task.status)
        if not status:
            return TaskUnreadable(task_id=task.task_id, reason="the answer has no status")
        return Observation(
            task_id=task.task_id,
            status=status,
            task_type=task.task_type if isinstance(task.task_type, str) else None,
            details=_TaskDetails(raw),
        )


def task_detail(raw: msgspec.Raw) -> Detail:
    """Return the details of a task that was decoded before, repaired where necessary."""
    unreadable: list[str] = []
    if is_suspicious(raw) or is_deep(bytes(raw)) or not _is_json(raw):
        text, paths = repaired(bytes(raw))
        raw, unreadable = msgspec.Raw(text), list(paths)
    task = _decode_task(raw)
    if task.task_type is not None and not isinstance(task.task_type, str):
        unreadable.append("task_type")
    return Detail(
        error_message=_error_message(task),
        raw=raw,
        upstream_status=task.status if isinstance(task.status, str) else None,
        unreadable=tuple(unreadable),
    )


def _decode_repaired(raw: msgspec.Raw) -> _Task:
    """Decode the fields of a task, whatever its other values are."""
    try:
        return _decode_task(raw)
    except UNREADABLE:
        return _decode_task(repaired(bytes(raw))[0])


def _is_json(raw: msgspec.Raw) -> bool:
    try:
        _decode_task(raw)
    except UNREADABLE:
        return False
    return True


def _error_message(task: _Task) -> str | None:
    """Return the error text from any of the three places where versions of the API put it."""
    for value in (task.error_message, task.error):
        if value is not None and (text := error_text(value)):
            return text
    try:
        return error_text(_decode_additional_data(task.additional_data).error)
    except UNREADABLE:
        return None
