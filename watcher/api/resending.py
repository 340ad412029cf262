"""Replays and retries in bulk, and what they would queue."""

from watcher.core.event_routing import context_of
from watcher.core.events import EventFilter
from watcher.core.interfaces.store import Store
from watcher.core.routing import Routing
from watcher.core.settings import Settings

_PAGE = 200
"""Events that are read at once, with their bodies."""


async def replay(
    store: Store,
    settings: Settings,
    channel: str,
    selected: EventFilter,
    now: float,
    *,
    include_new: bool,
    dry_run: bool,
) -> int:
    """Queue the selected events that `channel` was sent before; return how many.

    With `include_new` also those that the routes select for it today. With `dry_run` only counts.
    """
    new = await _new_events(store, settings, channel, selected, now) if include_new else []
    if dry_run:
        return await store.count_replayed(channel, selected, now) + len(new)
    queued = 0
    for start in range(0, len(new), _PAGE):
        queued += await store.queue_new(channel, new[start : start + _PAGE], now)
    return queued + await store.replay(channel, selected, now)


async def _new_events(
    store: Store, settings: Settings, channel: str, selected: EventFilter, now: float
) -> list[str]:
    """Return the IDs of selected events that only today's routes send to `channel`."""
    routing = Routing(settings.effective_routes, [channel])
    found: list[str] = []
    after = 0
    while page := await store.not_routed(channel, selected, now, after, _PAGE):
        for event in page:
            context, about = context_of(event.body)
            if about != channel and routing.channels(context):
                found.append(event.event_id)
        after = page[-1].id
    return found
