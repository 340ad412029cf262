"""The event stream."""

from contextlib import suppress

import anyio
import anyio.lowlevel
import httpx
import pytest

from tests.api.harness import FakeDaemon, problem, read_ids, served, store_event
from watcher.api.events import MAX_STREAMS
from watcher.core.errors import StoreError

pytestmark = pytest.mark.anyio


async def test_the_stream_begins_with_the_next_event_and_resumes_without_a_gap(
    daemon: FakeDaemon,
) -> None:
    async with served(daemon) as client:
        await store_event(daemon, 1)
        async with client.stream("GET", "/v1/events") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            await store_event(daemon, 2)
            await store_event(daemon, 3)
            assert await read_ids(stream, 2) == [2, 3]
        await store_event(daemon, 4)
        async with client.stream("GET", "/v1/events", headers={"last-event-id": "1"}) as stream:
            assert await read_ids(stream, 3) == [2, 3, 4]
        for wrong in (b"x", b"-1", b"\xb2", b"", b"9" * 5000):
            headers = {b"last-event-id": wrong}
            problem(await client.get("/v1/events", headers=headers), 422)


async def test_stopping_ends_open_streams_at_once(daemon: FakeDaemon) -> None:
    with anyio.fail_after(5):
        async with served(daemon) as client, client.stream("GET", "/v1/events") as stream:
            await store_event(daemon, 1)
            assert await read_ids(stream, 1) == [1]
            daemon.stopping.set()
            daemon.outbox.set()


async def test_no_number_of_requests_at_once_gets_past_the_limit(daemon: FakeDaemon) -> None:
    opened = 0
    statuses: list[int] = []
    many = httpx.Limits(max_connections=None)
    async with (
        served(daemon) as first,
        httpx.AsyncClient(
            base_url=first.base_url, limits=many, timeout=20, trust_env=False
        ) as client,
    ):

        async def open_one() -> None:
            async with client.stream("GET", "/v1/events") as stream:
                statuses.append(stream.status_code)
                with suppress(httpx.TransportError):
                    await stream.aread()

        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                for _ in range(MAX_STREAMS + 20):
                    tasks.start_soon(open_one)
                while len(statuses) < MAX_STREAMS + 20:
                    await anyio.lowlevel.checkpoint()
                opened = statuses.count(200)
                daemon.stopping.set()
                daemon.outbox.set()
    assert (opened, statuses.count(503)) == (MAX_STREAMS, 20)


async def test_a_stream_that_does_not_begin_does_not_count(
    api: httpx.AsyncClient, daemon: FakeDaemon
) -> None:
    daemon.store = Failing()
    for _ in range(MAX_STREAMS + 1):
        problem(await api.get("/v1/events"), 503)
    assert (await api.get("/v1/events")).json()["detail"] == "made up"


class Failing:
    """A store that cannot be read."""

    async def last_event_id(self) -> int:
        raise StoreError("made up")
