"""What the API's answers say. Anything may stand in any field: what cannot be used is left alone, not refused."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

import msgspec

from watcher.core.errors import SourceError, SourceFailure
from watcher.core.tasks import KNOWN_STATUSES, Detail, DiscoveredPage, DiscoveredTask, Observation
from watcher.net.exchange import Reply

_STATUS_LIMIT = 100
_ERROR_TEXT_LIMIT = 8192
_SHOWN = 200
_CHECKED_WHOLE = 4 * 1024 * 1024
_FAILURES = {
    401: SourceFailure.UNAUTHORIZED,
    403: SourceFailure.FORBIDDEN,
    404: SourceFailure.NOT_FOUND,
}


class _Task(msgspec.Struct, gc=False):
    """What is compared of a task."""

    task_id: object = None
    status: object = None
    task_type: object = None
    error_message: object = None
    error: object = None
    additional_data: msgspec.Raw = msgspec.Raw(b"null")


class _Tier(msgspec.Struct):
    task_id: object = None
    status: object = None
    task_type: object = None


class _Listed(_Tier):
    """What is read of a task or a batch that a list shows."""

    created_at: object = None
    tier_tasks: list[_Tier] | None = None


class _Additional(msgspec.Struct):
    error: object = None


class _Failure(msgspec.Struct):
    success: object = None
    error: object = None
    detail: object = None


class Pagination(msgspec.Struct):
    """How a list says that it goes on; each part may be missing."""

    next_cursor: object = None
    next_page: object = None
    total: object = None
    page_size: object = None


class _Page(msgspec.Struct):
    results: list[msgspec.Raw]
    pagination: Pagination | None = None


class _TaskPage(msgspec.Struct):
    results: list[Observation]
    pagination: Pagination | None = None


class Page(msgspec.Struct, frozen=True):
    """A page of a list: its bytes, how many items it holds, and whether more may follow.

    `next_cursor` is None where the list gave none; `full` says that it held as many items as a page can. `tasks` are
    its items, where all of them could be read as tasks in one go.
    """

    body: bytes
    count: int
    next_cursor: str | None
    full: bool
    tasks: list[Observation] | None

    def items(self) -> list[msgspec.Raw]:
        """Return each item's bytes."""
        return _decode_page(self.body).results


class _PageDetails:
    """Implements `watcher.core.tasks.Details` for a page; it is read anew at the first question, if there is one."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._raw: dict[str, msgspec.Raw] | None = None

    def of(self, task_id: str) -> Detail:
        if self._raw is None:
            items = zip(
                _decode_tasks(self._body).results, _decode_page(self._body).results, strict=True
            )
            self._raw = {task.task_id: raw for task, raw in items}
        return _detail(self._raw[task_id])


class _KnownDetails:
    """Implements `watcher.core.tasks.Details` for one task."""

    def __init__(self, raw: msgspec.Raw) -> None:
        self._raw = raw

    def of(self, task_id: str) -> Detail:
        return _detail(self._raw)


_decode_task = msgspec.json.Decoder(_Task).decode
_decode_page = msgspec.json.Decoder(_Page).decode
_decode_tasks = msgspec.json.Decoder(_TaskPage).decode
_decode_listed = msgspec.json.Decoder(_Listed).decode
_decode_additional = msgspec.json.Decoder(_Additional).decode
_decode_failure = msgspec.json.Decoder(_Failure).decode
UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)


def task_reply(task_id: str, reply: Reply) -> Observation:
    """Return what an answer about one task says. Raises `SourceError` (protocol) where it is not that task's JSON."""
    if reply.truncated:
        raise _unusable(f"the answer is longer than {len(reply.body) >> 20} MiB")
    seen = observation(msgspec.Raw(reply.body))
    if isinstance(seen, str):
        raise _unusable(f"the answer {seen}")
    if seen.task_id != task_id:
        raise _unusable("the answer is about another task")
    return seen


def observation(raw: msgspec.Raw) -> Observation | str:
    """Return what a task's JSON says, or why it cannot be used.

    What is told later is spliced from these bytes, so all of them have to be UTF-8, which skipping does not look at.
    """
    try:
        task = _decode_task(raw)
        str(raw, "utf-8")
    except UNREADABLE:
        return "is not the JSON of a task"
    status = _status(task.status)
    if not status:
        return "holds no status"
    if not isinstance(task.task_id, str):
        return "holds no task ID"
    kind = task.task_type if isinstance(task.task_type, str) else None
    return Observation(
        task_id=task.task_id, status=status, task_type=kind, details=_KnownDetails(raw)
    )


def finished(tasks: list[Observation], body: bytes) -> list[Observation]:
    """Return the tasks that were read from a page in one go, their statuses as they are compared."""
    details = _PageDetails(body)
    for one in tasks:
        one.details = details
        if one.status not in KNOWN_STATUSES:
            one.status = _status(one.status)
    return [one for one in tasks if one.status] if any(not one.status for one in tasks) else tasks


