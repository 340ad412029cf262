"""The event stream."""

import re
from collections.abc import AsyncIterator, Mapping
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse
from starlette.datastructures import State
from starlette.types import Receive, Scope, Send

from watcher.api.deliveries import MAX_ID
from watcher.api.dependencies import Running, bad_query
from watcher.api.event_stream import server_sent_events
from watcher.api.problems import Problem, documented

MAX_STREAMS = 100
"""Streams that may be open at once."""
_NUMBER = re.compile(r"[0-9]{1,100}")

events = APIRouter(prefix="/v1", tags=["outbox"])


@events.get(
    "/events",
    response_class=StreamingResponse,
    responses={
        200: {
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
            "description": "Events as they are stored.",
        },
        **documented(401, 403, 422, 503),
    },
)
async def stream_events(
    request: Request, daemon: Running, last_event_id: Annotated[str | None, Header()] = None
) -> Response:
    """Stream events as they are stored.

    `Last-Event-ID` resumes without a gap; without it, the stream begins with the next event.
    """
    if last_event_id is not None and not _NUMBER.fullmatch(last_event_id):
        raise bad_query("Last-Event-ID", "not a number of this stream")
    state = request.app.state
    admit_stream(state)
    try:
        # Read before the response begins, so that its client misses nothing that is stored from
        # then on.
        if last_event_id is None:
            after = await daemon.store.last_event_id()
        else:
            after = min(int(last_event_id), MAX_ID)
    except BaseException:
        state.streams -= 1
        raise
    stream = server_sent_events(daemon.store, daemon.outbox, after, daemon.stopping)
    return CountedStream(stream, state)


def admit_stream(state: State) -> None:
    """Count one more stream. Raises `Problem` where too many are open."""
    if state.streams >= MAX_STREAMS:
        detail = f"{MAX_STREAMS} streams are open already"
        raise Problem(503, detail, headers={"retry-after": "30"})
    # Before anything is awaited, so that no number of requests at once gets past the limit.
    state.streams += 1


class CountedStream(StreamingResponse):
    """A stream that counts until it ends, even if its client has gone before it began."""

    def __init__(
        self, stream: AsyncIterator[bytes], state: State, headers: Mapping[str, str] | None = None
    ) -> None:
        all_headers = {"cache-control": "no-store", **(headers or {})}
        super().__init__(stream, media_type="text/event-stream", headers=all_headers)
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._state.streams -= 1
