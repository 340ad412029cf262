"""The outbox: failed deliveries by channel and error, then the deliveries themselves."""

from fastapi import Request, Response

from watcher.api.dependencies import Daemon, Running
from watcher.api.page.frame import show
from watcher.api.page.paths import address
from watcher.api.page.router import PageRouter
from watcher.api.problems import Problem
from watcher.core.deliveries import DeliveryState
from watcher.core.reading import DeliveryGroup

deliveries = PageRouter()

ROWS = 50
MOST_NEWER = 100


@deliveries.page("/deliveries")
async def list_deliveries(request: Request, daemon: Running) -> Response:
    """List the deliveries in one state, the newest first."""
    sent = request.query_params
    state, channel = _state(sent.get("state")), sent.get("channel") or None
    try:
        rows, following = await daemon.store.list_deliveries(
            state, channel, ROWS, sent.get("cursor")
        )
    except ValueError as error:
        raise Problem(422, f"cursor: {error}") from None
    cursor = sent.get("cursor")
    top = sent.get("top") or (str(rows[0].id) if rows and not cursor else None)
    if top and not (top.isascii() and top.isdigit() and len(top) < 19):
        raise Problem(422, "top: expected the number of a delivery")
    names = [one.name for one in daemon.settings.channels]
    return await show(
        request,
        daemon,
        "deliveries.html",
        title="Deliveries",
        here="deliveries",
        state=state,
        states=list(DeliveryState),
        channel=channel,
        channels=names if channel is None or channel in names else [*names, channel],
        groups=await _groups(daemon, state, channel),
        rows=rows,
        newer=await _newer(daemon, state, channel, sent.get("top") and top),
        here_address=address("deliveries", {"state": state, "channel": channel}),
        live=_live(state, channel, cursor, top),
        following=following
        and address("deliveries", {"state": state, "channel": channel, "cursor": following}),
    )


async def _newer(daemon: Daemon, state: DeliveryState, channel: str | None, top: str | None) -> int:
    """Return how many deliveries of a list are newer than its first row, at most `MOST_NEWER`."""
    if not top:
        return 0
    newest, _ = await daemon.store.list_deliveries(state, channel, MOST_NEWER, None)
    return sum(one.id > int(top) for one in newest)


def _live(
    state: DeliveryState, channel: str | None, cursor: str | None, top: str | None
) -> str | None:
    """Return the address that shows the same part of a list again: what is newer does not move its
    rows.
    """
    query = {"state": state, "channel": channel}
    if cursor and not top:
        return address("deliveries", query | {"cursor": cursor})
    if not top:
        return None
    return address("deliveries", query | {"cursor": cursor or str(int(top) + 1), "top": top})


def _state(text: str | None) -> DeliveryState:
    try:
        return DeliveryState(text or DeliveryState.FAILED)
    except ValueError:
        raise Problem(422, f"state: one of {', '.join(DeliveryState)}, not {text!r}") from None


async def _groups(daemon: Daemon, state: DeliveryState, channel: str | None) -> list[DeliveryGroup]:
    if state is not DeliveryState.FAILED:
        return []
    return list(await daemon.store.failed_deliveries(channel))
