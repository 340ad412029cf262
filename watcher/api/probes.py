"""Liveness, readiness and metrics."""

import gzip
from contextlib import suppress
from typing import Annotated

import msgspec
from fastapi import APIRouter, Header, Response
from prometheus_client.exposition import choose_encoder, gzip_accepted

from watcher.api.dependencies import Running, json_response
from watcher.api.openapi import shows
from watcher.core.errors import StoreError

probes = APIRouter(tags=["probes"])

_GZIP_LEVEL = 1
"""Metrics compress to a tenth at the lowest level already."""


class HealthView(msgspec.Struct, frozen=True):
    """`ok`, or what is wrong."""

    status: str


_HEALTH = {**shows(HealthView), **shows(HealthView, 503, "Service Unavailable")}


@probes.get("/healthz", responses=_HEALTH)
async def healthz(daemon: Running) -> Response:
    """Liveness: every loop has made progress within 60 s."""
    if stalled := daemon.health.stalled_loops():
        return json_response(HealthView(f"stalled loops: {', '.join(stalled)}"), 503)
    return json_response(HealthView("ok"))


@probes.get("/readyz", responses=_HEALTH)
async def readyz(daemon: Running) -> Response:
    """Readiness: the store accepts writes."""
    if reason := await daemon.health.unready():
        return json_response(HealthView(reason), 503)
    return json_response(HealthView("ok"))


@probes.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {
            "content": {"text/plain": {"schema": {"type": "string"}}},
            "description": "Prometheus text.",
        }
    },
)
async def metrics(
    daemon: Running,
    accept: Annotated[str, Header()] = "",
    accept_encoding: Annotated[str, Header()] = "",
) -> Response:
    """Metrics for Prometheus, in the OpenMetrics format and compressed with gzip if requested."""
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


for path, endpoint in {"/healthz": healthz, "/readyz": readyz, "/metrics": metrics}.items():
    # A server that has GET has HEAD (RFC 9110, 9.1), and monitors use it.
    probes.add_api_route(path, endpoint, methods=["HEAD"], include_in_schema=False)
