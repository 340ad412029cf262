"""A webhook receiver on loopback. It verifies signatures without any code of the watcher."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from watcher.testing.loopback import served

Fault = Callable[[web.Request], Awaitable[web.StreamResponse | None]]
"""Replaces the receiver's answer; None leaves the answer to the receiver."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A webhook that arrived, accepted or not."""

    event_id: str
    verified: bool
    event: Mapping[str, Any]
    body: bytes
    accepted: bool


def verify(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Return whether a signature matches the secret, as Standard Webhooks defines it."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return any(
        hmac.compare_digest(signature, expected)
        for signature in headers["webhook-signature"].split()
    )


class Receiver:
    """Accepts webhooks at `/hook` and Slack messages at `/slack`.

    Calls `on_accepted` with each accepted webhook.
    """

    def __init__(self, secret: str, on_accepted: Callable[[Received], None] | None = None) -> None:
        self._secret = secret
        self._on_accepted = on_accepted
        self.fault: Fault | None = None
        self.received: list[Received] = []
        self.slack: list[Mapping[str, Any]] = []

    def accepted(self) -> list[Received]:
        """Return the webhooks answered with 2xx, in order of arrival."""
        return [received for received in self.received if received.accepted]

    @asynccontextmanager
    async def serve(self, port: int = 0) -> AsyncIterator[str]:
        """Serve on this port of loopback, by default a free one; yields the base URL."""
        app = web.Application()
        app.router.add_post("/hook", self._hook)
        app.router.add_post("/slack", self._slack)
        async with served(app, port) as url:
            yield url

    async def _hook(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        fault = None if self.fault is None else await self.fault(request)
        received = Received(
            event_id=request.headers["webhook-id"],
            verified=verify(self._secret, request.headers, body),
            event=json.loads(body),
            body=body,
            accepted=fault is None,
        )
        self.received.append(received)
        if fault is not None:
            return fault
        if self._on_accepted is not None:
            self._on_accepted(received)
        return web.Response(status=204 if received.verified else 401)

    async def _slack(self, request: web.Request) -> web.StreamResponse:
        message = await request.json()
        fault = None if self.fault is None else await self.fault(request)
        if fault is not None:
            return fault
        self.slack.append(message)
        return web.Response(text="ok")