def found_page(items: Sequence[msgspec.Raw], *, more: bool) -> DiscoveredPage:
    """Return the tasks that a page of tasks or of batches shows; a batch has one, and one for each tier."""
    found: list[DiscoveredTask] = []
    created: list[str] = []
    for raw in items:
        try:
            item = _decode_listed(raw)
        except UNREADABLE:
            continue
        if isinstance(item.created_at, str):
            created.append(item.created_at)
        for one in (item, *(item.tier_tasks or ())):
            if isinstance(one.task_id, str) and one.task_id:
                kind = one.task_type if isinstance(one.task_type, str) else None
                found.append(DiscoveredTask(one.task_id, _status(one.status) or None, kind))
    proven = (
        len(created) == len(items) > 1
        and created == sorted(created, reverse=True)
        and created[0] != created[-1]
    )
    return DiscoveredPage(found=found, newest_first=proven, more=more)


def _status(said: object) -> str:
    """Return a status in upper case, empty where there is none that could be one."""
    if isinstance(said, str) and said in KNOWN_STATUSES:
        return said
    status = said.strip().upper() if isinstance(said, str) else ""
    return status if len(status) <= _STATUS_LIMIT and status.isprintable() else ""


def page_reply(reply: Reply, limit: int, *, of_tasks: bool) -> Page:
    """Return a page of a list (`of_tasks` or of something else) that was asked for `limit` items a page.

    Raises `SourceError` (protocol) where it is not the JSON of one.
    """
    body, tasks = reply.body, None
    try:
        if of_tasks and _is_utf8(body):
            with suppress(
                msgspec.ValidationError
            ):  # some field is not what it usually is: each item is looked at alone
                read = _decode_tasks(body)
                tasks = read.results
                return _page(body, len(tasks), read.pagination, limit, tasks)
        page = _decode_page(body)
    except UNREADABLE:
        raise _unusable("the answer is not the JSON of a list") from None
    return _page(body, len(page.results), page.pagination, limit, None)


def _page(
    body: bytes, count: int, told: Pagination | None, limit: int, tasks: list[Observation] | None
) -> Page:
    told = told or Pagination()
    cursor = told.next_cursor if isinstance(told.next_cursor, str) and told.next_cursor else None
    size = (
        told.page_size if isinstance(told.page_size, int) and 0 < told.page_size < limit else limit
    )
    return Page(
        body=body,
        count=count,
        next_cursor=cursor,
        full=count >= size or bool(told.next_page),
        tasks=tasks,
    )


def _is_utf8(body: bytes) -> bool:
    """Return whether all of a page is valid text; where finding out would take long, False."""
    if body.isascii():
        return True
    try:
        return len(body) <= _CHECKED_WHOLE and bool(str(body, "utf-8"))
    except UnicodeError:
        return False


def refusal(reply: Reply, retry_after: float | None) -> SourceError:
    """Return what an answer means that is not what was asked for; its text is the API's own where it has one."""
    return SourceError(failure(reply.status), _text(reply), retry_after=retry_after)


def failure(status: int) -> SourceFailure:
    """Return what an HTTP status that brought no answer to the question means."""
    if status in _FAILURES:
        return _FAILURES[status]
    if status == 429:
        return SourceFailure.RATE_LIMITED
    if status >= 500:
        return SourceFailure.UNAVAILABLE
    if status >= 400:
        return SourceFailure.REJECTED
    return SourceFailure.REDIRECT if status >= 300 else SourceFailure.PROTOCOL


def says_the_api(body: bytes) -> bool:
    """Return whether a 404 is the API's own and not that of a gateway or of another service."""
    try:
        failed = _decode_failure(body)
    except UNREADABLE:
        return False
    return failed.success is False or isinstance(failed.error, Mapping)


def _detail(raw: msgspec.Raw) -> Detail:
    return Detail(error_message=_error_text(_decode_task(raw)), raw=raw)


def _error_text(task: _Task) -> str | None:
    """Return the error under any of its three names: the two of the API's versions, or in `additional_data`."""
    for said in (task.error_message, task.error):
        if said is not None and (text := _as_text(said)):
            return text
    try:
        return _as_text(_decode_additional(task.additional_data).error)
    except UNREADABLE:
        return None


def _as_text(said: object) -> str | None:
    if isinstance(said, dict):
        said = said.get("message") or msgspec.json.encode(said).decode()
    return said[:_ERROR_TEXT_LIMIT] if isinstance(said, str) and said else None


def _text(reply: Reply) -> str:
    said = ""
    try:
        failed = _decode_failure(reply.body)
        said = _as_text(failed.error) or _as_text({"message": failed.detail}) or ""
    except UNREADABLE:
        pass
    plain = "".join(char if char.isprintable() else " " for char in said[:_SHOWN])
    return f"HTTP {reply.status} {plain}".strip()


def _unusable(text: str) -> SourceError:
    return SourceError(SourceFailure.PROTOCOL, text)
