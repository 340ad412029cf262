"""Liveness, readiness and metrics, as routes of the API and in its document."""

from typing import Annotated

from fastapi import APIRouter, Header, Response

from watcher.api.dependencies import Running
from watcher.api.openapi import shows
from watcher.api.probe_responses import HealthView, exposition, health, readiness

probes = APIRouter(tags=["probes"])

_HEALTH = {**shows(HealthView), **shows(HealthView, 503, "Service Unavailable")}


@probes.get("/healthz", responses=_HEALTH)
async def healthz(daemon: Running) -> Response:
    """Liveness: every loop has made progress within 60 s."""
    return health(daemon)


@probes.get("/readyz", responses=_HEALTH)
async def readyz(daemon: Running) -> Response:
    """Readiness: the store accepts writes; of several replicas, this one has joined the others."""
    return await readiness(daemon)


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
    return await exposition(daemon, accept, accept_encoding)


for path, endpoint in {"/healthz": healthz, "/readyz": readyz, "/metrics": metrics}.items():
    # A server that has GET has HEAD (RFC 9110, 9.1), and monitors use it.
    probes.add_api_route(path, endpoint, methods=["HEAD"], include_in_schema=False)
