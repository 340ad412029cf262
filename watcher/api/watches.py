"""The watchlist: add, list, show and remove watches."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Self, cast

import msgspec
from fastapi import APIRouter, Query, Request, Response
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from watcher.api.dependencies import (
    Cursor,
    Daemon,
    Limit,
    Running,
    bad_query,
    json_response,
    seconds_of,
)
from watcher.api.fields import Id, Labels, Moment, Printable, StoredTaskId, Time, optional_time
from watcher.api.openapi import shows
from watcher.api.peers import Logged
from watcher.api.problems import MOST_ERRORS, FieldError, Problem, documented, field_error
from watcher.core import labels
from watcher.core.clock import rfc3339
from watcher.core.errors import TooManyLabelsError
from watcher.core.events import TASK_ALERTS, StoredEvent
from watcher.core.summary import ALIKE
from watcher.core.tasks import (
    TERMINAL_STATUSES,
    TaskKey,
    Watch,
    WatchFilter,
    WatchRequest,
    WatchState,
)
from watcher.core.texts import check_id

MAX_ENTRIES = 1000
"""Tasks that one request may add."""
LONGEST_ERROR = 256
"""Characters of an error to list watches by."""
MOST_STATUSES = 100
"""Statuses of which one request may list the watches."""

watches = APIRouter(prefix="/v1/watches", tags=["watches"])

LabelText = Annotated[str, StringConstraints(pattern=r"^[^:]+:[\s\S]*$")]
SourceName = Annotated[
    str | None, Query(description="Source of the watch, if several sources have the ID.")
]


class WatchRequestView(BaseModel):
    """A task to watch."""

    model_config = ConfigDict(extra="forbid", strict=True)

    task_id: Id
    source: str | None = None
    namespace: Printable | None = None
    labels: Labels = Field(default_factory=dict)
    again: bool = False
    """Watch the task even if its watch is done: it may run again."""


one_entry = TypeAdapter(WatchRequestView)
_several_entries = TypeAdapter(list[WatchRequestView])


class WatchView(msgspec.Struct, frozen=True):
    """One task on the watchlist. `missing_since` is when upstream began to answer 404, `lost_at`
    when `task.lost` was sent. Only the replica that polls a task knows its `polled_at` and
    `next_poll_at` while it is active; at others they are null.
    """

    task_id: str
    source: str
    namespace: str | None
    labels: Mapping[str, str]
    state: WatchState
    status: str | None
    terminal: bool
    sequence: int
    task_type: str | None
    error_message: str | None
    batch: str | None
    added_at: Time
    first_seen_at: Time | None
    changed_at: Time | None
    polled_at: Time | None
    next_poll_at: Time | None
    missing_since: Time | None
    lost_at: Time | None

    @classmethod
    def of(cls, watch: Watch, daemon: Daemon) -> Self:
        polled_at, next_poll_at = daemon.times(watch.key)
        active = watch.state is WatchState.ACTIVE
        return cls(
            task_id=watch.key.task_id,
            source=watch.key.source,
            namespace=watch.namespace,
            labels=watch.labels,
            state=watch.state,
            status=watch.status,
            # An active watch with a terminal status was reopened, and its task may run again.
            terminal=not active and watch.status in TERMINAL_STATUSES,
            sequence=watch.sequence,
            task_type=watch.task_type,
            error_message=watch.error_message,
            batch=watch.batch,
            added_at=rfc3339(watch.added_at),
            first_seen_at=optional_time(watch.first_seen_at),
            changed_at=optional_time(watch.changed_at),
            # An ended task is not kept in memory; its last poll was the one that saw its end.
            polled_at=optional_time(polled_at if active else watch.changed_at),
            next_poll_at=optional_time(next_poll_at) if active else None,
            missing_since=optional_time(watch.missing_since),
            lost_at=optional_time(watch.lost_at),
        )


class TransitionView(msgspec.Struct, frozen=True):
    """One status change of a task."""

    sequence: int
    previous_status: str | None
    status: str
    at: Time
    event_id: str

    @classmethod
    def of(cls, event: StoredEvent) -> Self:
        return cls(
            sequence=cast(int, event.sequence),
            previous_status=event.previous_status,
            status=cast(str, event.status),
            at=rfc3339(event.at),
            event_id=event.event_id,
        )


class WatchWithTransitionsView(WatchView, frozen=True):
    """A single watch with its history."""

    transitions: list[TransitionView]


class AddedView(msgspec.Struct, frozen=True):
    """How many watches were added, and how many existed."""

    added: int
    existing: int
    items: list[WatchView]


class WatchPageView(msgspec.Struct, frozen=True):
    """A page of watches, newest first."""

    items: list[WatchView]
    next_cursor: str | None


@watches.post(
    "",
    status_code=201,
    responses={
        **shows(AddedView, 201),
        **shows(AddedView, 200, "All tasks were already watched."),
        **documented(400, 401, 403, 413, 415, 422, 503),
    },
)
async def add_watches(request: Request, daemon: Running) -> Response:
    """Watch a task, or a list of up to 1,000.

    Adding a task again merges its labels, up to 20 in all. A watch that is done stays done unless
    `again` is true. One invalid entry rejects the whole request.
    """
    sources = [source.name for source in daemon.settings.sources]
    requests = _requests(await request.body(), sources)
    try:
        added = await daemon.store.add(requests, daemon.wall())
    except TooManyLabelsError as error:
        ids = [each.key.task_id for each in requests]
        index = ids.index(error.task_id)
        raise _invalid([FieldError(index=index, field="labels", message=str(error))]) from None
    daemon.track(watch for watch in added.watches if watch.key in added.reactivated)
    items = [WatchView.of(watch, daemon) for watch in added.watches]
    view = AddedView(added=added.added, existing=added.existing, items=items)
    return json_response(view, 201 if added.added else 200)


def _requests(body: bytes, sources: Sequence[str]) -> list[WatchRequest]:
    entries = _entries(body)
    unknown = [
        FieldError(index=index, field="source", message=f"unknown source {entry.source!r}")
        for index, entry in enumerate(entries)
        if entry.source is not None and entry.source not in sources
    ]
    if unknown:
        raise _invalid(unknown)
    return [
        WatchRequest(
            key=TaskKey(entry.source or sources[0], entry.task_id),
            namespace=entry.namespace,
            labels=entry.labels,
            again=entry.again,
        )
        for entry in entries
    ]


def _entries(body: bytes) -> list[WatchRequestView]:
    several = body.lstrip()[:1] == b"["
    try:
        entries = (
            _several_entries.validate_json(body) if several else [one_entry.validate_json(body)]
        )
    except ValidationError as error:
        errors = error.errors(include_input=False, include_url=False, include_context=False)
        if errors[0]["type"] == "json_invalid":
            raise Problem(400, f"the body is not JSON: {errors[0]['msg']}") from None
        raise _invalid(
            [
                field_error(one["loc"] if several else (0, *one["loc"]), one["msg"])
                for one in errors[:MOST_ERRORS]
            ],
            len(errors),
        ) from None
    if not 1 <= len(entries) <= MAX_ENTRIES:
        message = f"a request contains 1 to {MAX_ENTRIES} tasks"
        raise _invalid([FieldError(index=None, field="", message=message)])
    return entries


def _invalid(errors: Sequence[FieldError], count: int | None = None) -> Problem:
    """Return the problem of these errors, of `count` in all."""
    first, further = errors[0], (count or len(errors)) - 1
    place = "" if first.index is None else f"entry {first.index}: "
    more = f" (and {further} more)" if further else ""
    detail = f"{place}{first.field}: {first.message}{more}; nothing was added"
    return Problem(422, detail, errors=errors)


@watches.get("", responses={**shows(WatchPageView), **documented(401, 403, 422, 503)})
async def list_watches(
    daemon: Running,
    status: Annotated[
        list[str] | None,
        Query(max_length=MOST_STATUSES, description="Status; repeat it for alternatives."),
    ] = None,
    state: Annotated[WatchState | None, Query(description="State of the watch.")] = None,
    label: Annotated[
        list[LabelText] | None,
        Query(
            max_length=labels.MOST,
            description="`key:value`; repeat it for labels that must all match.",
        ),
    ] = None,
    task_type: Annotated[
        Printable | None,
        Query(alias="type", description="Type; `*` is any text, `?` any character."),
    ] = None,
    batch: Annotated[Printable | None, Query(description="ID of the batch.")] = None,
    search: Annotated[
        Printable | None,
        Query(description="Text that the task ID, the batch or the error contains."),
    ] = None,
    error: Annotated[
        str | None,
        Query(
            max_length=LONGEST_ERROR,
            description=f"Error of tasks that failed alike: its first {ALIKE} characters count; "
            "empty for those without an error.",
        ),
    ] = None,
    since: Annotated[Moment | None, Query(description="Only what has changed since then.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List watches, newest first.

    With `type`, `batch`, `search`, `error` or `since`, or `label` without `status`, a page may hold
    fewer items than `limit`, or none: continue until `next_cursor` is null.
    """
    criteria = WatchFilter(
        statuses=tuple(text.upper() for text in status or ()),
        state=state,
        labels=_labels(label or []),
        task_type=task_type,
        batch=batch,
        search=search,
        error=error,
        changed_since=None if since is None else seconds_of("since", since),
    )
    try:
        page, next_cursor = await daemon.store.list_watches(criteria, limit, cursor)
    except ValueError as error:
        raise bad_query("cursor", str(error)) from None
    items = [WatchView.of(watch, daemon) for watch in page]
    return json_response(WatchPageView(items=items, next_cursor=next_cursor))


