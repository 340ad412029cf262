"""Operations of the upstream API, made by the daemon, which holds the key and the request budget.

Tasks that they start or end are watched, so that their final status is reported as usual.
"""

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Annotated, Any, Literal, TypeVar

import anyio
import msgspec
from fastapi import APIRouter, Query, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from watcher.api.bodies import NO_BODY
from watcher.api.dependencies import Daemon, Limit, Running, bad_query, json_response
from watcher.api.fields import PRINTABLE, IdInPath, TaskIdInPath
from watcher.api.openapi import Item, shows
from watcher.api.peers import Logged
from watcher.api.problems import Problem, documented
from watcher.api.upload_views import ConfirmedView, ConfirmRequestView
from watcher.api.uploads import ConfirmationError, Confirmed, UploadState, confirm
from watcher.core.errors import SourceError, SourceFailure
from watcher.core.interfaces.source import (
    CancelsBatches,
    ConfirmsUploads,
    KillsTasks,
    ListsBatches,
    ListsTasks,
    Source,
)
from watcher.core.tasks import Added, OperationScope, TaskKey, TaskNotFound, WatchRequest

upstream = APIRouter(prefix="/v1/sources/{source}", tags=["upstream"])

Result = TypeVar("Result")
Cursor = Annotated[
    str | None,
    # The length is not part of the pattern, where counting it would take ten MiB.
    Query(
        max_length=4096,
        pattern=r"^(offset:[0-9]{1,4}|cursor:.+)$",
        description="`next_cursor` of the previous page.",
    ),
]
Namespace = Annotated[
    str | None,
    Query(
        pattern=r"^[!-~]{1,256}$",
        description="Namespace, sent as X-Namespace; default: the source's.",
    ),
]

_LOOK_UP = 10.0
"""Seconds to wait for upstream's answer about a task."""
_STATUSES = {
    SourceFailure.NOT_FOUND: 404,
    SourceFailure.REJECTED: 409,
    SourceFailure.RATE_LIMITED: 503,
    SourceFailure.TIMEOUT: 504,
}


class SortView(BaseModel):
    """The field to sort by."""

    model_config = ConfigDict(extra="forbid", strict=True)

    field: Annotated[str, Field(min_length=1)]
    direction: Literal["asc", "desc"]


Status = Annotated[str, AfterValidator(str.upper)]
"""Upstream's lists know statuses in upper case only."""


class TaskListRequestView(BaseModel):
    """Which tasks to list; passed to upstream, the status in upper case."""

    model_config = ConfigDict(extra="forbid", strict=True)

    status: Status | None = None
    task_type: str | None = None
    filters: dict[str, Any] | None = None
    sort: SortView | None = None
    search: str | None = None


class BatchListRequestView(BaseModel):
    """Which batches to list; passed to upstream, the status in upper case."""

    model_config = ConfigDict(extra="forbid", strict=True)

    status: Status | None = None
    collection_id: str | None = None


class ItemPageView(msgspec.Struct, frozen=True):
    """A page of upstream's items, unchanged."""

    items: Sequence[Item]
    next_cursor: str | None


