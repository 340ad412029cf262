"""A start waits while the disk is full or a server away, with the reason in the log."""

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import anyio
import httpx
import pytest
from prometheus_client import CollectorRegistry

from tests.api.harness import BASE, problem
from tests.support.virtual_time import VirtualLoop
from watcher.api.app import create_waiting
from watcher.configuration import loader
from watcher.core.errors import StoreError, StoreFullError, StoreUnusableError
from watcher.daemon import waiting
from watcher.daemon.waiting import WaitingDaemon
from watcher.telemetry.metrics import Metrics

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


REASON = "the disk of watcher.db has no space"


class Disk:
    """A store that opens once the disk has space; `shown` is what is served until then."""

    def __init__(self) -> None:
        self.error: StoreError | None = StoreFullError(REASON)
        self.closed = False
        self.shown: list[WaitingDaemon] = []
        self.metrics = Metrics(CollectorRegistry(), "test")
        self.settings = loader.load(None, {"MIXPEEK_API_KEY": "sk_made_up", "HOME": "/nowhere"})
        self.stopping = anyio.Event()

    @asynccontextmanager
    async def create(self) -> AsyncIterator[Any]:
        if self.error is not None:
            raise self.error
        yield "the store"
        self.closed = True

    async def serve(self, shown: WaitingDaemon, tasks: Any) -> None:
        self.shown.append(shown)

    async def opened(self, resources: AsyncExitStack) -> Any:
        show = partial(WaitingDaemon, self.settings, self.metrics)
        return await waiting.opened(self.create, resources, show, self.serve, self.stopping)


@pytest.fixture
def disk() -> Disk:
    return Disk()


async def test_a_store_that_opens_is_not_waited_for(disk: Disk) -> None:
    disk.error = None
    async with AsyncExitStack() as resources:
        assert await disk.opened(resources) == "the store"
    assert (disk.shown, disk.closed) == ([], True)


async def test_a_full_disk_is_waited_for_and_logged_once(
    disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    results: list[Any] = []

    async def open_store() -> None:
        async with AsyncExitStack() as resources:
            results.append(await disk.opened(resources))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(open_store)
        await anyio.sleep(60)
        assert results == []
        disk.error = None
    assert (results, disk.closed, len(disk.shown)) == (["the store"], True, 1)
    assert [record.message for record in caplog.records] == [
        f"{REASON}; waiting until there is",
        "the store is open",
    ]


async def test_a_server_is_waited_for_unless_it_rejects_the_daemon(
    disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    disk.error = StoreError("cannot reach the server")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(rejected_after, 5, disk)
        async with AsyncExitStack() as resources:
            with pytest.raises(ExceptionGroup) as caught:
                await disk.opened(resources)
    assert caught.group_contains(StoreUnusableError, match="wrong password")
    assert [record.message for record in caplog.records] == [
        "cannot reach the server; waiting until it can be used"
    ]


async def rejected_after(seconds: float, disk: Disk) -> None:
    await anyio.sleep(seconds)
    disk.error = StoreUnusableError("wrong password")


async def test_a_stop_ends_the_wait(disk: Disk) -> None:
    async with AsyncExitStack() as resources, anyio.create_task_group() as tasks:
        tasks.start_soon(stopped_after, 5, disk.stopping)
        with anyio.fail_after(6):
            assert await disk.opened(resources) is None


async def stopped_after(seconds: float, stopping: anyio.Event) -> None:
    await anyio.sleep(seconds)
    stopping.set()


async def test_meanwhile_the_daemon_is_alive_but_not_ready_and_says_why(disk: Disk) -> None:
    shown = WaitingDaemon(disk.settings, disk.metrics, StoreFullError(REASON))
    transport = httpx.ASGITransport(create_waiting(shown))
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
        assert (await client.get("/healthz")).status_code == 200
        for method in ("GET", "HEAD"):
            assert (await client.request(method, "/readyz")).status_code == 503
        assert (await client.get("/readyz")).json() == {"status": REASON}
        assert "watcher_store_errors_total" in (await client.get("/metrics")).text
        for method, body in (("GET", None), ("POST", [{"task_id": "t"}] * 1000), ("DELETE", None)):
            answer = await client.request(method, "/v1/watches", json=body)
            assert problem(answer, 503)["detail"] == REASON
        assert (await client.get("/healthz", headers={"host": "evil.example"})).status_code == 403
