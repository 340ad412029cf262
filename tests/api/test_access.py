"""Tokens, hosts, origins, limits, and the OpenAPI document."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.api.harness import opened, problem

pytestmark = pytest.mark.anyio


async def test_a_body_that_is_too_large_is_rejected_with_and_without_a_length(
    api: httpx.AsyncClient,
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 65536

    problem(await api.post("/v1/watches", content=b" " * (1024 * 1024 + 1)), 413)
    problem(await api.post("/v1/watches", content=chunks()), 413)


async def test_with_a_token_all_but_the_probes_need_it(tmp_path: Path) -> None:
    async with opened(tmp_path, WATCHER_SERVER__API_TOKEN="hidden-api-token") as (_, api):
        for path in ("/healthz", "/readyz", "/metrics", "/openapi.json"):
            assert (await api.get(path, headers={"host": "anything.example"})).status_code == 200
        for header in ("", "Bearer wrong", "Basic hidden-api-token", "hidden-api-token"):
            response = await api.get("/v1/watches", headers={"authorization": header})
            assert problem(response, 401)
            assert response.headers["www-authenticate"] == "Bearer"
        assert (
            await api.get("/v1/watches", headers={"authorization": "bearer hidden-api-token"})
        ).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1:8080", "", "[::2]:80"]
)
async def test_without_a_token_a_host_that_is_not_loopback_is_rejected(
    api: httpx.AsyncClient, host: str
) -> None:
    problem(await api.get("/v1/watches", headers={"host": host}), 403)


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "127.1.2.3", "[::1]:8080"]
)
async def test_loopback_in_every_spelling_is_accepted(api: httpx.AsyncClient, host: str) -> None:
    assert (await api.get("/v1/watches", headers={"host": host})).status_code == 200


async def test_a_page_of_another_origin_is_rejected(api: httpx.AsyncClient) -> None:
    origin = {"origin": "https://evil.example"}
    problem(await api.post("/v1/watches", json={"task_id": "t"}, headers=origin), 403)


async def test_only_configured_origins_may_use_the_api(tmp_path: Path) -> None:
    preflight = {"origin": "https://console.example", "access-control-request-method": "POST"}
    environ = {"WATCHER_SERVER__API_TOKEN": "hidden-api-token"}
    async with opened(tmp_path / "none", **environ) as (_, api):
        answer = await api.options("/v1/watches", headers=preflight)
        assert answer.status_code == 401
        assert not any(name.startswith("access-control") for name in answer.headers)
    environ["WATCHER_SERVER__CORS_ORIGINS"] = "https://console.example, https://other.example"
    async with opened(tmp_path / "one", **environ) as (_, api):
        answer = await api.options("/v1/watches", headers=preflight)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (
            200,
            preflight["origin"],
        )
        foreign = await api.options(
            "/v1/watches", headers={**preflight, "origin": "https://evil.example"}
        )
        assert "access-control-allow-origin" not in foreign.headers
        assert (
            await api.get("/v1/watches", headers={"origin": preflight["origin"]})
        ).status_code == 401
        bearer = {"origin": preflight["origin"], "authorization": "Bearer hidden-api-token"}
        answer = await api.get("/v1/watches", headers=bearer)
        assert answer.headers["access-control-allow-origin"] == preflight["origin"]


async def test_every_response_has_security_headers(api: httpx.AsyncClient) -> None:
    for path in ("/v1/watches", "/v1/nothing", "/metrics", "/openapi.json"):
        headers = (await api.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers["cache-control"] == "no-store"


async def test_headers_and_bodies_have_a_limit(api: httpx.AsyncClient) -> None:
    problem(await api.get("/v1/watches", headers={"x-long": "x" * 20_000}), 431)
    problem(await api.get("/v1/watches", headers=[("x-many", "x" * 90)] * 200), 431)
    problem(await api.post("/v1/watches", content=b" " * (1024 * 1024 + 1)), 413)


async def test_a_405_lists_every_method_of_the_path(api: httpx.AsyncClient) -> None:
    assert (await api.put("/v1/watches/task_1")).headers["allow"] == "GET, DELETE"
    assert (await api.put("/v1/sources/mixpeek/tasks/list")).headers["allow"] == "POST"


async def test_unknown_paths_are_problems(api: httpx.AsyncClient) -> None:
    problem(await api.get("/nothing"), 404)
    problem(await api.put("/v1/watches"), 405)


async def test_openapi_describes_every_call(api: httpx.AsyncClient) -> None:
    shown = (await api.get("/openapi.json")).json()
    assert set(shown["paths"]) == {
        "/v1/watches",
        "/v1/watches/{task_id}",
        "/v1/events",
        "/v1/deliveries",
        "/v1/deliveries/{delivery_id}",
        "/v1/sources/{source}/tasks/list",
        "/v1/sources/{source}/tasks/{task_id}",
        "/v1/sources/{source}/buckets/{bucket}/batches/list",
        "/v1/sources/{source}/buckets/{bucket}/batches/{batch}/cancel",
        "/v1/sources/{source}/buckets/{bucket}/uploads/confirm",
        "/v1/deliveries/{delivery_id}/retry",
        "/v1/channels",
        "/v1/channels/{name}/pause",
        "/v1/channels/{name}/resume",
        "/v1/channels/{name}/replay",
        "/v1/channels/{name}/purge",
        "/healthz",
        "/readyz",
        "/metrics",
    }
    assert "ProblemDetails" in shown["components"]["schemas"]
