"""Every kind of error: a page for a browser, JSON for a program, never a traceback."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.harness import BASE, FakeDaemon, opened, problem
from tests.api.page.pages import checked
from watcher.api.app import create_api, create_waiting
from watcher.core.errors import StoreError, StoreFullError

pytestmark = pytest.mark.anyio

TOKEN = "a-token-of-at-least-16"
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8", "sec-fetch-site": "same-origin"}
FORM = {**BROWSER, "content-type": "application/x-www-form-urlencoded"}
LONG = "x" * 15_000

OF_API = [
    ("GET", "/v1", 404),
    ("GET", "/v1/", 404),
    ("GET", "/v1/nothing", 404),
    ("GET", "/v1/watches/", 404),
    ("GET", f"/v1/{LONG}", 404),
    ("GET", "/v1/watches/none", 404),
    ("GET", "/v1/deliveries/99", 404),
    ("GET", "/v1/deliveries/abc", 404),
    ("GET", "/v1/channels/none", 404),
    ("GET", "/healthz/more", 404),
    ("HEAD", "/v1/nothing", 404),
    ("OPTIONS", "/v1/nothing", 404),
    ("HEAD", "/v1/watches", 405),
    ("OPTIONS", "/v1/watches", 405),
    ("PUT", "/v1/watches", 405),
    ("BREW", "/v1/watches", 405),
    ("POST", "/v1/watches/task_1", 405),
    ("DELETE", "/healthz", 405),
    ("POST", "/openapi.json", 405),
    ("GET", "/v1/watches?limit=abc", 422),
    ("GET", "/v1/watches?limit=0", 422),
    ("GET", "/v1/watches?cursor=garbage", 422),
    ("GET", "/v1/watches?label=none", 422),
    ("GET", "/v1/deliveries?state=none", 422),
    ("GET", f"/v1/watches?search={LONG}", 422),
]
OF_PAGE = [
    ("GET", "/nothing", 404),
    ("GET", "/favicon.ico", 404),
    ("GET", f"/{LONG}", 404),
    ("GET", "/%00", 404),
    ("GET", "/sources/none", 404),
    ("GET", "/static/none.js", 404),
    ("GET", "/batches/none", 404),
    ("HEAD", "/nothing", 404),
    ("POST", "/nothing", 415),
    ("GET", "/logout", 405),
    ("POST", "/tasks", 405),
    ("GET", "/tasks?cursor=garbage", 422),
    ("GET", "/tasks?rows=garbage", 422),
    ("GET", "/tasks?since=never", 422),
    ("GET", f"/tasks?q={LONG}", 422),
    ("GET", "/batches/none?cursor=garbage", 422),
    ("GET", "/deliveries?state=none", 422),
    ("GET", "/deliveries?cursor=garbage", 422),
]


@pytest.mark.parametrize("accept", ["*/*", BROWSER["accept"]])
@pytest.mark.parametrize(("method", "path", "status"), OF_API, ids=lambda value: str(value)[:40])
async def test_the_api_answers_with_a_problem(
    method: str, path: str, status: int, accept: str, api: httpx.AsyncClient
) -> None:
    response = await api.request(method, path, headers={"accept": accept})
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert bool(response.headers.get("allow")) == (status == 405)
    if method != "HEAD":
        body = problem(response, status)
        assert body["type"] == "about:blank"
        assert body["detail"] not in ("", body["title"])
        assert bool(body.get("errors")) == (status == 422)


@pytest.mark.parametrize(("method", "path", "status"), OF_PAGE, ids=lambda value: str(value)[:40])
async def test_a_browser_gets_a_page_that_says_what_to_do(
    method: str, path: str, status: int, api: httpx.AsyncClient
) -> None:
    headers = FORM if method == "POST" else BROWSER
    shows_problem(await api.request(method, path, headers=headers), status)


def shows_problem(response: httpx.Response, status: int) -> None:
    if response.request.method == "HEAD":
        assert response.status_code == status
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        return
    page = checked(response, status)
    links = {link["href"] for link in page.of("a")}
    for place in ("", "tasks", "settings"):
        assert any((link or "").endswith(f"/{place}") for link in links), links
    assert len(page.of("p")) >= 3, "what is wrong, and what to do"
    assert "Traceback" not in page.text
    assert "{" not in page.text


@pytest.mark.parametrize("path", ["/nothing", "/sources/none", "/favicon.ico"])
async def test_a_program_gets_a_problem_of_each_path(path: str, api: httpx.AsyncClient) -> None:
    problem(await api.get(path), 404)


@pytest.mark.parametrize(
    ("path", "place"),
    [("/tasks/", "../tasks"), ("/deliveries/?state=failed", "../deliveries?state=failed")],
)
async def test_a_slash_at_the_end_of_a_page_leads_to_it(
    path: str, place: str, api: httpx.AsyncClient
) -> None:
    response = await api.get(path, headers=BROWSER)
    assert (response.status_code, response.headers["location"]) == (307, place)


# An unexpected error, and a store that does not work


class Broken:
    """A store of which each call fails."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def fail(*_: object, **__: object) -> None:
            raise self._error

        return fail


