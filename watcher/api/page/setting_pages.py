"""The settings that the daemon runs with."""

import yaml
from fastapi import Request, Response

from watcher.api.dependencies import Running
from watcher.api.page.frame import show
from watcher.api.page.router import PageRouter
from watcher.core.attention import AttentionKind, attention
from watcher.core.masked_settings import masked
from watcher.core.routing import received_by
from watcher.core.settings import Settings

settings = PageRouter()

_RESTARTED = ("store", "server", "telemetry")
"""Sections that a reload leaves as they are."""


@settings.page("/settings")
async def show_settings(request: Request, daemon: Running) -> Response:
    """Show the effective settings with secrets masked, and what in them looks like a mistake."""
    now = await daemon.status()
    kept = [item for item in attention(now) if item.kind is AttentionKind.CHANNEL_UNKNOWN]
    shown = yaml.safe_dump(masked(daemon.settings), sort_keys=False, allow_unicode=True, width=100)
    return await show(
        request,
        daemon,
        "settings.html",
        title="Settings",
        here="settings",
        started_at=now.started_at,
        restarted=_RESTARTED,
        warnings=[*_warnings(daemon.settings), *(item.text for item in kept)],
        settings=shown,
    )


def _warnings(settings: Settings) -> list[str]:
    routes = settings.effective_routes
    unreached = [
        f"channel {channel.name} receives nothing: no route leads to it"
        for channel in settings.channels
        if received_by(channel.name, routes).startswith("nothing")
    ]
    own = [
        f"{kind} {one.name}: {text}"
        for kind, some in (("source", settings.sources), ("channel", settings.channels))
        for one in some
        for text in one.warnings()
    ]
    return [*unreached, *own]