@upstream.post(
    "/tasks/list",
    responses={
        **shows(ItemPageView),
        **documented(400, 401, 403, 404, 409, 413, 415, 422, 501, 502, 503, 504),
    },
)
async def list_tasks(
    source: str,
    options: TaskListRequestView,
    daemon: Running,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List tasks of the API, watched or not."""
    upstream_source = _source(daemon, source)
    if not isinstance(upstream_source, ListsTasks):
        raise _unsupported(source, "listing tasks")
    page = upstream_source.list_tasks(_without_none(options), limit, cursor)
    return _page(*await _answered(page))


@upstream.post(
    "/buckets/{bucket}/batches/list",
    responses={
        **shows(ItemPageView),
        **documented(400, 401, 403, 404, 409, 413, 415, 422, 501, 502, 503, 504),
    },
)
async def list_batches(
    source: str,
    bucket: IdInPath,
    options: BatchListRequestView,
    daemon: Running,
    limit: Limit = 100,
    cursor: Cursor = None,
    namespace: Namespace = None,
) -> Response:
    """List the batches of a bucket."""
    upstream_source = _source(daemon, source)
    if not isinstance(upstream_source, ListsBatches):
        raise _unsupported(source, "listing batches")
    page = upstream_source.list_batches(bucket, _without_none(options), limit, cursor, namespace)
    return _page(*await _answered(page))


@upstream.post(
    "/buckets/{bucket}/batches/{batch}/cancel",
    dependencies=[NO_BODY],
    response_model=dict[str, Any],
    responses=documented(401, 403, 404, 409, 413, 415, 422, 501, 502, 503, 504),
)
async def cancel_batch(
    source: str,
    bucket: IdInPath,
    batch: IdInPath,
    daemon: Running,
    log: Logged,
    reason: Annotated[str | None, Query(max_length=500, pattern=PRINTABLE)] = None,
    namespace: Namespace = None,
) -> Response:
    """Cancel a batch, and watch its task. Returns upstream's response; `cancellation` holds the
    result.
    """
    upstream_source = _source(daemon, source)
    if not isinstance(upstream_source, CancelsBatches):
        raise _unsupported(source, "cancelling batches")
    _require_token(daemon)
    log(
        "cancels batch %.150r of bucket %.150r, source %.150r", batch, bucket, source, source=source
    )
    answer, task_id = await _answered(
        upstream_source.cancel_batch(bucket, batch, reason, namespace)
    )
    if task_id is not None:
        key = TaskKey(source, task_id)
        await _watch(daemon, WatchRequest(key=key, namespace=namespace, again=True))
    return json_response(answer)


@upstream.delete(
    "/tasks/{task_id}",
    response_model=dict[str, Any],
    responses=documented(401, 403, 404, 409, 422, 501, 502, 503, 504),
)
async def kill_task(source: str, task_id: TaskIdInPath, daemon: Running, log: Logged) -> Response:
    """Kill a task, and watch it if upstream knows it. Returns upstream's response.

    The API reports success for an unknown task too.
    """
    upstream_source = _source(daemon, source)
    if not isinstance(upstream_source, KillsTasks):
        raise _unsupported(source, "killing tasks")
    _require_token(daemon)
    log("kills task %.150r of source %.150r", task_id, source, source=source, task_id=task_id)
    answer = await _answered(upstream_source.kill_task(task_id))
    key = TaskKey(source, task_id)
    if await _is_watched(daemon, key) or await _is_known(upstream_source, task_id):
        await _watch(daemon, WatchRequest(key=key, again=True))
    return json_response(answer)


@upstream.post(
    "/buckets/{bucket}/uploads/confirm",
    responses={
        **shows(ConfirmedView),
        **documented(400, 401, 403, 404, 409, 413, 415, 422, 501, 502, 503, 504),
    },
)
async def confirm_uploads(
    source: str,
    bucket: IdInPath,
    options: ConfirmRequestView,
    daemon: Running,
    log: Logged,
    namespace: Namespace = None,
) -> Response:
    """Confirm uploads, each once, and watch the tasks that this starts."""
    upstream_source = _source(daemon, source)
    if not isinstance(upstream_source, ConfirmsUploads):
        raise _unsupported(source, "confirming uploads")
    count = len(options.confirmations)
    log("confirms %d uploads of bucket %.150r, source %.150r", count, bucket, source, source=source)
    confirmations = {one.upload_id: _without_none(one) for one in options.confirmations}
    try:
        done = await confirm(
            upstream_source,
            daemon.store,
            OperationScope(source, bucket),
            list(confirmations.values()),
            namespace=namespace,
            resend_doubtful=options.resend_doubtful,
            wall=daemon.wall,
        )
    except ConfirmationError as error:
        _track(daemon, error.done.added)
        raise _problem(error.error, _progress(error.done, len(confirmations))) from None
    _track(daemon, done.added)
    return json_response(ConfirmedView.of(done))


def _source(daemon: Daemon, name: str) -> Source:
    source = daemon.source(name)
    if source is None:
        raise Problem(404, f"unknown source {name!r}")
    return source


def _unsupported(source: str, operation: str) -> Problem:
    return Problem(501, f"source {source!r} does not support {operation}")


def _require_token(daemon: Daemon) -> None:
    if daemon.settings.server.api_token is None:
        raise Problem(403, "operations that end work require server.api_token")


async def _answered(call: Awaitable[Result]) -> Result:
    try:
        return await call
    except SourceError as error:
        raise _problem(error) from None
    except ValueError as error:
        raise bad_query("cursor", str(error)) from None


def _problem(error: SourceError, progress: str = "") -> Problem:
    headers = (
        {} if error.retry_after is None else {"retry-after": str(max(round(error.retry_after), 1))}
    )
    return Problem(
        _STATUSES.get(error.reason, 502),
        f"upstream: {error}{progress}",
        headers=headers,
        upstream=error.reply,
    )


def _progress(done: Confirmed, options: int) -> str:
    states = [result.state for result in done.results]
    confirmed = len(states) - states.count(UploadState.DOUBTFUL)
    return f"; {confirmed} of {options} uploads were confirmed, call again for the rest"


async def _is_watched(daemon: Daemon, key: TaskKey) -> bool:
    return any(watch.key == key for watch in await daemon.store.find(key.task_id))


async def _is_known(source: Source, task_id: str) -> bool:
    """Return whether upstream knows a task; true if there is no answer in time.

    An ID that never existed would be reported as lost later, but a task must not be missed.
    """
    try:
        with anyio.move_on_after(_LOOK_UP):
            await source.single.admit()
            async with aclosing(source.single.fetch([task_id])) as parts:
                answers = [answer async for part in parts for answer in part]
            return not any(isinstance(answer, TaskNotFound) for answer in answers)
    except SourceError:
        pass
    return True


async def _watch(daemon: Daemon, request: WatchRequest) -> None:
    added = await daemon.store.add([request], daemon.wall())
    daemon.track(added.watches)  # polled at once, new or not, because it is about to end


def _track(daemon: Daemon, added: Iterable[Added]) -> None:
    for one in added:
        daemon.track(one.watches)


def _page(items: Sequence[msgspec.Raw], next_cursor: str | None) -> Response:
    return json_response(ItemPageView(items=items, next_cursor=next_cursor))


def _without_none(view: BaseModel) -> Mapping[str, object]:
    return view.model_dump(exclude_none=True)
