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
        following=following
        and address("deliveries", {"state": state, "channel": channel, "cursor": following}),
    )


def _state(text: str | None) -> DeliveryState:
    try:
        return DeliveryState(text or DeliveryState.FAILED)
    except ValueError:
        raise Problem(422, f"state: one of {', '.join(DeliveryState)}, not {text!r}") from None


async def _groups(daemon: Daemon, state: DeliveryState, channel: str | None) -> list[DeliveryGroup]:
    if state is not DeliveryState.FAILED:
        return []
    return list(await daemon.store.failed_deliveries(channel))
