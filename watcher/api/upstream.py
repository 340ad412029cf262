"""The upstream's own calls over the HTTP API: made by the daemon, which alone holds the key and the request budget.

What they start or end joins the watchlist, so that its end is told like any other.
"""

from collections.abc import Awaitable, Iterable, Mapping
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from watcher.api.dependencies import Daemon, Limit, Running, bad_query, json_response
from watcher.api.problems import Problem, documented
from watcher.api.schemas import (
    SHOWN,
    BatchListRequestView,
    ConfirmedView,
    ConfirmRequestView,
    ItemPageView,
    TaskIdInPath,
    TaskListRequestView,
)
from watcher.api.uploads import ConfirmationError, Confirmed, confirm
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
    # The length apart from the pattern, for counting it there would take ten MiB.
    Query(
        max_length=4096,
        pattern=r"^(offset:[0-9]{1,4}|cursor:.+)$",
        description="`next_cursor` of the page before.",
    ),
]
Namespace = Annotated[
    str | None,
    Query(pattern=r"^[!-~]{1,256}$", description="Sent as X-Namespace; default the source's own."),
]

_STATUSES = {
    SourceFailure.NOT_FOUND: 404,
    SourceFailure.REJECTED: 409,
    SourceFailure.RATE_LIMITED: 503,
    SourceFailure.TIMEOUT: 504,
}


@upstream.post(
    "/tasks/list",
    response_model=ItemPageView,
    responses=documented(400, 401, 403, 404, 409, 413, 422, 501, 502, 503, 504),
)
async def list_tasks(
    source: str,
    wanted: TaskListRequestView,
    daemon: Running,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List upstream's tasks, watched or not."""
    upstream_source = _source(daemon, source)
    if not isinstance(upstream_source, ListsTasks):
        raise _unsupported(source, "listing tasks")
    page = upstream_source.list_tasks(_given(wanted), limit, cursor)
    return _page(*await _answered(page))


@upstream.post(
    "/buckets/{bucket}/batches/list",
    response_model=ItemPageView,
    responses=documented(400, 401, 403, 404, 409, 413, 422, 501, 502, 503, 504),
)
async def list_batches(
    source: str,
    bucket: str,
    wanted: BatchListRequestView,
    daemon: Running,
    limit: Limit = 100,
    cursor: Cursor = None,
    namespace: Namespace = None,
) -> Response:
    """List the batches of a bucket."""
    upstream_source = _source(daemon, source)
    if not isinstance(upstream_source, ListsBatches):
        raise _unsupported(source, "listing batches")
    page = upstream_source.list_batches(bucket, _given(wanted), limit, cursor, namespace)
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
    reason: Annotated[str | None, Query(max_length=500, pattern=SHOWN)] = None,
    namespace: Namespace = None,
) -> Response:
    """Cancel a batch: upstream's answer, in which `cancellation` says what was reached. Its task is watched."""
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
    """Kill a task: upstream's answer. The task is watched, so that its end is told."""
    upstream_source = _source(daemon, source)
    if not isinstance(upstream_source, KillsTasks):
        raise _unsupported(source, "killing tasks")
    _require_token(daemon)
    answer = await _answered(upstream_source.kill_task(task_id))
    await _watch(daemon, WatchRequest(key=TaskKey(source, task_id)))
    return json_response(answer)


@upstream.post(
    "/buckets/{bucket}/uploads/confirm",
    response_model=ConfirmedView,
    responses=documented(400, 401, 403, 404, 409, 413, 422, 501, 502, 503, 504),
)
async def confirm_uploads(
    source: str,
    bucket: str,
    wanted: ConfirmRequestView,
    daemon: Running,
    namespace: Namespace = None,
) -> Response:
    """Confirm uploads, none of them twice; every task this starts is watched."""
    upstream_source = _source(daemon, source)
    if not isinstance(upstream_source, ConfirmsUploads):
        raise _unsupported(source, "confirming uploads")
    confirmations = {one.upload_id: _given(one) for one in wanted.confirmations}
    try:
        done = await confirm(
            upstream_source,
            daemon.store,
            OperationScope(source, bucket),
            list(confirmations.values()),
            namespace=namespace,
            resend_doubtful=wanted.resend_doubtful,
            wall=wall_clock,
        )
    except ConfirmationError as error:
        _track(daemon, error.done.added)
        raise _problem(error, _progress(error.done, len(confirmations))) from None
    _track(daemon, done.added)
    items = [
        {"upload_id": one.upload_id, "state": one.state, "task_id": one.task_id}
        for one in done.results
    ]
    return json_response({"items": items, "next_cursor": None})


def _source(daemon: Daemon, name: str) -> Source:
    source = daemon.source(name)
    if source is None:
        raise Problem(404, f"there is no source {name!r}")
    return source


def _unsupported(source: str, operation: str) -> Problem:
    return Problem(501, f"source {source!r} does not support {operation}")


def _require_token(daemon: Daemon) -> None:
    if daemon.settings.server.api_token is None:
        raise Problem(403, "a call that ends work needs server.api_token to be set")


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


def _progress(done: Confirmed, wanted: int) -> str:
    return f"; {len(done.results)} of {wanted} uploads were done by then, call again for the rest"


async def _watch(daemon: Daemon, request: WatchRequest) -> None:
    added = await daemon.store.add([request], wall_clock())
    daemon.track(added.watches)  # asked at once, new or not: upstream has just been told to end it


def _track(daemon: Daemon, added: Iterable[Added]) -> None:
    for one in added:
        daemon.track(one.watches)


def _page(items: object, next_cursor: str | None) -> Response:
    return json_response({"items": items, "next_cursor": next_cursor})


def _given(view: BaseModel) -> Mapping[str, object]:
    return view.model_dump(exclude_none=True)
