"""The list of tasks, and the page of one."""

from collections.abc import Mapping, Sequence

from fastapi import Request, Response

from watcher.api.dependencies import Daemon, Running
from watcher.api.fields import StoredTaskId
from watcher.api.page import history, selection, views
from watcher.api.page.frame import show
from watcher.api.page.login import redirect
from watcher.api.page.paths import address, segment
from watcher.api.page.router import PageRouter
from watcher.api.page.selection import TaskQuery
from watcher.api.problems import Problem
from watcher.core.reading import TaskPage, TaskSelection
from watcher.core.tasks import Watch

tasks = PageRouter()

ROWS = 50
"""Tasks of a page."""


@tasks.page("/tasks")
async def list_tasks(request: Request, daemon: Running) -> Response:
    """List tasks; the ID of one, or of a batch, leads to its page."""
    query = selection.query_of(request.query_params)
    selected = selection.selection_of(query)
    cursor, named = request.query_params.get("cursor"), request.query_params.get("rows")
    if selected == TaskSelection(search=selected.search) and not (cursor or named):
        place = await _named(daemon, query.first("q"))
        if place is not None:
            return redirect(place)
    if named is None:
        page = await _page(daemon, selected, cursor)
        watches, newer = await _with_beginning(daemon, selected, cursor, page), 0
        rows, top, following = selection.named_rows(watches), page.top, page.next_cursor
        incomplete = not page.complete
    else:
        watches = await _again(daemon, named)
        rows, top = named, request.query_params.get("top") or ""
        newer = await _newer(daemon, selected, top)
        following, incomplete = request.query_params.get("next"), False
    return await show(
        request,
        daemon,
        "tasks.html",
        title="Tasks",
        here="tasks",
        query=query,
        chips=views.chips(await daemon.shown_status()),
        watches=watches,
        faded={watch.key for watch in watches if not selection.still_matches(watch, selected)},
        newer=newer,
        live=_live(query, cursor, rows, top, following),
        following=following and query.address(cursor=following),
        incomplete=incomplete,
        sources=[source.name for source in daemon.settings.sources],
    )


async def _named(daemon: Daemon, text: str) -> str | None:
    """Return the address of the task or the batch that has this ID."""
    if not text:
        return None
    match = await daemon.store.named(text)
    if match.watches:
        return address(f"tasks/{segment(text)}")
    return address(f"batches/{segment(text)}") if match.is_batch else None


async def _page(daemon: Daemon, selected: TaskSelection, cursor: str | None) -> TaskPage:
    try:
        return await daemon.store.list_tasks(selected, ROWS, cursor)
    except ValueError as error:
        raise Problem(422, f"cursor: {error}") from None


async def _with_beginning(
    daemon: Daemon, selected: TaskSelection, cursor: str | None, page: TaskPage
) -> Sequence[Watch]:
    """Return the tasks of a page; of a search whose time was over, first those whose IDs begin
    with the text, which an index finds.
    """
    text = selected.search
    if page.complete or cursor or text is None or selected != TaskSelection(search=text):
        return page.watches
    beginning = (await daemon.store.named(text)).beginning
    known = {watch.key for watch in beginning}
    return [*beginning, *(watch for watch in page.watches if watch.key not in known)]


async def _again(daemon: Daemon, named: str) -> Sequence[Watch]:
    keys = selection.keys_of(named)
    found = await daemon.store.watches(keys)
    return [found[key] for key in keys if key in found]


async def _newer(daemon: Daemon, selected: TaskSelection, top: str) -> int:
    if not top:
        return 0
    try:
        return await daemon.store.count_newer(selected, top)
    except ValueError as error:
        raise Problem(422, f"top: {error}") from None


def _live(
    query: TaskQuery, cursor: str | None, rows: str | None, top: str | None, following: str | None
) -> str | None:
    """Return the address that shows the same rows again, as they are then."""
    if not rows:
        return None
    newer = None if cursor else top
    return query.address(cursor=cursor, rows=rows, top=newer, next=following)


@tasks.page("/tasks/{task_id:text}")
async def show_task(task_id: StoredTaskId, request: Request, daemon: Running) -> Response:
    """Show a task: what happened, and who was notified."""
    source = request.query_params.get("source")
    found = await daemon.store.find(task_id)
    matching = [watch for watch in found if source in (None, watch.key.source)]
    if len(matching) != 1:
        return await _none_or_several(request, daemon, task_id, matching)
    (watch,) = matching
    settings = daemon.settings
    events = await daemon.store.history(watch.key)
    _, next_poll_at = daemon.times(watch.key)
    return await show(
        request,
        daemon,
        "task.html",
        title=task_id,
        here="tasks",
        watch=watch,
        needs_source=len(found) > 1,
        steps=history.steps(events, watch, settings),
        links=history.links(watch, settings),
        next_poll_at=next_poll_at if watch.state == "active" else None,
        channels=history.notified(events, settings),
    )


async def _none_or_several(
    request: Request, daemon: Daemon, task_id: str, found: Sequence[Watch]
) -> Response:
    several: Mapping[str, object] = {"task_id": task_id, "watches": found}
    status = 200 if found else 404
    return await show(
        request, daemon, "task_choice.html", status=status, title=task_id, here="tasks", **several
    )
