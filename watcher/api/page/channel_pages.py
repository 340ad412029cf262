"""The channels: their state, what they receive, and how fast."""

from collections.abc import Sequence
from statistics import median

from fastapi import Request, Response

from watcher.api.dependencies import Daemon, Running
from watcher.api.page import views
from watcher.api.page.frame import show
from watcher.api.page.router import PageRouter
from watcher.core.deliveries import Delivery, DeliveryState
from watcher.core.masked_settings import address_of
from watcher.core.routing import received_by

channels = PageRouter()

_MEASURED = 50
"""Deliveries of which the delivered ones give the latency, their median."""


@channels.page("/channels")
async def show_channels(request: Request, daemon: Running) -> Response:
    """Show the channels as a table, then each with its details."""
    settings = daemon.settings
    rows = views.channels(await daemon.shown_status(), await daemon.store.last_delivered())
    details = [
        {
            "row": row,
            "address": address_of(channel),
            "receives": received_by(channel.name, settings.effective_routes),
            **await _deliveries(daemon, channel.name),
        }
        for channel in settings.channels
        for row in rows
        if row.name == channel.name
    ]
    return await show(
        request,
        daemon,
        "channels.html",
        title="Channels",
        here="channels",
        channels=rows,
        details=details,
    )


async def _deliveries(daemon: Daemon, channel: str) -> dict[str, object]:
    recent = await daemon.store.recent_deliveries(channel, _MEASURED)
    delivered = [one for one in recent if one.state is DeliveryState.DELIVERED]
    return {"latency": _latency(delivered), "measured": len(delivered), "last": recent[:1]}


def _latency(delivered: Sequence[Delivery]) -> float | None:
    """Return the median of the seconds from the observation to the delivery."""
    durations = [
        max(one.delivered_at - one.created_at, 0.0)
        for one in delivered
        if one.delivered_at is not None
    ]
    return median(durations) if durations else None