def _labels(texts: Iterable[str]) -> Mapping[str, str]:
    labels = {}
    for text in texts:
        name, _, value = text.partition(":")
        labels[name] = value
    return labels


@watches.get(
    "/{task_id:text}",
    responses={
        **shows(WatchWithTransitionsView),
        **documented(401, 403, 404, 409, 422, 503),
    },
)
async def show_watch(task_id: StoredTaskId, daemon: Running, source: SourceName = None) -> Response:
    """Show one watch with its transitions."""
    watch = await find_watch(daemon, task_id, source)
    # Events outlive a removed watch; those of an earlier watch of the same task are not shown.
    transitions = [
        TransitionView.of(event)
        for event in await daemon.store.transitions(watch.key)
        if event.at >= watch.added_at and event.type not in TASK_ALERTS
    ]
    fields = msgspec.structs.asdict(WatchView.of(watch, daemon))
    return json_response(WatchWithTransitionsView(**fields, transitions=transitions))


@watches.delete(
    "/{task_id:text}", status_code=204, responses=documented(401, 403, 404, 409, 422, 503)
)
async def remove_watch(
    task_id: StoredTaskId, daemon: Running, log: Logged, source: SourceName = None
) -> Response:
    """Remove a task from the watchlist. Pending deliveries are still sent."""
    watch = await find_watch(daemon, task_id, source)
    await daemon.store.remove(watch.key)
    daemon.forget(watch.key)
    key = watch.key
    log(
        "removed task %.150r of source %.150r",
        key.task_id,
        key.source,
        source=key.source,
        task_id=key.task_id,
    )
    return Response(status_code=204)


def _require_id(task_id: str) -> None:
    try:
        check_id(task_id)
    except ValueError as error:
        raise bad_query("task_id", str(error)) from None


async def find_watch(daemon: Daemon, task_id: str, source: str | None) -> Watch:
    """Return the one watch of this ID. Raises `Problem` if there is none, or at several sources."""
    found = await daemon.store.find(task_id)
    matching = [watch for watch in found if source in (None, watch.key.source)]
    if not matching:
        _require_id(task_id)
        raise Problem(404, f"{task_id!r} is not watched")
    if len(matching) > 1:
        sources = ", ".join(watch.key.source for watch in matching)
        raise Problem(409, f"{task_id!r} is watched at {sources}; add ?source=")
    return matching[0]
