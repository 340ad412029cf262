"""The HTTP API: the watchlist, the event stream and the outbox, for commands, programs and probes."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Header, Query, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, StreamingResponse
from prometheus_client.exposition import choose_encoder
from pydantic import StringConstraints, TypeAdapter, ValidationError

from watcher import __version__
from watcher.api import problems
from watcher.api.auth import Guard
from watcher.api.dependencies import Cursor, Daemon, Limit, Running, bad_query, json_response
from watcher.api.event_stream import server_sent_events
from watcher.api.problems import FieldError, Problem, ProblemDetails, documented, field_error
from watcher.api.schemas import (
    AddedView,
    ChannelPageView,
    ChannelView,
    DeliveryPageView,
    DeliveryView,
    DeliveryWithAttemptsView,
    HealthView,
    PauseRequestView,
    PurgedView,
    PurgeRequestView,
    ReplayRequestView,
    ReplayView,
    TaskIdInPath,
    WatchPageView,
    WatchRequestView,
    WatchWithTransitionsView,
    attempt_view,
    channel_view,
    delivery_view,
    transition_views,
    watch_view,
)
from watcher.api.upstream import upstream
from watcher.core.clock import parse_rfc3339, wall_clock
from watcher.core.deliveries import DeliveryState
from watcher.core.errors import StoreError
from watcher.core.events import EventFilter
from watcher.core.tasks import TaskKey, Watch, WatchFilter, WatchRequest, WatchState

ADD_LIMIT = 1000
STREAM_LIMIT = 100

_one = TypeAdapter(WatchRequestView)
_several = TypeAdapter(list[WatchRequestView])


LabelText = Annotated[str, StringConstraints(pattern=r"^[^:]+:[\s\S]*$")]
SourceName = Annotated[str | None, Query(description="Where an ID is watched at several sources.")]

watchlist = APIRouter(prefix="/v1/watches", tags=["watches"])
outbox = APIRouter(prefix="/v1", tags=["outbox"])
probes = APIRouter(tags=["probes"])


def create_api(daemon: Daemon) -> FastAPI:
    """Return the whole API."""
    api = _application("The watcher", daemon)
    for router in (watchlist, outbox, probes, upstream):
        api.include_router(router)
    api.add_middleware(Guard, token=lambda: daemon.settings.server.api_token)
    if origins := daemon.settings.server.cors_origins:
        # Around the guard, for a browser asks whether it may ask without the token.
        api.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["authorization", "content-type", "last-event-id"],
        )
    api.openapi = lambda: _openapi(api, tuple(one.name for one in daemon.settings.sources))  # type: ignore[method-assign]  # FastAPI's documented way to extend it
    return api


def create_telemetry(daemon: Daemon) -> FastAPI:
    """Return metrics and probes alone, for a listener that is reached from outside."""
    api = _application("The watcher's telemetry", daemon)
    api.include_router(probes)
    return api


def _application(title: str, daemon: Daemon) -> FastAPI:
    api = FastAPI(title=title, version=__version__, docs_url=None, redoc_url=None)
    api.state.daemon = daemon
    api.state.streams = 0
    api.state.documents = {}
    problems.install(api)
    return api


def _openapi(api: FastAPI, sources: tuple[str, ...]) -> dict[str, Any]:
    """Return the document as it is now: an entry to watch may name a configured source alone."""
    documents: dict[tuple[str, ...], dict[str, Any]] = api.state.documents
    if sources not in documents:
        documents.clear()
        documents[sources] = _document(api, sources)
    return documents[sources]


def _document(api: FastAPI, sources: Sequence[str]) -> dict[str, Any]:
    shown = get_openapi(title=api.title, version=api.version, routes=api.routes)
    schemas = shown.setdefault("components", {}).setdefault("schemas", {})
    reference = "#/components/schemas/{model}"
    for model in (ProblemDetails, FieldError):
        schemas[model.__name__] = model.model_json_schema(ref_template=reference)
        schemas[model.__name__].pop("$defs", None)
    entry = copy.deepcopy(_one.json_schema())
    entry["properties"]["source"]["anyOf"] = [{"type": "string", "enum": sources}, {"type": "null"}]
    several = {"type": "array", "items": entry, "minItems": 1, "maxItems": ADD_LIMIT}
    content = {"application/json": {"schema": {"anyOf": [entry, several]}}}
    shown["paths"]["/v1/watches"]["post"]["requestBody"] = {"required": True, "content": content}
    return shown


# The watchlist


@watchlist.post(
    "",
    response_model=AddedView,
    status_code=201,
    responses={
        200: {"model": AddedView, "description": "All were there."},
        **documented(400, 401, 403, 413, 422, 503),
    },
)
async def add_watches(request: Request, daemon: Running) -> Response:
    """Watch a task, or a list of up to 1,000. Adding again merges labels; one bad entry refuses all."""
    wanted = _requests(await request.body(), [source.name for source in daemon.settings.sources])
    added = await daemon.store.add(wanted, wall_clock())
    daemon.track(watch for watch in added.watches if watch.key in added.reactivated)
    items = [_shown(daemon, watch) for watch in added.watches]
    content = {"added": added.added, "existing": added.existing, "items": items}
    return json_response(content, 201 if added.added else 200)


def _requests(body: bytes, sources: Sequence[str]) -> list[WatchRequest]:
    several = body.lstrip()[:1] == b"["
    try:
        entries = _several.validate_json(body) if several else [_one.validate_json(body)]
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False, include_context=False)
        if found[0]["type"] == "json_invalid":
            raise Problem(400, f"the body is not JSON: {found[0]['msg']}") from None
        errors = [
            field_error(one["loc"] if several else (0, *one["loc"]), one["msg"]) for one in found
        ]
        raise _invalid(errors) from None
    if not 1 <= len(entries) <= ADD_LIMIT:
        raise _invalid(
            [FieldError(index=None, field="", message=f"a request holds 1 to {ADD_LIMIT} tasks")]
        )
    unknown = [
        FieldError(index=index, field="source", message=f"there is no source {entry.source!r}")
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
        )
        for entry in entries
    ]


def _invalid(errors: Sequence[FieldError]) -> Problem:
    first = errors[0]
    place = "" if first.index is None else f"entry {first.index}: "
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return Problem(
        422, f"{place}{first.field}: {first.message}{more}; nothing was added", errors=errors
    )


def _shown(daemon: Daemon, watch: Watch) -> dict[str, object]:
    return watch_view(watch, *daemon.times(watch.key))


@watchlist.get("", response_model=WatchPageView, responses=documented(401, 403, 422, 503))
async def list_watches(
    daemon: Running,
    status: Annotated[
        list[str] | None, Query(description="One of these statuses; may be repeated.")
    ] = None,
    state: Annotated[WatchState | None, Query()] = None,
    label: Annotated[
        list[LabelText] | None,
        Query(description="`key:value`; may be repeated, and all must hold."),
    ] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List watches, newest first."""
    chosen = WatchFilter(
        statuses=tuple(one.upper() for one in status or ()),
        state=state,
        labels=_labels(label or []),
    )
    try:
        watches, next_cursor = await daemon.store.list_watches(chosen, limit, cursor)
    except ValueError as error:
        raise bad_query("cursor", str(error)) from None
    return json_response(
        {"items": [_shown(daemon, watch) for watch in watches], "next_cursor": next_cursor}
    )


