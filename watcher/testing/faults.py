"""Faults of a server: each takes the place of the usual answer."""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

Fault = Callable[[web.Request], Awaitable[web.StreamResponse]]


def answers(status: int, text: str, *, content_type: str = "text/html", **headers: str) -> Fault:
    """Return a fault that sends this answer. In header names an underscore stands for a hyphen."""

    async def answer(_: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, text=text, content_type=content_type, headers=named)

    return answer


def compressed(encoding: str, body: bytes) -> Fault:
    """Return a fault that sends `body`, whatever it is, and claims this content encoding."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body, headers={"Content-Encoding": encoding})

    return answer


async def resets(request: web.Request) -> web.StreamResponse:
    """Reset the connection."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def hangs(_: web.Request) -> web.StreamResponse:
    """Never answer."""
    await asyncio.Event().wait()
    return web.Response()


async def cut_off(request: web.Request) -> web.StreamResponse:
    """Close the connection in the middle of the body."""
    response = web.StreamResponse(
        headers={"Content-Length": "1000", "Content-Type": "application/json"}
    )
    await response.prepare(request)
    await response.write(b'{"task_id": "')
    if request.transport is not None:
        request.transport.close()
    return response
