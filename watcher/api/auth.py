"""The token of the HTTP API: pure ASGI, before routing."""

import hmac
from collections.abc import Callable

from pydantic import SecretStr
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from watcher.api.attempts import TokenAttempts
from watcher.api.clients import group_of, peer_of
from watcher.api.page.access import login_response
from watcher.api.page.paths import is_page
from watcher.api.problem_responses import is_browser, problem_response
from watcher.api.problems import Problem

_OPEN = frozenset({"/healthz", "/readyz", "/metrics", "/openapi.json"})


class Guard:
    """Requires the token if one is set; of a browser, the session of its log-in."""

    def __init__(
        self, app: ASGIApp, token: Callable[[], SecretStr | None], attempts: TokenAttempts
    ) -> None:
        self._app = app
        self._token = token
        self._attempts = attempts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        rejection = self._rejection(scope)
        await (rejection or self._app)(scope, receive, send)

    def _rejection(self, scope: Scope) -> Response | None:
        token = self._token()
        if token is None or scope["path"] in _OPEN:
            return None
        sent = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        if _bears(sent, token.get_secret_value()):
            return None
        if not sent and (is_page(scope["path"]) or is_browser(scope)):
            return login_response(scope, token)
        return problem_response(scope, self._wrong(scope, sent))

    def _wrong(self, scope: Scope, sent: str) -> Problem:
        # Without credentials, such as `Bearer `, nothing was guessed.
        guessed = bool(sent.partition(" ")[2].strip())
        wait = self._attempts.wrong(group_of(peer_of(scope))) if guessed else None
        if wait is not None:
            headers = {"retry-after": str(wait)}
            return Problem(429, "too many wrong API tokens", headers=headers)
        return Problem(
            401,
            "send the API token as `Authorization: Bearer …`",
            headers={"www-authenticate": "Bearer"},
        )


def _bears(header: str, token: str) -> bool:
    scheme, _, credentials = header.partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(
        credentials.strip().encode(), token.encode()
    )
