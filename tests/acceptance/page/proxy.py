"""A proxy that shows the watcher below a path of its own, and strips that path or not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from aiohttp import web

from watcher.testing.loopback import served

PREFIX = "/ops/watcher"
_OF_THE_CONNECTION = ("connection", "transfer-encoding", "keep-alive")


@asynccontextmanager
async def proxied(port: int) -> AsyncIterator["Proxy"]:
    """Serve on this port of loopback; `target` is set when the daemon runs."""
    async with httpx.AsyncClient(trust_env=False, timeout=None) as client:  # a stream has no end
        proxy = Proxy(client)
        app = web.Application()
        app.router.add_route("*", PREFIX + "{path:/.*}", proxy.forward)
        async with served(app, port):
            yield proxy


class Proxy:
    """Forwards requests below `PREFIX` to `target`; the rest does not exist."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._silenced = 0
        self.target = ""
        self.strips = True

    def silence(self) -> None:
        """Pass on no more of the answers that have begun, and leave their connections open, like a
        network that has forgotten them.
        """
        self._silenced += 1

    async def forward(self, request: web.Request) -> web.StreamResponse:
        """Send a request on, and its answer back as it comes."""
        silenced = self._silenced
        path = request.raw_path.removeprefix(PREFIX) if self.strips else request.raw_path
        sent = self._client.build_request(
            request.method,
            f"{self.target}{path}",
            headers=list(request.headers.items()),
            content=await request.read(),
        )
        answer = await self._client.send(sent, stream=True)
        try:
            headers = [
                (name, value)
                for name, value in answer.headers.multi_items()
                if name not in _OF_THE_CONNECTION
            ]
            response = web.StreamResponse(status=answer.status_code)
            response.headers.extend(headers)
            await response.prepare(request)
            async for part in answer.aiter_raw():
                if silenced == self._silenced:
                    await response.write(part)
        finally:
            await answer.aclose()
        return response
