"""Tokens, hosts, origins, limits, and the OpenAPI document."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import anyio.lowlevel
import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from tests.api.harness import BASE, FakeDaemon, opened, problem, served
from watcher.api.admission import MOST_REQUESTS, Admission
from watcher.api.app import create_telemetry
from watcher.core.example_events import EXAMPLE_TYPES

pytestmark = pytest.mark.anyio

JSON = {"content-type": "application/json"}
SINCE = "2026-11-01T00:00:00Z"
ORIGIN = "http://127.0.0.1:8080"


async def test_a_body_that_is_too_large_is_rejected_with_and_without_a_length(
    api: httpx.AsyncClient,
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 65536

    for path in ("/v1/watches", "/v1/channels/backend/replay", "/v1/sources/mixpeek/tasks/list"):
        problem(await api.post(path, content=b" " * (1024 * 1024 + 1)), 413)
        problem(await api.post(path, content=chunks(), headers=JSON), 413)


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b",".join([b"1"] * 30_001) + b"]",
        b"{" + b",".join(b'"%d":1' % number for number in range(30_001)) + b"}",
        b'{"since":",\\",", "task_ids":[' + b",".join([b'""'] * 30_001) + b"]}",
    ],
)
async def test_a_body_of_too_many_values_is_rejected(api: httpx.AsyncClient, body: bytes) -> None:
    """A list of half a million numbers was as many errors, which took a gigabyte."""
    for path in ("/v1/watches", "/v1/channels/backend/replay", "/v1/sources/mixpeek/tasks/list"):
        assert (
            "30000 values"
            in problem(await api.post(path, content=body, headers=JSON), 413)["detail"]
        )


@pytest.mark.parametrize("text", ["\\ud800", "a\\udc00b", "\\uD83D\\uD83D", "\\ud83d\\u0041"])
async def test_half_a_surrogate_pair_is_no_text(api: httpx.AsyncClient, text: str) -> None:
    for path, body in (
        ("/v1/watches", f'{{"task_id": "{text}"}}'),
        ("/v1/channels/backend/replay", f'{{"since": "{SINCE}", "task_ids": ["{text}"]}}'),
        ("/v1/channels/backend/pause", f'{{"reason": "{text}"}}'),
        ("/v1/sources/mixpeek/tasks/list", f'{{"filters": {{"a": "{text}"}}}}'),
    ):
        problem(await api.post(path, content=body, headers=JSON), 400)
    for whole in ("\\ud83d\\ude00", "\\\\ud800"):
        body = f'{{"since": "{SINCE}", "task_ids": ["{whole}"]}}'
        answer = await api.post("/v1/channels/backend/replay", content=body, headers=JSON)
        assert answer.status_code == 202


async def test_problems_have_bounds(api: httpx.AsyncClient) -> None:
    """Commas within texts separate no values."""
    long = '",' * 10_000
    some = {f"{number} {long}": 1 for number in range(20)} | {str(n): 1 for n in range(3000)}
    for path, body in (
        ("/v1/watches", some),
        ("/v1/watches", [1] * 20_000),
        ("/v1/watches", {"task_id": "t", "source": long * 2}),
        ("/v1/channels/backend/replay", {"since": long} | some),
        ("/v1/sources/mixpeek/tasks/list", some),
    ):
        answer = await api.post(path, json=body)
        content = problem(answer, 422)
        assert len(content["detail"]) <= 8192
        assert len(content["errors"]) <= 1000
        assert all(len(one["field"]) <= 256 for one in content["errors"])
        assert all(len(one["message"]) <= 1000 for one in content["errors"])
        assert len(answer.content) < 300_000


async def test_with_a_token_all_but_the_probes_need_it(tmp_path: Path) -> None:
    async with opened(tmp_path, WATCHER_SERVER__API_TOKEN="hidden-api-token") as (_, api):
        for path in ("/healthz", "/readyz", "/metrics", "/openapi.json"):
            assert (await api.get(path, headers={"host": "anything.example"})).status_code == 200
        wrong = ("Bearer wrong", "Basic hidden-api-token")
        nothing = ("", "Bearer", "Bearer ", "bearer \t", "hidden-api-token")
        for header in (*wrong, *nothing * 3):
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


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([("origin", "https://evil.example")], 403),
        ([("origin", "http://127.0.0.1:3000")], 403),
        ([("origin", "http://localhost:8080")], 403),
        ([("origin", "null")], 403),
        ([("origin", ORIGIN), ("origin", "https://evil.example")], 403),
        ([("origin", ORIGIN), ("sec-fetch-site", "same-site")], 403),
        ([("sec-fetch-site", "same-site")], 403),
        ([("sec-fetch-site", "cross-site")], 403),
        ([("sec-fetch-site", "none"), ("sec-fetch-site", "none")], 403),
        ([("origin", ORIGIN), ("sec-fetch-site", "same-origin")], 200),
        ([("sec-fetch-site", "none")], 200),
    ],
)
async def test_only_pages_of_its_own_origin_may_use_the_api(
    tmp_path: Path, headers: list[tuple[str, str]], status: int
) -> None:
    async with opened(tmp_path) as (daemon, api):
        for path in ("/v1/watches", "/healthz", "/metrics", "/openapi.json"):
            assert (await api.get(path, headers=headers)).status_code == status
        added = await api.post("/v1/watches", json={"task_id": "t"}, headers=headers)
        assert added.status_code == (201 if status == 200 else status)
        transport = httpx.ASGITransport(create_telemetry(daemon))
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as telemetry:
            assert (await telemetry.get("/metrics", headers=headers)).status_code == status


@pytest.mark.parametrize(
    "content_type",
    [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"],
)
async def test_a_body_is_json_and_says_so(api: httpx.AsyncClient, content_type: str | None) -> None:
    body = b'{"task_id":"task_1"}'
    headers = {"content-type": content_type} if content_type else {}
    problem(await api.post("/v1/watches", content=body, headers=headers), 415)
    if content_type:
        problem(await api.post("/v1/channels/backend/resume", headers=headers), 415)
    for spelling in ("application/json", "Application/JSON; charset=utf-8"):
        headers = {"content-type": spelling}
        answer = await api.post("/v1/watches", content=body, headers=headers)
        assert answer.status_code in (200, 201)
    assert (await api.post("/v1/channels/backend/resume")).status_code == 200


async def test_a_request_that_takes_no_body_accepts_none(api: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"{}"

    for method, path in (
        ("GET", "/healthz"),
        ("GET", "/metrics"),
        ("GET", "/v1/watches"),
        ("DELETE", "/v1/watches/task_1"),
        ("POST", "/v1/channels/backend/resume"),
        ("POST", "/v1/deliveries/1/retry"),
        ("POST", "/v1/sources/mixpeek/buckets/b/batches/b/cancel"),
    ):
        problem(await api.request(method, path, content=b"{}", headers=JSON), 413)
        problem(await api.request(method, path, content=chunks(), headers=JSON), 413)


async def test_a_request_has_one_valid_host(tmp_path: Path) -> None:
    async with opened(tmp_path, WATCHER_SERVER__API_TOKEN="hidden-api-token") as (_, api):
        for hosts in ([], ["a", "b"], ["user@a"], ["a."], ["a%2e"], ["[::1"], ["a:0x50"]):
            request = api.build_request("GET", "/healthz")
            request.headers = httpx.Headers([("host", host) for host in hosts])
            problem(await api.send(request), 400)


@pytest.mark.parametrize("target", ["http://127.0.0.1:8080/healthz", "*", "127.0.0.1:8080"])
async def test_a_target_is_a_path(daemon: FakeDaemon, target: str) -> None:
    async with served(daemon) as client:
        url = client.base_url
        async with await anyio.connect_tcp(url.host, url.port or 0) as stream:
            await stream.send(f"GET {target} HTTP/1.1\r\nhost: {url.host}\r\n\r\n".encode())
            assert (await stream.receive()).startswith(b"HTTP/1.1 400 ")


async def test_no_more_requests_than_that_are_worked_on_at_once(tmp_path: Path) -> None:
    began, release = anyio.Event(), anyio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            began.set()
            await release.wait()
        await PlainTextResponse("ok")(scope, receive, send)

    app = Admission(slow, is_ours=lambda host: True, detail="")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as client:
        async with anyio.create_task_group() as tasks:
            for _ in range(MOST_REQUESTS):
                tasks.start_soon(client.get, "/slow")
            await began.wait()
            for _ in range(10):
                await anyio.lowlevel.checkpoint()
            rejected = await client.get("/metrics")
            assert problem(rejected, 503)
            assert rejected.headers["retry-after"] == "1"
            assert (await client.get("/healthz")).status_code == 200
            release.set()
        assert (await client.get("/metrics")).status_code == 200


async def test_only_configured_origins_may_use_the_api(tmp_path: Path) -> None:
    preflight = {"origin": "https://console.example", "access-control-request-method": "POST"}
    environ = {"WATCHER_SERVER__API_TOKEN": "hidden-api-token"}
    async with opened(tmp_path / "none", **environ) as (_, api):
        answer = await api.options("/v1/watches", headers=preflight)
        assert answer.status_code == 403
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


async def test_openapi_describes_every_webhook(api: httpx.AsyncClient) -> None:
    shown = (await api.get("/openapi.json")).json()
    schemas = shown["components"]["schemas"]
    assert shown["webhooks"].keys() == {*EXAMPLE_TYPES, "task.*"}
    for kind, operations in shown["webhooks"].items():
        content = operations["post"]["requestBody"]["content"]["application/json"]
        schema = schemas[content["schema"]["$ref"].rpartition("/")[2]]
        assert schema["title"] == kind
        assert schema["properties"]["data"]["$ref"].rpartition("/")[2] in schemas


async def test_openapi_describes_every_call(api: httpx.AsyncClient) -> None:
    shown = (await api.get("/openapi.json")).json()
    assert set(shown["paths"]) == {
        "/v1/status",
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
        "/v1/deliveries/retry",
        "/v1/channels",
        "/v1/channels/{name}/test",
        "/v1/routes/test",
        "/v1/channels/{name}/pause",
        "/v1/channels/{name}/resume",
        "/v1/channels/{name}/replay",
        "/v1/channels/{name}/purge",
        "/healthz",
        "/readyz",
        "/metrics",
    }
    assert "ProblemDetails" in shown["components"]["schemas"]
