"""A listener needs no framework for probes and metrics alone."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import anyio
import httpx
import pytest
from starlette.types import Receive, Scope, Send

from tests.api.harness import BASE, FakeDaemon
from watcher.api import app, deferred
from watcher.api.deferred import Deferred
from watcher.core.errors import StoreError
from watcher.telemetry.health import Health

pytestmark = pytest.mark.anyio

Application = Callable[[Scope, Receive, Send], Awaitable[None]]
PROBES = ("/healthz", "/readyz", "/metrics")
GZIP = {"accept-encoding": "gzip", "accept": "application/openmetrics-text; version=1.0.0"}
REQUESTS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("GET", {}),
    ("HEAD", {}),
    ("GET", {"headers": GZIP}),
    ("GET", {"content": b"{}"}),
    ("GET", {"headers": {"host": "evil.example"}}),
    ("GET", {"headers": {"origin": "https://evil.example"}}),
    ("GET", {"headers": {"origin": "https://page.example"}}),
    ("GET", {"headers": {"origin": "https://watcher.example"}}),
    ("GET", {"headers": {"sec-fetch-site": "cross-site"}}),
    ("POST", {}),
    ("OPTIONS", {}),
)


async def is_full() -> None:
    raise StoreError("the disk is full")


async def is_broken() -> None:
    raise RuntimeError("unexpected")


async def answered(
    application: Application, method: str, path: str, **request: Any
) -> tuple[int, dict[str, str], bytes]:
    transport = httpx.ASGITransport(application, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
        answer = await client.request(method, path, **request)
        headers, shown = dict(answer.headers), answer.content
    if answer.status_code == 200 and path == "/metrics":
        headers.pop("content-length", None)
        shown = b""  # the metrics of the process change
    if answer.status_code == 500:
        for name in ("vary", "access-control-allow-origin"):
            headers.pop(name, None)  # the application's is made outside of CORS
    return answer.status_code, headers, shown


@pytest.mark.parametrize("store", ["works", "is full", "is broken"])
@pytest.mark.parametrize(
    ("early", "whole"),
    [
        (deferred.api, app.create_api),
        (deferred.telemetry, app.create_telemetry),
        (deferred.waiting, app.create_waiting),
    ],
)
async def test_probes_are_answered_as_the_whole_application_answers_them(
    daemon: FakeDaemon,
    early: Callable[[Any], Application],
    whole: Callable[[Any], Application],
    store: str,
) -> None:
    if (failing := {"is full": is_full, "is broken": is_broken}.get(store)) is not None:
        daemon.health = Health(failing, dict)
        daemon.refresh_gauges = failing  # type: ignore[method-assign]
    changed = {
        "cors_origins": ["https://page.example"],
        "external_url": "https://watcher.example/prefix",
    }
    server = daemon.settings.server.model_copy(update=changed)
    daemon.settings = daemon.settings.model_copy(update={"server": server})
    first, second = early(daemon), whole(daemon)
    for path in PROBES:
        for method, request in REQUESTS:
            expected = await answered(second, method, path, **request)
            seen = await answered(first, method, path, **request)
            assert seen == expected, (method, path, request)


async def test_the_application_is_created_once_for_the_first_request_that_is_no_probe() -> None:
    created = []

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    def create() -> Application:
        created.append(1)
        return answer

    application = Deferred(answer, create)
    for path in PROBES:
        await answered(application, "GET", path)
    assert created == []

    async with anyio.create_task_group() as tasks:
        for path in ("/v1/watches", "/", "/healthz"):
            tasks.start_soon(answered, application, "POST", path)
    assert created == [1]
    assert (await answered(application, "GET", "/v1/status"))[2] == b"/v1/status"