def _labels(given: Iterable[str]) -> Mapping[str, str]:
    labels = {}
    for text in given:
        name, _, value = text.partition(":")
        labels[name] = value
    return labels


async def _found(daemon: Daemon, task_id: str, source: str | None) -> Watch:
    watches = [one for one in await daemon.store.find(task_id) if source in (None, one.key.source)]
    if not watches:
        raise Problem(404, f"{task_id!r} is not watched")
    if len(watches) > 1:
        raise Problem(
            409,
            f"{task_id!r} is watched at {', '.join(one.key.source for one in watches)}; add ?source=",
        )
    return watches[0]


@watchlist.get(
    "/{task_id}",
    response_model=WatchWithTransitionsView,
    responses=documented(401, 403, 404, 409, 422, 503),
)
async def show_watch(task_id: TaskIdInPath, daemon: Running, source: SourceName = None) -> Response:
    """Show one watch with its transitions."""
    watch = await _found(daemon, task_id, source)
    # Events outlive a watch that is taken off; those of an earlier watch of the same task are not this one's.
    events = [
        event for event in await daemon.store.transitions(watch.key) if event.at >= watch.added_at
    ]
    return json_response({**_shown(daemon, watch), "transitions": transition_views(events)})


@watchlist.delete("/{task_id}", status_code=204, responses=documented(401, 403, 404, 409, 422, 503))
async def remove_watch(
    task_id: TaskIdInPath, daemon: Running, source: SourceName = None
) -> Response:
    """Take a task off the watchlist. Deliveries already stored still go."""
    watch = await _found(daemon, task_id, source)
    await daemon.store.remove(watch.key)
    daemon.forget(watch.key)
    return Response(status_code=204)


