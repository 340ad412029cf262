"""A receiver on loopback that verifies every delivery as the README says, with no code of the watcher's own."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from watcher.testing.mixpeek_server import served

Fault = Callable[[web.Request], Awaitable[web.StreamResponse | None]]
"""Answers in the receiver's place; None where it lets the request through after all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One webhook that came, whatever it was answered."""

    event_id: str
    verified: bool
    event: Mapping[str, Any]
    body: bytes
    accepted: bool


def verify(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Return whether one of the signatures is the secret's, as Standard Webhooks has it."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return any(
        hmac.compare_digest(given, expected) for given in headers["webhook-signature"].split()
    )


class Receiver:
    """Takes webhooks at `/hook` and Slack messages at `/slack`; `told` is called with each that is accepted."""

    def __init__(self, secret: str, told: Callable[[Received], None] | None = None) -> None:
        self._secret = secret
        self._told = told
        self.fault: Fault | None = None
        self.received: list[Received] = []
        self.slack: list[Mapping[str, Any]] = []

    def accepted(self) -> list[Received]:
        """Return what was answered with 2xx, in the order it came."""
        return [one for one in self.received if one.accepted]

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Serve on a free port of loopback; gives the base URL."""
        app = web.Application()
        app.router.add_post("/hook", self._hook)
        app.router.add_post("/slack", self._slack)
        async with served(app) as url:
            yield url

    async def _hook(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        refusal = None if self.fault is None else await self.fault(request)
        received = Received(
            event_id=request.headers["webhook-id"],
            verified=verify(self._secret, request.headers, body),
            event=json.loads(body),
            body=body,
            accepted=refusal is None,
        )
        self.received.append(received)
        if refusal is not None:
            return refusal
        if self._told is not None:
            self._told(received)
        return web.Response(status=204 if received.verified else 401)

    async def _slack(self, request: web.Request) -> web.StreamResponse:
        message = await request.json()
        refusal = None if self.fault is None else await self.fault(request)
        if refusal is not None:
            return refusal
        self.slack.append(message)
        return web.Response(text="ok")
