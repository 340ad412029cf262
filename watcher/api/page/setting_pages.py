"""The settings that the daemon runs with."""

from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Description:
    """Settings as text, and what in them looks like a mistake."""

    settings: Settings
    text: str
    warnings: Sequence[str]


class _LastDescribed:
    """The settings that were shown last; they are the same until the next reload."""

    def __init__(self) -> None:
        self._last: _Description | None = None

    def of(self, settings: Settings) -> _Description:
        """Return the description of `settings`."""
        if self._last is None or self._last.settings is not settings:
            text = yaml.safe_dump(masked(settings), sort_keys=False, allow_unicode=True, width=100)
            self._last = _Description(settings=settings, text=text, warnings=_warnings(settings))
        return self._last


_described = _LastDescribed()


@settings.page("/settings")
async def show_settings(request: Request, daemon: Running) -> Response:
    """Show the effective settings with secrets masked, and what in them looks like a mistake."""
    now = await daemon.shown_status()
    kept = [item for item in attention(now) if item.kind is AttentionKind.CHANNEL_UNKNOWN]
    described = _described.of(daemon.settings)
    return await show(
        request,
        daemon,
        "settings.html",
        title="Settings",
        here="settings",
        started_at=now.started_at,
        restarted=_RESTARTED,
        warnings=[*described.warnings, *(item.text for item in kept)],
        settings=described.text,
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
