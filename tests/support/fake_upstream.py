"""The made-up upstream without sockets, so that it can be asked in virtual time."""

import httpx

from watcher.testing.mixpeek_api import Request
from watcher.testing.mixpeek_server import FakeUpstream


def transport(upstream: FakeUpstream) -> httpx.MockTransport:
    """Return a transport whose every request `upstream` answers."""

    async def answer(request: httpx.Request) -> httpx.Response:
        status, headers, body = await upstream.answer(
            Request(
                method=request.method,
                path=request.url.raw_path.decode().partition("?")[0],
                query=dict(request.url.params),
                headers=dict(request.headers),
                body=request.content,
            )
        )
        return httpx.Response(status, headers=headers, content=body)

    return httpx.MockTransport(answer)
