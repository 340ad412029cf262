"""The fake Mixpeek API without sockets, for tests in virtual time."""

from collections.abc import Awaitable, Callable, Mapping

import httpx

from watcher.testing.mixpeek_request import Request
from watcher.testing.mixpeek_server import FakeUpstream

Response = tuple[int, Mapping[str, str], bytes]
Forward = Callable[[Request], Awaitable[Response]]


def transport(upstream: FakeUpstream) -> httpx.MockTransport:
    """Return a transport that passes every request to `upstream`."""

    async def answer(request: httpx.Request) -> httpx.Response:
        received = Request(
            method=request.method,
            path=request.url.raw_path.decode().partition("?")[0],
            query=dict(request.url.params),
            headers=dict(request.headers),
            body=request.content,
        )
        try:
            status, headers, body = await upstream.answer(received)
        except ConnectionResetError:
            raise httpx.ReadError("connection reset") from None
        return httpx.Response(status, headers=headers, content=body)

    return httpx.MockTransport(answer)


def intercept(
    upstream: FakeUpstream, handler: Callable[[Request, Forward], Awaitable[Response]]
) -> None:
    """Answer every request with `handler`, which can forward it to `upstream`."""
    forward = upstream.answer

    async def answer(request: Request) -> Response:
        return await handler(request, forward)

    upstream.answer = answer  # type: ignore[method-assign]
