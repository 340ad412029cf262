"""What probes and Prometheus are shown. It needs no framework, so that it costs little."""

import gzip
from contextlib import suppress
from typing import Protocol

import msgspec
from prometheus_client.exposition import choose_encoder, gzip_accepted
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from watcher.api.admission import by_name, has_body
from watcher.api.problems import PROBES, UNEXPECTED, Problem, response, store_failed
from watcher.core.errors import StoreError
from watcher.core.settings import Settings
from watcher.telemetry.health import Health
from watcher.telemetry.metrics import Metrics

_GZIP_LEVEL = 1
"""Metrics compress to a tenth at the lowest level already."""
_READING = frozenset({"GET", "HEAD"})


class ProbedDaemon(Protocol):
    """What probes and metrics need of the daemon; `settings` change with a reload."""

    metrics: Metrics
    health: Health

    @property
    def settings(self) -> Settings:
        """The effective settings."""
        ...

    async def refresh_gauges(self) -> None:
        """Update the gauges that are computed on demand. Raises `StoreError`."""
        ...


class HealthView(msgspec.Struct, frozen=True):
    """`ok`, or what is wrong."""

    status: str


def health(daemon: ProbedDaemon) -> Response:
    """Liveness: every loop has made progress within 60 s."""
    stalled = daemon.health.stalled_loops()
    return _shown(f"stalled loops: {', '.join(stalled)}" if stalled else None)


async def readiness(daemon: ProbedDaemon) -> Response:
    """Readiness: the store accepts writes; of several replicas, this one has joined the others."""
    return _shown(await daemon.health.unready())


def _shown(problem: str | None) -> Response:
    content = msgspec.json.encode(HealthView(problem or "ok"))
    return Response(content, 503 if problem else 200, media_type="application/json")


async def exposition(daemon: ProbedDaemon, accept: str, accept_encoding: str) -> Response:
    """Metrics in the format, and with the compression, that these headers accept."""
    # If the store fails, the other metrics matter all the more.
    with suppress(StoreError):
        await daemon.refresh_gauges()
    encode, content_type = choose_encoder(accept)
    headers = {"content-type": content_type, "vary": "accept, accept-encoding"}
    body = encode(daemon.metrics.registry)
    if gzip_accepted(accept_encoding):
        body = gzip.compress(body, _GZIP_LEVEL)
        headers["content-encoding"] = "gzip"
    return Response(body, headers=headers)


def is_probe(scope: Scope) -> bool:
    """Return whether `Probes` has the response to a request."""
    return scope["type"] == "http" and scope["path"] in PROBES and scope["method"] in _READING


class Probes:
    """Answers the requests for which `is_probe` holds, as the routes of the API do."""

    def __init__(self, daemon: ProbedDaemon) -> None:
        self._daemon = daemon

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            answer = await self._answer(scope)
        except StoreError as error:
            answer = response(store_failed(error))
        except Exception:
            await response(Problem(500, UNEXPECTED))(scope, receive, send)
            raise
        await answer(scope, receive, send)

    async def _answer(self, scope: Scope) -> Response:
        if has_body(by_name(scope["headers"])):
            return response(Problem(413, "this request takes no body"))
        match scope["path"]:
            case "/healthz":
                return health(self._daemon)
            case "/readyz":
                return await readiness(self._daemon)
        headers = Headers(scope=scope)
        accept, encoding = headers.get("accept", ""), headers.get("accept-encoding", "")
        return await exposition(self._daemon, accept, encoding)