# Events and the outbox


@outbox.get(
    "/events",
    response_class=StreamingResponse,
    responses={
        200: {
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
            "description": "Events as stored.",
        },
        **documented(401, 403, 422, 503),
    },
)
async def stream_events(
    request: Request, daemon: Running, last_event_id: Annotated[str | None, Header()] = None
) -> Response:
    """Stream events as they are stored; `Last-Event-ID` resumes without a gap, else it begins with the next one."""
    if last_event_id is not None and not (last_event_id.isascii() and last_event_id.isdigit()):
        raise bad_query("Last-Event-ID", "is not a number that this stream gave")
    state = request.app.state
    if state.streams >= STREAM_LIMIT:
        raise Problem(
            503, f"{STREAM_LIMIT} streams are open already", headers={"retry-after": "30"}
        )
    # Taken before the answer begins: whoever sees the stream open misses nothing that is stored from then on.
    after = (
        await daemon.store.last_event_id()
        if last_event_id is None
        else min(int(last_event_id), 2**63 - 1)
    )

    async def counted() -> Any:
        state.streams += 1
        try:
            async for part in server_sent_events(
                daemon.store, daemon.outbox, after, daemon.stopping
            ):
                yield part
        finally:
            state.streams -= 1

    return StreamingResponse(
        counted(), media_type="text/event-stream", headers={"cache-control": "no-store"}
    )


