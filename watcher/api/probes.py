"""Liveness, readiness and metrics."""

from contextlib import suppress
from typing import Annotated

import msgspec
from fastapi import APIRouter, Header, Response
from prometheus_client.exposition import choose_encoder

from watcher.api.dependencies import Running, json_response
from watcher.api.openapi import shows
from watcher.core.errors import StoreError

probes = APIRouter(tags=["probes"])


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
async def metrics(daemon: Running, accept: Annotated[str, Header()] = "") -> Response:
    """Metrics for Prometheus, in the OpenMetrics format if requested."""
    # If the store fails, the other metrics matter all the more.
    with suppress(StoreError):
        await daemon.refresh_gauges()
    encode, content_type = choose_encoder(accept)
    return Response(encode(daemon.metrics.registry), headers={"content-type": content_type})


for path, endpoint in {"/healthz": healthz, "/readyz": readyz, "/metrics": metrics}.items():
    # A server that has GET has HEAD (RFC 9110, 9.1), and monitors use it.
    probes.add_api_route(path, endpoint, methods=["HEAD"], include_in_schema=False)
