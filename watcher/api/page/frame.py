"""What every page shows around its content."""

from pathlib import PurePosixPath

from fastapi import Request, Response

from watcher import __version__
from watcher.api.dependencies import Daemon
from watcher.api.page.access import session_of
from watcher.api.page.flash import flash_of
from watcher.api.page.paths import NAVIGATION
from watcher.api.page.rendering import rendered
from watcher.core.status import Status


async def show(
    request: Request, daemon: Daemon, template: str, *, status: int = 200, **context: object
) -> Response:
    """Return a page: `template` with `context`, in the frame of all pages. Raises `StoreError`.

    A template may use `can_act`: whether the page has forms that act. Without a token it shows
    the commands instead.
    """
    token = daemon.settings.server.api_token
    around: dict[str, object] = {
        "url": _url(request, daemon),
        "navigation": NAVIGATION,
        "version": __version__,
        "store": _store(daemon, await daemon.shown_status()),
        "can_act": token is not None,
        "has_session": token is not None and session_of(request.scope, token) is not None,
        "flash": None
        if token is None
        else flash_of(request.query_params, token.get_secret_value()),
    }
    return rendered(request.scope, template, around | context, status=status)


def _url(request: Request, daemon: Daemon) -> str | None:
    """Return the URL that commands need; None if they find it in the settings, as most do."""
    has_port = daemon.settings.server.port or daemon.settings.server.socket is not None
    return None if has_port else f"{request.url.scheme}://{request.url.netloc}"


def _store(daemon: Daemon, now: Status) -> tuple[str, int]:
    """Return the name of the store, without what its URL may hold beside it, and its size."""
    url = daemon.settings.store.url
    return PurePosixPath(url.partition("?")[0]).name, now.size.all_used
