"""The event stream: Server-Sent Events (WHATWG HTML, section 9.2), read from the store, so that none can be missed."""

from collections.abc import AsyncIterator

import anyio

from watcher.core.errors import StoreError
from watcher.core.events import StoredEvent
from watcher.core.interfaces.store import Store
from watcher.core.wakeup import Wakeup

_KEEP_ALIVE = 15.0
_PAGE = 500


async def server_sent_events(
    store: Store, outbox: Wakeup, after: int, stopping: anyio.Event
) -> AsyncIterator[bytes]:
    """Yield every event stored after number `after`, as it is stored, until `stopping`.

    Ends where the store fails: the client comes back with `Last-Event-ID`. Nothing is kept for a slow reader; what it
    asks for is read from the store.
    """
    yield b": watching\n\n"
    while not stopping.is_set():
        seen = outbox.generation
        try:
            events = await store.events_after(after, _PAGE)
        except StoreError:
            return
        for event in events:
            after = event.id
            yield frame(event)
        if not events:
            with anyio.move_on_after(_KEEP_ALIVE) as waited:
                await outbox.wait(seen)
            if waited.cancelled_caught:
                yield b": still here\n\n"


def frame(event: StoredEvent) -> bytes:
    """Return `event` as one frame; each line of its body gets a `data:` of its own, as the format asks."""
    lines = b"".join(b"data: %s\n" % line for line in event.body.splitlines())
    return b"id: %d\nevent: %s\n%s\n" % (event.id, event.type.encode(), lines)