_READ = ["/", "/tasks", "/tasks/task_1", "/batches", "/batches/btch_1", "/deliveries", "/channels"]
_READ_BY_PROGRAMS = [
    "/v1/status",
    "/v1/watches",
    "/v1/watches/task_1",
    "/v1/deliveries",
    "/v1/deliveries/1",
    "/v1/channels",
    "/v1/events",
]
_FAILING = [
    (StoreError("watcher.db: database is locked: nothing was stored"), 503),
    (StoreError("I/O error on the disk of watcher.db: nothing was stored"), 503),
    (StoreError("PostgreSQL cannot be reached: connection refused"), 503),
    (StoreFullError("watcher.db is as large as store.max_size allows"), 503),
    (RuntimeError("boom"), 500),
]


@pytest.mark.parametrize(("error", "status"), _FAILING, ids=lambda value: str(value)[:30])
async def test_what_fails_behind_a_route(
    error: Exception, status: int, api: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    daemon.store = Broken(error)
    for path in _READ:
        response = await api.get(path, headers=BROWSER)
        shows_problem(response, status)
        assert (str(error) in response.text) == (status == 503)
        assert response.headers.get("retry-after") == ("5" if status == 503 else None)
    for path in _READ_BY_PROGRAMS:
        response = await api.get(path, headers=BROWSER)
        body = problem(response, status)
        assert (body["detail"] == str(error)) == (status == 503)
        assert response.headers["x-content-type-options"] == "nosniff"


async def test_a_store_that_was_closed_is_not_available(
    api: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    await api.get("/tasks")  # opens the connection of pages
    await daemon.store._database.pages.aclose()
    await daemon.store._database._reader.close()
    shows_problem(await api.get("/tasks/task_1", headers=BROWSER), 503)
    problem(await api.get("/v1/watches"), 503)


# Who may see what


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with opened(tmp_path, WATCHER_SERVER__API_TOKEN=TOKEN) as (_, client):
        yield client


@pytest.mark.parametrize("path", ["/nothing", "/tasks", "/sources/none"])
async def test_without_a_session_a_browser_gets_the_form_to_log_in(
    path: str, guarded: httpx.AsyncClient
) -> None:
    page = checked(await guarded.get(path, headers=BROWSER), 401)
    assert {"type": "hidden", "name": "next", "value": path[1:]} in page.of("input")


async def test_a_wrong_token_is_a_problem_of_its_client(guarded: httpx.AsyncClient) -> None:
    wrong = {"authorization": "Bearer wrong"}
    problem(await guarded.get("/nothing", headers=wrong), 401)
    problem(await guarded.get("/v1/watches", headers=BROWSER | wrong), 401)
    shows_problem(await guarded.get("/tasks", headers=BROWSER | wrong), 401)


async def test_a_form_of_another_site_is_a_page(guarded: httpx.AsyncClient) -> None:
    foreign = FORM | {"sec-fetch-site": "cross-site"}
    shows_problem(await guarded.post("/tasks/task_1/remove", headers=foreign), 403)


async def test_a_browser_at_another_host_reads_what_to_set(api: httpx.AsyncClient) -> None:
    response = await api.get("/", headers=BROWSER | {"host": "watcher.example"})
    shows_problem(response, 403)
    assert "set server.api_token" in response.text
    problem(await api.get("/v1/watches", headers={"host": "watcher.example"}), 403)


# Below a prefix, and before the store is open


async def test_below_a_prefix_the_links_of_an_error_lead_to_pages(tmp_path: Path) -> None:
    async with opened(tmp_path, WATCHER_SERVER__EXTERNAL_URL="https://ops.example/ops/watcher") as (
        daemon,
        api,
    ):
        await api.get("/ops/watcher/tasks")
        daemon.store = Broken(RuntimeError("boom"))
        for path, status in {"/nothing/more": 404, "/batches/btch_1": 500}.items():
            response = await api.get(f"/ops/watcher{path}", headers=BROWSER)
            page = checked(response, status)
            reached = {response.url.join(link["href"] or "").path for link in page.of("a")}
            assert {"/ops/watcher/", "/ops/watcher/tasks"} <= reached
        problem(await api.get("/ops/watcher/v1/watches", headers=BROWSER), 500)


async def test_while_the_daemon_waits_for_its_store(daemon: FakeDaemon) -> None:
    transport = httpx.ASGITransport(create_waiting(daemon), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
        for path in ("/", "/tasks", "/nothing"):
            response = await client.get(path, headers=BROWSER)
            shows_problem(response, 503)
            assert "the store is not open yet" in response.text
        for link in checked(await client.get("/", headers=BROWSER), 503).of("link"):
            assert (await client.get(f"/{link['href']}")).status_code == 200
        problem(await client.get("/v1/watches", headers=BROWSER), 503)
        problem(await client.get("/"), 503)


async def test_each_status_of_the_api_has_a_page(daemon: FakeDaemon) -> None:
    from watcher.api.page.problem_pages import _TEXTS

    paths: dict[str, Any] = create_api(daemon).openapi()["paths"]
    documented = {
        int(status)
        for operations in paths.values()
        for operation in operations.values()
        for status in operation["responses"]
        if int(status) >= 400
    }
    assert documented - {501, 502, 504} <= set(_TEXTS)
