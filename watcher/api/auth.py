"""Access to the HTTP API, and limits of a request: pure ASGI, before routing."""

import hmac
from collections.abc import Callable, Sequence

from pydantic import SecretStr
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from watcher.api.attempts import TokenAttempts
from watcher.api.hardening import hardened
from watcher.api.limits import BODY_LIMIT, HEADER_LIMIT
from watcher.api.peers import at_socket, group_of, peer_of
from watcher.api.problems import Problem, response
from watcher.core.setting_types import is_loopback

_OPEN = frozenset({"/healthz", "/readyz", "/metrics", "/openapi.json"})


class Guard:
    """Requires the token if one is set. Without one, only this machine may use the API.

    A `Host` that is not loopback is then rejected: a browser sends it for a page whose name was
    rebound to this address (DNS rebinding).
    """

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
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        problem = _oversized(scope["headers"]) or self._rejection(scope, headers)
        if problem is not None:
            await response(problem)(scope, receive, hardened(send))
        else:
            await self._app(scope, _limited(receive), hardened(send))

    def _rejection(self, scope: Scope, headers: dict[bytes, str]) -> Problem | None:
        token = self._token()
        if token is not None:
            if scope["path"] in _OPEN:
                return None
            sent = headers.get(b"authorization", "")
            return None if _bears(sent, token.get_secret_value()) else self._wrong(scope, sent)
        if not (at_socket(scope) or _is_here(headers.get(b"host", ""))):
            return Problem(
                403, "without a token the API is limited to localhost; set server.api_token"
            )
        origin = headers.get(b"origin")
        if origin is not None and not _is_here(origin.partition("://")[2]):
            return Problem(403, "without a token the API rejects pages of other origins")
        return None

    def _wrong(self, scope: Scope, sent: str) -> Problem:
        wait = self._attempts.wrong(group_of(peer_of(scope))) if sent else None
        if wait is not None:
            headers = {"retry-after": str(wait)}
            return Problem(429, "too many wrong API tokens", headers=headers)
        return Problem(
            401,
            "send the API token as `Authorization: Bearer …`",
            headers={"www-authenticate": "Bearer"},
        )


def _is_here(authority: str) -> bool:
    """Return whether a host, with or without a port, is this machine."""
    return is_loopback(
        authority[1:].partition("]")[0]
        if authority.startswith("[")
        else authority.partition(":")[0]
    )


def _bears(header: str, token: str) -> bool:
    scheme, _, credentials = header.partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(
        credentials.strip().encode(), token.encode()
    )


def _oversized(headers: Sequence[tuple[bytes, bytes]]) -> Problem | None:
    # Not as a mapping: the same name may occur a thousand times.
    if sum(len(name) + len(value) for name, value in headers) > HEADER_LIMIT:
        return Problem(431, f"headers are limited to {HEADER_LIMIT} bytes")
    length = dict(headers).get(b"content-length", b"0")
    if length.isdigit() and int(length) > BODY_LIMIT:
        return Problem(413, f"a body is limited to {BODY_LIMIT} bytes")
    return None


def _limited(receive: Receive) -> Receive:
    """Also limit bodies without a length."""
    received = 0

    async def receive_some() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > BODY_LIMIT:
            raise Problem(413, f"a body is limited to {BODY_LIMIT} bytes")
        return message

    return receive_some
