"""The event stream: Server-Sent Events (WHATWG HTML, section 9.2), read from the store, so none is
missed.
"""

from collections.abc import AsyncIterator

import anyio

from watcher.core.errors import StoreError
from watcher.core.events import StoredEvent
from watcher.core.interfaces.store import EventLog
from watcher.core.wakeup import Wakeup

_KEEP_ALIVE = 15.0
"""Seconds without an event after which a comment is sent."""
_PAGE = 500
"""Events read at once."""


async def server_sent_events(
    store: EventLog, outbox: Wakeup, after: int, stopping: anyio.Event
) -> AsyncIterator[bytes]:
    """Yield every event stored after number `after`, as it is stored, until `stopping`.

    Ends if the store fails; the client then reconnects with `Last-Event-ID`. Nothing is kept in
    memory for a slow reader.
    """
    yield b": watching\n\n"
    while not stopping.is_set():
        generation = outbox.generation
        try:
            events = await store.events_after(after, _PAGE)
        except StoreError:
            return
        for event in events:
            after = event.id
            yield frame(event)
        if not events:
            with anyio.move_on_after(_KEEP_ALIVE) as waited:
                await outbox.wait(generation)
            if waited.cancelled_caught:
                yield b": still here\n\n"


def frame(event: StoredEvent) -> bytes:
    """Return `event` as one frame; the format requires a `data:` for each line of the body."""
    lines = b"".join(b"data: %s\n" % line for line in event.body.splitlines())
    return b"id: %d\nevent: %s\n%s\n" % (event.id, event.type.encode(), lines)
