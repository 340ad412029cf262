"""Operations of the upstream API, made by the daemon, which holds the key and the request budget.

Tasks that they start or end are watched, so that their final status is reported as usual.
"""

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Self, TypeVar

import msgspec
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from watcher.api.dependencies import Daemon, Limit, Running, bad_query, json_response
from watcher.api.fields import PRINTABLE, TaskIdInPath
from watcher.api.openapi import shows
from watcher.api.problems import Problem, documented
from watcher.api.uploads import ConfirmationError, Confirmed, UploadResult, UploadState, confirm
from watcher.core.clock import wall_clock
from watcher.core.errors import SourceError, SourceFailure
from watcher.core.interfaces.source import (
    CancelsBatches,
    ConfirmsUploads,
    KillsTasks,
    ListsBatches,
    ListsTasks,
    Source,
)
from watcher.core.tasks import Added, OperationScope, TaskKey, WatchRequest

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


class TaskListRequestView(BaseModel):
    """Which tasks to list; passed to upstream unchanged."""

    model_config = ConfigDict(extra="forbid", strict=True)

    status: str | None = None
    task_type: str | None = None
    filters: dict[str, Any] | None = None
    sort: SortView | None = None
    search: str | None = None


class BatchListRequestView(BaseModel):
    """Which batches to list; passed to upstream unchanged."""

    model_config = ConfigDict(extra="forbid", strict=True)

    status: str | None = None
    collection_id: str | None = None


def _whole(value: object) -> object:
    """Return a whole number as an integer: in JSON, 7 and 7.0 are the same."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class ConfirmationView(BaseModel):
    """A completed upload."""

    model_config = ConfigDict(extra="forbid", strict=True)

    upload_id: Annotated[str, Field(min_length=1, max_length=256)]
    etag: str | None = None
    file_size_bytes: Annotated[int, Field(ge=1), BeforeValidator(_whole)] | None = None


class ConfirmRequestView(BaseModel):
    """Uploads to confirm.

    `resend_doubtful` also sends uploads again whose result is unknown, because a request was
    interrupted.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    confirmations: Annotated[list[ConfirmationView], Field(min_length=1, max_length=1000)]
    resend_doubtful: bool = False


Item = Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"type": "object"})]
"""An item of upstream's, byte for byte."""


class ItemPageView(msgspec.Struct, frozen=True):
    """A page of upstream's items, unchanged."""

    items: Sequence[Item]
    next_cursor: str | None


class UploadResultView(msgspec.Struct, frozen=True):
    """The state of one upload, and the task that confirmed it."""

    upload_id: str
    state: UploadState
    task_id: str | None

    @classmethod
    def of(cls, result: UploadResult) -> Self:
        return cls(upload_id=result.upload_id, state=result.state, task_id=result.task_id)


class ConfirmedView(msgspec.Struct, frozen=True):
    """The result of a confirmation."""

    items: list[UploadResultView]
    next_cursor: None


@upstream.post(
    "/tasks/list",
    responses={
        **shows(ItemPageView),
        **documented(400, 401, 403, 404, 409, 413, 422, 501, 502, 503, 504),
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
        **documented(400, 401, 403, 404, 409, 413, 422, 501, 502, 503, 504),
    },
)
async def list_batches(
    source: str,
    bucket: str,
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
    response_model=dict[str, Any],
    responses=documented(401, 403, 404, 409, 422, 501, 502, 503, 504),
)
async def cancel_batch(
    source: str,
    bucket: str,
    batch: str,
    daemon: Running,
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
    answer, task_id = await _answered(
        upstream_source.cancel_batch(bucket, batch, reason, namespace)
    )
    if task_id is not None:
        await _watch(daemon, WatchRequest(key=TaskKey(source, task_id), namespace=namespace))
    return json_response(answer)


@upstream.delete(
    "/tasks/{task_id}",
    response_model=dict[str, Any],
    responses=documented(401, 403, 404, 409, 422, 501, 502, 503, 504),
)
async def kill_task(source: str, task_id: TaskIdInPath, daemon: Running) -> Response:
    """Kill a task, and watch it. Returns upstream's response."""
    upstream_source = _source(daemon, source)
    if not isinstance(upstream_source, KillsTasks):
        raise _unsupported(source, "killing tasks")
    _require_token(daemon)
    answer = await _answered(upstream_source.kill_task(task_id))
    await _watch(daemon, WatchRequest(key=TaskKey(source, task_id)))
    return json_response(answer)


@upstream.post(
    "/buckets/{bucket}/uploads/confirm",
    responses={
        **shows(ConfirmedView),
        **documented(400, 401, 403, 404, 409, 413, 422, 501, 502, 503, 504),
    },
)
async def confirm_uploads(
    source: str,
    bucket: str,
    options: ConfirmRequestView,
    daemon: Running,
    namespace: Namespace = None,
) -> Response:
    """Confirm uploads, each once, and watch the tasks that this starts."""
    upstream_source = _source(daemon, source)
    if not isinstance(upstream_source, ConfirmsUploads):
        raise _unsupported(source, "confirming uploads")
    confirmations = {one.upload_id: _without_none(one) for one in options.confirmations}
    try:
        done = await confirm(
            upstream_source,
            daemon.store,
            OperationScope(source, bucket),
            list(confirmations.values()),
            namespace=namespace,
            resend_doubtful=options.resend_doubtful,
            wall=wall_clock,
        )
    except ConfirmationError as error:
        _track(daemon, error.done.added)
        raise _problem(error, _progress(error.done, len(confirmations))) from None
    _track(daemon, done.added)
    items = [UploadResultView.of(result) for result in done.results]
    return json_response(ConfirmedView(items=items, next_cursor=None))


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
        _STATUSES.get(error.reason, 502), f"upstream: {error}{progress}", headers=headers
    )


def _progress(done: Confirmed, options: int) -> str:
    return f"; {len(done.results)} of {options} uploads were confirmed, call again for the rest"


async def _watch(daemon: Daemon, request: WatchRequest) -> None:
    added = await daemon.store.add([request], wall_clock())
    daemon.track(added.watches)  # polled at once, new or not, because it is about to end


def _track(daemon: Daemon, added: Iterable[Added]) -> None:
    for one in added:
        daemon.track(one.watches)


def _page(items: Sequence[msgspec.Raw], next_cursor: str | None) -> Response:
    return json_response(ItemPageView(items=items, next_cursor=next_cursor))


def _without_none(view: BaseModel) -> Mapping[str, object]:
    return view.model_dump(exclude_none=True)
