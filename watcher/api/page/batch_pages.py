"""The batches, and the page of one."""

from fastapi import Request, Response

from watcher.api.dependencies import Running
from watcher.api.fields import StoredTaskId
from watcher.api.page import views
from watcher.api.page.frame import show
from watcher.api.page.paths import address, segment
from watcher.api.page.router import PageRouter
from watcher.api.problems import Problem

batches = PageRouter()

LISTED = 100
ROWS = 200
"""Tasks of a page of a batch."""


@batches.page("/batches")
async def list_batches(request: Request, daemon: Running) -> Response:
    """List the last batches, those with failures first."""
    found = await daemon.store.last_batches(LISTED)
    return await show(
        request,
        daemon,
        "batches.html",
        title="Batches",
        here="batches",
        batches=found,
        is_cut=len(found) == LISTED,
    )


@batches.page("/batches/{batch_id:text}")
async def show_batch(batch_id: StoredTaskId, request: Request, daemon: Running) -> Response:
    """Show a batch: its counts, its errors and its tasks, the failed ones first."""
    cursor = request.query_params.get("cursor")
    try:
        found = await daemon.store.batch(batch_id, ROWS, cursor)
    except ValueError as error:
        raise Problem(422, f"cursor: {error}") from None
    if found is None:
        raise Problem(404, f"no task of batch {batch_id!r} is watched")
    place = f"batches/{segment(batch_id)}"
    following = found.next_cursor
    return await show(
        request,
        daemon,
        "batch.html",
        title=batch_id,
        here="batches",
        batch=found.summary,
        counts=views.counts_of_batch(found.summary),
        bucket=found.bucket,
        several=len(daemon.settings.sources) > 1,
        failures=found.failures,
        watches=found.watches,
        following=following and address(place, {"cursor": following}),
    )
