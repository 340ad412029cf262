"""Serves the API and the page below the path of `server.external_url`, too: a proxy need not strip
it.
"""

from collections.abc import Callable
from urllib.parse import unquote, urlsplit

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

WITHOUT_PREFIX = "watcher.without_prefix"
"""The key of a request's scope that has the scope without the prefix, for what is outside."""


class Prefix:
    """Takes the path of `url` off the beginning of the path of each request that has it."""

    def __init__(self, app: ASGIApp, url: Callable[[], str | None]) -> None:
        self._app = app
        self._url = url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        url = self._url()
        prefix = urlsplit(url).path.rstrip("/") if url and scope["type"] == "http" else ""
        raw: bytes = scope.get("raw_path") or scope.get("path", "").encode()
        if prefix and scope["path"] == unquote(prefix):
            # Relative addresses of the page need the slash.
            await RedirectResponse(f"{prefix.rpartition('/')[2]}/")(scope, receive, send)
        elif prefix and raw.startswith(f"{prefix}/".encode()):
            rest = raw[len(prefix) :]
            path = unquote(rest.partition(b"?")[0].decode("latin-1"))
            inner = {**scope, "path": path, "raw_path": rest}
            scope[WITHOUT_PREFIX] = inner
            await self._app(inner, receive, send)
        else:
            await self._app(scope, receive, send)
