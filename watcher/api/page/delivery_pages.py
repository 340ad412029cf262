"""The outbox: failed deliveries by channel and error, then the deliveries themselves."""

from fastapi import Request, Response

from watcher.api.dependencies import Daemon, Running
from watcher.api.page.delivery_query import ROWS, DeliveryQuery
from watcher.api.page.frame import show
from watcher.api.page.router import PageRouter
from watcher.api.problems import Problem
from watcher.core.deliveries import DeliveryState
from watcher.core.reading import DeliveryGroup, DeliveryPage

deliveries = PageRouter()

MOST_NEWER = 100


@deliveries.page("/deliveries")
async def list_deliveries(request: Request, daemon: Running) -> Response:
    """List the deliveries in one state, the newest first."""
    query = DeliveryQuery.of(request.query_params)
    page = await _page(daemon, query)
    names = [one.name for one in daemon.settings.channels]
    channel, following = query.channel, page.next_cursor
    return await show(
        request,
        daemon,
        "deliveries.html",
        title="Deliveries",
        here="deliveries",
        query=query,
        state=query.state,
        states=list(DeliveryState),
        channel=channel,
        configured=names,
        channels=names if channel is None or channel in names else [*names, channel],
        groups=await _groups(daemon, query),
        rows=page.deliveries,
        newer=await _newer(daemon, query),
        live=query.live(page.deliveries, following),
        following=following and query.address(cursor=following),
        incomplete=not page.complete,
    )


async def _page(daemon: Daemon, query: DeliveryQuery) -> DeliveryPage:
    """Return the page; where it names its rows, these as they are now."""
    if query.rows is not None:
        found = await daemon.store.deliveries(query.rows)
        same = [found[number] for number in query.rows if number in found]
        return DeliveryPage(deliveries=same, next_cursor=query.following, complete=True)
    try:
        return await daemon.store.select_deliveries(query.selection, ROWS, query.cursor)
    except ValueError as error:
        raise Problem(422, f"cursor: {error}") from None


async def _newer(daemon: Daemon, query: DeliveryQuery) -> int:
    """Return how many deliveries of a list are newer than its first row, at most `MOST_NEWER`; 0
    where a reason is searched for.
    """
    if query.rows is None or query.top is None or query.reason is not None:
        return 0
    newest = await daemon.store.select_deliveries(query.selection, MOST_NEWER)
    return sum(one.id > query.top for one in newest.deliveries)


async def _groups(daemon: Daemon, query: DeliveryQuery) -> list[DeliveryGroup]:
    if query.state is not DeliveryState.FAILED or query.reason is not None:
        return []
    return list(await daemon.store.failed_deliveries(query.channel))
