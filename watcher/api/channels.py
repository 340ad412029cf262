"""The channels: their state, pausing and resuming, and replaying or purging their deliveries."""

from typing import Annotated, Literal, Self, cast

import msgspec
from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from watcher.api import resending
from watcher.api.bodies import NO_BODY
from watcher.api.dependencies import Daemon, Running, bad_query, json_response, seconds_of
from watcher.api.fields import Moment, Time, optional_time
from watcher.api.openapi import shows
from watcher.api.peers import Logged
from watcher.api.problems import Problem, documented
from watcher.core.channels import ChannelState
from watcher.core.deliveries import DeliveryState, OutboxDepth
from watcher.core.events import EventFilter
from watcher.core.example_events import EXAMPLE_TYPES, TEST_EVENT

channels = APIRouter(prefix="/v1/channels", tags=["outbox"])

State = Literal["running", "failing", "paused", "stopped", "off"]


class ChannelView(msgspec.Struct, frozen=True):
    """The state of a channel, and the number of its deliveries. `oldest_pending_at` is null if
    none is pending.
    """

    name: str
    type: str
    state: State
    reason: str | None
    since: Time | None
    pending: int
    oldest_pending_at: Time | None
    failed: int

    @classmethod
    def of(cls, channel: ChannelState, depth: OutboxDepth | None) -> Self:
        return cls(
            name=channel.name,
            type=channel.type,
            state=cast(State, channel.state),
            reason=channel.reason,
            since=optional_time(channel.since),
            pending=depth.pending if depth else 0,
            oldest_pending_at=optional_time(depth.oldest_created_at if depth else None),
            failed=depth.failed if depth else 0,
        )


class ChannelPageView(msgspec.Struct, frozen=True):
    """All configured channels."""

    items: list[ChannelView]
    next_cursor: None


class PurgedView(msgspec.Struct, frozen=True):
    """The number of deleted deliveries; with `dry_run`, of those that would be."""

    purged: int


class ReplayView(msgspec.Struct, frozen=True):
    """The number of queued deliveries; with `dry_run`, of those that would be."""

    queued: int


class ChannelTestView(msgspec.Struct, frozen=True):
    """How the test ended: `status` is the HTTP status, `error` why the message was not delivered,
    null if it was.
    """

    channel: str
    delivered: bool
    status: int | None
    error: str | None


class ChannelTestRequestView(BaseModel):
    """The type of the example event to send; the default has the shape of no other event."""

    model_config = ConfigDict(extra="forbid")

    type: Annotated[str, Field(json_schema_extra={"enum": [*EXAMPLE_TYPES]})] = TEST_EVENT


class PauseRequestView(BaseModel):
    """Why the channel is paused."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=1, max_length=200)] = "no reason was given"


class ReplayRequestView(BaseModel):
    """Which events to send again: those from `since` to `until` (default: now).

    `statuses` and `task_ids` select among them. With `include_new` also those that the channel was
    not sent before, and that its routes select today. With `dry_run` nothing is queued.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    since: Moment
    until: Moment | None = None
    statuses: Annotated[list[str], Field(max_length=100)] = []
    task_ids: Annotated[list[str], Field(max_length=1000)] = []
    include_new: bool = False
    dry_run: bool = False


class PurgeRequestView(BaseModel):
    """Which deliveries to delete: those in `state`, of events before `before` (default: now). With
    `dry_run` nothing is deleted.
    """

    model_config = ConfigDict(extra="forbid")

    state: DeliveryState
    before: Moment | None = None
    dry_run: StrictBool = False


@channels.get("", responses={**shows(ChannelPageView), **documented(401, 403, 503)})
async def list_channels(daemon: Running) -> Response:
    """List the configured channels with their state and their deliveries."""
    return json_response(ChannelPageView(items=await _views(daemon), next_cursor=None))


@channels.post(
    "/{name}/pause",
    responses={**shows(ChannelView), **documented(400, 401, 403, 404, 413, 415, 422, 503)},
)
async def pause_channel(
    name: str, daemon: Running, log: Logged, options: PauseRequestView | None = None
) -> Response:
    """Pause a channel until it is resumed, across restarts. Attempts in flight end."""
    reason = (options or PauseRequestView()).reason
    await daemon.pause(_configured(daemon, name), reason)
    log("paused channel %.150r: %.250r", name, reason, channel=name)
    return await _view(daemon, name)


