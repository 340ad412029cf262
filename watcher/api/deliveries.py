"""The outbox: list, show and retry deliveries."""

from typing import Annotated, Self

import msgspec
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from watcher.api.bodies import NO_BODY
from watcher.api.dependencies import Cursor, Limit, Running, bad_query, json_response
from watcher.api.fields import Time, optional_time
from watcher.api.openapi import shows
from watcher.api.peers import Logged
from watcher.api.problems import Problem, documented
from watcher.core.clock import rfc3339
from watcher.core.deliveries import Attempt, Delivery, DeliveryState
from watcher.core.texts import REASON_LIMIT

MAX_ID = 2**63 - 1

deliveries = APIRouter(prefix="/v1/deliveries", tags=["outbox"])


class DeliveryView(msgspec.Struct, frozen=True):
    """One event on its way to one channel."""

    id: int
    event_id: str
    type: str
    task_id: str | None
    channel: str
    state: DeliveryState
    attempts: int
    next_attempt_at: Time | None
    last_error: str | None
    last_status: int | None
    created_at: Time
    delivered_at: Time | None

    @classmethod
    def of(cls, delivery: Delivery) -> Self:
        pending = delivery.state is DeliveryState.PENDING
        return cls(
            id=delivery.id,
            event_id=delivery.event_id,
            type=delivery.type,
            task_id=delivery.task_id,
            channel=delivery.channel,
            state=delivery.state,
            attempts=delivery.attempts,
            next_attempt_at=optional_time(delivery.next_attempt_at) if pending else None,
            last_error=delivery.last_error,
            last_status=delivery.last_status,
            created_at=rfc3339(delivery.created_at),
            delivered_at=optional_time(delivery.delivered_at),
        )


class AttemptView(msgspec.Struct, frozen=True):
    """One attempt: `duration` in seconds, `answer` the first KiB of the response body."""

    number: int
    at: Time
    duration: float
    status: int | None
    error: str | None
    answer: str | None

    @classmethod
    def of(cls, attempt: Attempt) -> Self:
        return cls(
            number=attempt.number,
            at=rfc3339(attempt.at),
            duration=round(attempt.duration, 6),
            status=attempt.status,
            error=attempt.error,
            answer=attempt.response,
        )


class DeliveryWithAttemptsView(DeliveryView, frozen=True):
    """A delivery with its last fifty attempts, the oldest first."""

    history: list[AttemptView]


class DeliveryPageView(msgspec.Struct, frozen=True):
    """A page of deliveries, newest first."""

    items: list[DeliveryView]
    next_cursor: str | None


class RetriedView(msgspec.Struct, frozen=True):
    """The number of queued deliveries; with `dry_run`, of those that would be."""

    queued: int


class RetryRequestView(BaseModel):
    """Which failed deliveries to retry: those of a channel, with `error` those whose last error
    contains this text, regardless of case. With `dry_run` nothing is queued.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    channel: str
    error: Annotated[str, Field(min_length=1, max_length=REASON_LIMIT)] | None = None
    dry_run: bool = False


@deliveries.get("", responses={**shows(DeliveryPageView), **documented(401, 403, 422, 503)})
async def list_deliveries(
    daemon: Running,
    state: Annotated[DeliveryState | None, Query(description="State of the delivery.")] = None,
    channel: Annotated[str | None, Query(description="Name of the channel.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List deliveries, newest first."""
    try:
        page, next_cursor = await daemon.store.list_deliveries(state, channel, limit, cursor)
    except ValueError as error:
        raise bad_query("cursor", str(error)) from None
    items = [DeliveryView.of(delivery) for delivery in page]
    return json_response(DeliveryPageView(items=items, next_cursor=next_cursor))


# An integer: /retry has its own route.
@deliveries.get(
    "/{delivery_id:int}",
    responses={**shows(DeliveryWithAttemptsView), **documented(401, 403, 404, 422, 503)},
)
async def show_delivery(delivery_id: int, daemon: Running) -> Response:
    """Show a delivery with its last attempts."""
    found = await daemon.store.delivery(delivery_id) if 0 < delivery_id <= MAX_ID else None
    if found is None:
        raise Problem(404, f"unknown delivery {delivery_id}")
    delivery, attempts = found
    fields = msgspec.structs.asdict(DeliveryView.of(delivery))
    history = [AttemptView.of(attempt) for attempt in attempts]
    return json_response(DeliveryWithAttemptsView(**fields, history=history))


@deliveries.post(
    "/retry",
    status_code=202,
    responses={
        **shows(RetriedView, 202),
        **shows(RetriedView, 200, "The count alone, with `dry_run`."),
        **documented(400, 401, 403, 404, 413, 415, 422, 503),
    },
)
async def retry_deliveries(options: RetryRequestView, daemon: Running, log: Logged) -> Response:
    """Retry failed deliveries of a channel now, in order, each with its whole schedule."""
    channel = options.channel
    if channel not in {one.name for one in daemon.settings.channels}:
        raise Problem(404, f"unknown channel {channel!r}")
    if options.dry_run:
        count = await daemon.store.count_failed(channel, options.error)
        return json_response(RetriedView(queued=count))
    queued = await daemon.store.retry_failed(channel, options.error, daemon.wall())
    daemon.attempt_all(channel)
    log("retried %d failed deliveries to channel %.150r", queued, channel, channel=channel)
    return json_response(RetriedView(queued=queued), 202)


@deliveries.post(
    "/{delivery_id}/retry",
    status_code=202,
    dependencies=[NO_BODY],
    responses={**shows(DeliveryView, 202), **documented(401, 403, 404, 413, 415, 422, 503)},
)
async def retry_delivery(delivery_id: int, daemon: Running, log: Logged) -> Response:
    """Retry a delivery now, with its whole schedule."""
    known = 0 < delivery_id <= MAX_ID
    delivery = await daemon.store.retry(delivery_id, daemon.wall()) if known else None
    if delivery is None:
        raise Problem(404, f"unknown delivery {delivery_id}")
    daemon.attempt_all(delivery.channel)
    log(
        "retried delivery %d to channel %.150r",
        delivery_id,
        delivery.channel,
        channel=delivery.channel,
        delivery_id=delivery_id,
        task_id=delivery.task_id,
    )
    return json_response(DeliveryView.of(delivery), 202)
