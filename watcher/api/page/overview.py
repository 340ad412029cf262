"""The overview: what needs a person, and whether the watcher works."""

from fastapi import Request, Response

from watcher.api.dependencies import Running
from watcher.api.page import recent, urgent, views
from watcher.api.page.frame import show
from watcher.api.page.router import PageRouter

overview = PageRouter()


@overview.page("/")
async def show_overview(request: Request, daemon: Running) -> Response:
    """Show what needs attention, the counts, sources, channels and the last transitions."""
    now, store = await daemon.shown_status(), daemon.store
    last = await store.last_event_id()
    transitions = recent.transitions(await store.events_after(last - recent.READ, recent.READ))
    return await show(
        request,
        daemon,
        "overview.html",
        title="Overview",
        here="./",
        urgent=urgent.rows(now),
        totals=views.totals(now),
        counts=views.counts(now),
        bars=views.bars(now.stored.minutes),
        sources=views.sources(now, daemon.settings),
        channels=views.channels(now, await store.last_delivered()),
        transitions=transitions,
        changed_at=transitions[0].at if transitions else None,
    )