@outbox.get(
    "/deliveries", response_model=DeliveryPageView, responses=documented(401, 403, 422, 503)
)
async def list_deliveries(
    daemon: Running,
    state: Annotated[DeliveryState | None, Query()] = None,
    channel: Annotated[str | None, Query()] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List deliveries, newest first."""
    try:
        deliveries, next_cursor = await daemon.store.list_deliveries(state, channel, limit, cursor)
    except ValueError as error:
        raise bad_query("cursor", str(error)) from None
    return json_response(
        {"items": [delivery_view(one) for one in deliveries], "next_cursor": next_cursor}
    )


@outbox.get(
    "/deliveries/{delivery_id}",
    response_model=DeliveryWithAttemptsView,
    responses=documented(401, 403, 404, 422, 503),
)
async def show_delivery(delivery_id: int, daemon: Running) -> Response:
    """Return a delivery with its last attempts."""
    found = await daemon.store.delivery(delivery_id) if 0 < delivery_id < 2**63 else None
    if found is None:
        raise Problem(404, f"there is no delivery {delivery_id}")
    delivery, attempts = found
    return json_response(
        {**delivery_view(delivery), "history": [attempt_view(one) for one in attempts]}
    )


@outbox.post(
    "/deliveries/{delivery_id}/retry",
    response_model=DeliveryView,
    status_code=202,
    responses=documented(401, 403, 404, 422, 503),
)
async def retry_delivery(delivery_id: int, daemon: Running) -> Response:
    """Send a delivery once more, now, with the whole schedule before it."""
    delivery = (
        await daemon.store.retry(delivery_id, wall_clock()) if 0 < delivery_id < 2**63 else None
    )
    if delivery is None:
        raise Problem(404, f"there is no delivery {delivery_id}")
    daemon.outbox.set()
    return json_response(delivery_view(delivery), 202)


@outbox.get("/channels", response_model=ChannelPageView, responses=documented(401, 403, 503))
async def list_channels(daemon: Running) -> Response:
    """List the channels of the configuration: how they do, and what waits for each."""
    return json_response({"items": await _channels(daemon), "next_cursor": None})


async def _channels(daemon: Daemon) -> list[dict[str, object]]:
    depths = {depth.channel: depth for depth in await daemon.store.outbox()}
    return [channel_view(one, depths.get(one.name)) for one in daemon.channels()]


async def _channel(daemon: Daemon, name: str) -> Response:
    return json_response(next(one for one in await _channels(daemon) if one["name"] == name))


def _configured(daemon: Daemon, name: str) -> str:
    if name not in {channel.name for channel in daemon.settings.channels}:
        raise Problem(404, f"there is no channel {name!r}")
    return name


@outbox.post(
    "/channels/{name}/pause",
    response_model=ChannelView,
    responses=documented(400, 401, 403, 404, 413, 422, 503),
)
async def pause_channel(
    name: str, daemon: Running, wanted: PauseRequestView | None = None
) -> Response:
    """Send nothing to a channel until it is resumed, over restarts too; what is in flight is finished."""
    await daemon.pause(_configured(daemon, name), (wanted or PauseRequestView()).reason)
    return await _channel(daemon, name)


@outbox.post(
    "/channels/{name}/resume",
    response_model=ChannelView,
    responses=documented(401, 403, 404, 422, 503),
)
async def resume_channel(name: str, daemon: Running) -> Response:
    """Send to a channel again that was paused, or that its receiver has stopped; what waits goes at once."""
    await daemon.resume(_configured(daemon, name))
    return await _channel(daemon, name)


@outbox.post(
    "/channels/{name}/replay",
    response_model=ReplayView,
    status_code=202,
    responses=documented(400, 401, 403, 404, 413, 422, 503),
)
async def replay_channel(name: str, wanted: ReplayRequestView, daemon: Running) -> Response:
    """Send a channel the events of a span of time once more, in order, each under its old `webhook-id`."""
    _configured(daemon, name)
    since = _moment("since", wanted.since)
    until = None if wanted.until is None else _moment("until", wanted.until)
    chosen = EventFilter(
        since=since,
        until=until,
        statuses=tuple(status.upper() for status in wanted.statuses),
        task_ids=tuple(wanted.task_ids),
    )
    queued = await daemon.store.replay(name, chosen, wall_clock())
    daemon.outbox.set()
    return json_response({"queued": queued}, 202)


@outbox.post(
    "/channels/{name}/purge",
    response_model=PurgedView,
    responses=documented(400, 401, 403, 413, 422, 503),
)
async def purge_channel(name: str, wanted: PurgeRequestView, daemon: Running) -> Response:
    """Remove a channel's deliveries for good, that of one that is not configured any more as well."""
    before = wall_clock() if wanted.before is None else _moment("before", wanted.before)
    purged = await daemon.store.purge(name, wanted.state, before)
    daemon.outbox.set()
    return json_response({"purged": purged})


def _moment(field: str, text: str) -> float:
    try:
        return parse_rfc3339(text)
    except (ValueError, OverflowError):
        raise bad_query(
            field, f"{text!r} is no RFC 3339 time such as 2026-11-23T07:00:00Z"
        ) from None


# Probes


@probes.get("/healthz", response_model=HealthView, responses={503: {"model": HealthView}})
async def healthz(daemon: Running) -> Response:
    """Alive: each loop has come round within 60 s."""
    if late := daemon.health.stalled_loops():
        return JSONResponse({"status": f"standing still: {', '.join(late)}"}, status_code=503)
    return JSONResponse({"status": "ok"})


@probes.get("/readyz", response_model=HealthView, responses={503: {"model": HealthView}})
async def readyz(daemon: Running) -> Response:
    """Ready: the store can be written."""
    if reason := await daemon.health.unready():
        return JSONResponse({"status": reason}, status_code=503)
    return JSONResponse({"status": "ok"})


@probes.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {
            "content": {"text/plain": {"schema": {"type": "string"}}},
            "description": "Prometheus text.",
        }
    },
)
async def metrics(daemon: Running, accept: Annotated[str, Header()] = "") -> Response:
    """Metrics for Prometheus, in the OpenMetrics format where that is asked for."""
    # Where the store fails, what is counted as it happens is still worth seeing, now more than ever.
    with suppress(StoreError):
        await daemon.refresh_gauges()
    encode, content_type = choose_encoder(accept)
    return Response(encode(daemon.metrics.registry), headers={"content-type": content_type})
