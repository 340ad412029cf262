"""The event stream."""

import anyio
import pytest

from tests.api.harness import FakeDaemon, problem, read_ids, served, store_event

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
        problem(await client.get("/v1/events", headers={"last-event-id": "x"}), 422)


async def test_stopping_ends_open_streams_at_once(daemon: FakeDaemon) -> None:
    with anyio.fail_after(5):
        async with served(daemon) as client, client.stream("GET", "/v1/events") as stream:
            await store_event(daemon, 1)
            assert await read_ids(stream, 1) == [1]
            daemon.stopping.set()
            daemon.outbox.set()