@channels.post(
    "/{name}/resume",
    dependencies=[NO_BODY],
    responses={**shows(ChannelView), **documented(401, 403, 404, 413, 415, 422, 503)},
)
async def resume_channel(name: str, daemon: Running, log: Logged) -> Response:
    """Resume a paused or stopped channel. Its pending deliveries are sent at once."""
    await daemon.resume(_configured(daemon, name))
    log("resumed channel %.150r", name, channel=name)
    return await _view(daemon, name)


@channels.post(
    "/{name}/test",
    responses={**shows(ChannelTestView), **documented(400, 401, 403, 404, 413, 415, 422, 503)},
)
async def test_channel(
    name: str, daemon: Running, log: Logged, options: ChannelTestRequestView | None = None
) -> Response:
    """Send one message that is marked as a test, at once and without a retry."""
    kind = (options or ChannelTestRequestView()).type
    if kind not in EXAMPLE_TYPES:
        raise bad_query("type", f"expected one of {', '.join(EXAMPLE_TYPES)}")
    check = await daemon.test_channel(_configured(daemon, name), kind)
    log("tested channel %.150r", name, channel=name)
    delivered = check.error is None
    return json_response(
        ChannelTestView(channel=name, delivered=delivered, status=check.status, error=check.error)
    )


@channels.post(
    "/{name}/replay",
    status_code=202,
    responses={
        **shows(ReplayView, 202),
        **shows(ReplayView, 200, "The count alone, with `dry_run`."),
        **documented(400, 401, 403, 404, 413, 415, 422, 503),
    },
)
async def replay_channel(
    name: str, options: ReplayRequestView, daemon: Running, log: Logged
) -> Response:
    """Send the events of a time range again, in order, each with its original `webhook-id`."""
    _configured(daemon, name)
    criteria = EventFilter(
        since=seconds_of("since", options.since),
        until=None if options.until is None else seconds_of("until", options.until),
        statuses=tuple(status.upper() for status in options.statuses),
        task_ids=tuple(options.task_ids),
    )
    queued = await resending.replay(
        daemon.store,
        daemon.settings,
        name,
        criteria,
        daemon.wall(),
        include_new=options.include_new,
        dry_run=options.dry_run,
    )
    if options.dry_run:
        return json_response(ReplayView(queued=queued))
    events = "event" if queued == 1 else "events"
    log("replayed %d %s to channel %.150r", queued, events, name, channel=name)
    daemon.outbox.set()
    return json_response(ReplayView(queued=queued), 202)


@channels.post(
    "/{name}/purge",
    responses={**shows(PurgedView), **documented(400, 401, 403, 413, 415, 422, 503)},
)
async def purge_channel(
    name: str, options: PurgeRequestView, daemon: Running, log: Logged
) -> Response:
    """Permanently delete deliveries of a channel, configured or not."""
    before = daemon.wall() if options.before is None else seconds_of("before", options.before)
    if options.dry_run:
        count = await daemon.store.count_purged(name, options.state, before)
        return json_response(PurgedView(purged=count))
    purged = await daemon.store.purge(name, options.state, before)
    log(
        "purged %d %s deliveries of channel %.150r",
        purged,
        options.state.value,
        name,
        channel=name,
    )
    daemon.outbox.set()
    return json_response(PurgedView(purged=purged))


async def _views(daemon: Daemon) -> list[ChannelView]:
    depths = {depth.channel: depth for depth in await daemon.store.outbox()}
    return [
        ChannelView.of(channel, depths.get(channel.name)) for channel in await daemon.channels()
    ]


async def _view(daemon: Daemon, name: str) -> Response:
    return json_response(next(view for view in await _views(daemon) if view.name == name))


def _configured(daemon: Daemon, name: str) -> str:
    if name not in {channel.name for channel in daemon.settings.channels}:
        raise Problem(404, f"unknown channel {name!r}")
    return name
