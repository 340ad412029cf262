"""The stream that keeps pages live, and the prefix of a proxy."""

import math
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urljoin

import anyio
import httpx
import pytest

from tests.api.harness import BASE, FakeDaemon, opened, served
from tests.api.page.pages import checked
from watcher import __version__
from watcher.api.app import create_api
from watcher.api.events import MAX_STREAMS
from watcher.api.page import changes
from watcher.core.errors import StoreError

pytestmark = pytest.mark.anyio


class Versions:
    """A store whose versions are given; it stops the stream after the last."""

    def __init__(self, *versions: int, stopping: anyio.Event) -> None:
        self._versions = list(versions)
        self._stopping = stopping

    async def version(self) -> int:
        if len(self._versions) == 1:
            self._stopping.set()
        return self._versions.pop(0)

    async def last_event_id(self) -> int:
        return 7


async def messages(
    *versions: int, last: str | None = None, read_at: Callable[[], float] = lambda: math.inf
) -> list[str]:
    """Return the kinds of the messages of a stream that looks at these versions."""
    stopping = anyio.Event()
    store = Versions(*versions, stopping=stopping)
    stream = changes.server_sent_changes(
        store.version, store.last_event_id, last, stopping, read_at, look_every=0.001
    )
    found = [part.decode() async for part in stream]
    assert all(part.endswith(f"data: {__version__}\n\n") for part in found)
    return [part.partition("event: ")[2].partition("\n")[0] for part in found]


async def test_a_change_is_sent_once() -> None:
    assert await messages(1, 2, 2, 2) == ["beat", "changed"]


async def test_after_the_last_change_it_is_sent_once_more() -> None:
    assert await messages(1, *[2] * 11) == ["beat", "changed", "changed", "beat", "beat"]


async def test_it_is_sent_until_a_status_was_read_after_the_last_change() -> None:
    reads = [-math.inf, 0.0, math.inf, 0.0]
    found = await messages(1, *[2] * 21, read_at=lambda: reads.pop(0))
    assert found == ["beat", "changed", *["changed", "beat"] * 3, "beat"]


async def test_without_a_change_it_beats() -> None:
    assert await messages(1, *[1] * 11) == ["beat", "beat", "beat"]


@pytest.mark.parametrize(("last", "first"), [("7", "beat"), ("6", "changed"), ("x", "changed")])
async def test_after_a_reconnect_it_says_whether_something_happened(last: str, first: str) -> None:
    assert (await messages(1, 1, last=last))[0] == first


async def test_it_ends_if_the_store_fails() -> None:
    async def fail() -> int:
        raise StoreError("gone")

    stream = changes.server_sent_changes(fail, fail, None, anyio.Event(), lambda: 0.0)
    assert [part async for part in stream] == []


async def test_a_stream_reports_what_is_stored(daemon: FakeDaemon) -> None:
    async with served(daemon) as client, client.stream("GET", "/changes") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.headers["x-accel-buffering"] == "no"
        lines = stream.aiter_lines()
        assert "event: beat" in [await anext(lines) for _ in range(3)]
        await client.post("/v1/watches", json={"task_id": "task_1"})
        with anyio.fail_after(5):
            while await anext(lines) != "event: changed":
                pass


async def test_its_streams_count_with_those_of_the_api(daemon: FakeDaemon) -> None:
    app = create_api(daemon)
    app.state.streams = MAX_STREAMS
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as client:
        for path in ("/changes", "/v1/events"):
            response = await client.get(path)
            assert response.status_code == 503
            assert response.headers["retry-after"] == "30"


PREFIX = "https://ops.example/team/watcher"
TOKEN = "a-token-of-at-least-16"


@pytest.fixture
async def proxied(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    variables = {"WATCHER_SERVER__EXTERNAL_URL": PREFIX, "WATCHER_API_TOKEN": TOKEN}
    async with opened(tmp_path, **variables) as (_, api):
        api.headers["authorization"] = f"Bearer {TOKEN}"
        yield api


@pytest.mark.parametrize("path", ["/", "/tasks/task_1", "/channels"])
async def test_the_same_page_with_and_without_the_prefix(
    path: str, proxied: httpx.AsyncClient
) -> None:
    await proxied.post("/v1/watches", json={"task_id": "task_1"})
    plain, prefixed = [await proxied.get(f"{start}{path}") for start in ("", "/team/watcher")]
    checked(prefixed)
    assert plain.headers["etag"] == prefixed.headers["etag"]
    for link in checked(prefixed).links:
        assert urljoin(f"{PREFIX}{path}", link).startswith(PREFIX)


async def test_the_prefix_alone_leads_to_the_overview(proxied: httpx.AsyncClient) -> None:
    response = await proxied.get("/team/watcher")
    assert urljoin(PREFIX, response.headers["location"]) == f"{PREFIX}/"


async def test_the_api_has_the_prefix_too(proxied: httpx.AsyncClient) -> None:
    assert (await proxied.get("/team/watcher/v1/watches")).status_code == 200
    assert (await proxied.get("/team/watcher/healthz")).status_code == 200
    assert (await proxied.get("/team/watcherx/v1/watches")).status_code == 404
    del proxied.headers["authorization"]
    assert (await proxied.get("/team/watcher/v1/watches")).status_code == 401


@pytest.mark.parametrize(
    ("origin", "status"),
    [("https://ops.example", 303), ("https://evil.example", 403), ("http://ops.example", 403)],
)
async def test_forms_come_from_the_external_url(
    origin: str, status: int, proxied: httpx.AsyncClient
) -> None:
    response = await proxied.post(
        "/team/watcher/login", data={"token": TOKEN}, headers={"origin": origin}
    )
    assert response.status_code == status
    if status == 303:
        assert "; Secure" in response.headers["set-cookie"]
