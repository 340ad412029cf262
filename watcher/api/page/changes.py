"""The stream that keeps pages live. It says only that something has changed, and nothing of what:
whatever a client missed, one load of its page shows.
"""

from collections.abc import AsyncIterator, Awaitable, Callable

import anyio
from fastapi import Request, Response

from watcher import __version__
from watcher.api.dependencies import Running
from watcher.api.events import CountedStream, admit_stream
from watcher.api.page.router import PageRouter
from watcher.core.errors import StoreError

changes = PageRouter()

LOOK_EVERY = 1.0
"""Seconds between two looks at the store while a stream is open."""
BEAT_EVERY = 5
"""Looks without a change after which a stream shows that it is alive."""


@changes.page("/changes")
async def stream_changes(request: Request, daemon: Running) -> Response:
    """Stream `changed` when something was stored, at most once a second, and `beat` otherwise."""
    state = request.app.state
    admit_stream(state)
    last = request.headers.get("last-event-id")
    stream = server_sent_changes(
        daemon.store.version,
        daemon.store.last_event_id,
        last,
        daemon.stopping,
        lambda: daemon.status_read_at,
    )
    return CountedStream(stream, state, {"x-accel-buffering": "no"})


async def server_sent_changes(
    version: Callable[[], Awaitable[int]],
    last_event_id: Callable[[], Awaitable[int]],
    last: str | None,
    stopping: anyio.Event,
    read_at: Callable[[], float],
    look_every: float = LOOK_EVERY,
) -> AsyncIterator[bytes]:
    """Yield a message for each change that `version` shows, until `stopping` or an error of the
    store.

    `last` is the `Last-Event-ID` of a client that was connected before: it gets `changed` at once
    if an event was stored since. `read_at` returns when the status was read that pages show.
    `look_every` is in seconds.
    """
    try:
        known, number = await version(), await last_event_id()
        kind = "changed" if last not in (None, str(number)) else "beat"
        yield message(kind, number)
        silent, settled, changed_at = 0, True, 0.0
        while not await _stopped(stopping, look_every):
            now = await version()
            silent = silent + 1 if now == known else 0
            if now != known:
                known, settled, changed_at = now, False, anyio.current_time()
                yield message("changed", await last_event_id())
            elif silent >= BEAT_EVERY:
                # What a page counts may be older than the last change: it loads once more after
                # that was counted.
                was_counted = read_at() >= changed_at
                if not settled:
                    yield message("changed")
                yield message("beat")
                silent, settled = 0, settled or was_counted
    except StoreError:
        return


async def _stopped(stopping: anyio.Event, within: float) -> bool:
    with anyio.move_on_after(within):
        await stopping.wait()
    return stopping.is_set()


def message(kind: str, number: int | None = None) -> bytes:
    """Return one message: its data is the version of the watcher, its ID the last event's."""
    place = "" if number is None else f"id: {number}\n"
    return f"{place}event: {kind}\ndata: {__version__}\n\n".encode()
