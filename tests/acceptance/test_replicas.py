"""Two daemons that share a store: what a person does at one of them, either does."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from tests.acceptance.daemon import PATIENCE, Daemon, Site, add
from tests.support.postgresql import Server, temporary_server

pytestmark = pytest.mark.anyio

TASKS = 8
"""Enough that each half of a channel has deliveries."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with temporary_server() as running:
        yield running


@pytest.fixture
async def replicas(site: Site, server: Server) -> AsyncIterator[Sequence[Daemon]]:
    """Two replicas that have divided the channel among them."""
    site.environ["WATCHER_STORE__URL"] = await server.new_store()
    async with site.daemon() as first, site.daemon() as second:

        async def divided() -> bool:
            replicas = (await answer(first, "GET", "/v1/status"))["replicas"]
            return sorted(one["units"] for one in replicas) == [2, 3]

        await until(divided)
        yield first, second


async def answer(daemon: Daemon, method: str, path: str, **body: Any) -> Any:
    async with daemon.client() as client:
        response = await client.request(method, path, json=body or None)
        assert response.is_success, response.text
        return response.json() if response.content else None


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    with anyio.fail_after(PATIENCE):
        while not await condition():
            await anyio.sleep(0.05)


@asynccontextmanager
async def stream(
    daemon: Daemon, path: str, field: str, **headers: str
) -> AsyncIterator[Callable[[], Awaitable[str]]]:
    """Yield a function that returns the next value of a field of a stream."""
    async with daemon.client() as client, client.stream("GET", path, headers=headers) as response:
        lines = response.aiter_lines()

        async def following() -> str:
            with anyio.fail_after(PATIENCE):
                async for line in lines:
                    if line.startswith(f"{field}: "):
                        return line.removeprefix(f"{field}: ")
            raise AssertionError(f"{path} has ended")

        yield following


async def test_the_outbox_does_at_once_what_either_replica_is_called_for(
    site: Site, replicas: Sequence[Daemon]
) -> None:
    for daemon in replicas:
        site.receiver.received.clear()
        await outbox_of(site, daemon, replicas)


async def outbox_of(site: Site, daemon: Daemon, replicas: Sequence[Daemon]) -> None:
    """Do with the deliveries of new tasks what a replica can be called for."""
    channel = "/v1/channels/backend"
    ids = [f"task_{replicas.index(daemon)}_{number}" for number in range(TASKS)]

    def show(status: str) -> None:
        for task_id in ids:
            site.upstream.set(task_id, status)

    async def state(expected: str) -> None:
        async def shown() -> bool:
            channels = [await answer(each, "GET", "/v1/channels") for each in replicas]
            return all(one["items"][0]["state"] == expected for one in channels)

        await until(shown)

    show("QUEUED")
    await add(daemon, *ids)
    await site.until_received("task.queued", TASKS)
    await answer(daemon, "POST", f"{channel}/pause", reason="maintenance")
    await state("paused")
    show("IN_PROGRESS")

    async def waiting() -> bool:
        (shown,) = (await answer(daemon, "GET", "/v1/channels"))["items"]
        return bool(shown["pending"] == TASKS)

    await until(waiting)
    assert site.event_types().count("task.in_progress") == 0
    purged = await answer(
        daemon, "POST", f"{channel}/purge", state="pending", before="2100-01-01T00:00:00Z"
    )
    assert purged == {"purged": TASKS}
    show("COMPLETED")
    await until(waiting)
    await answer(daemon, "POST", f"{channel}/resume")
    await state("running")
    await site.until_received("task.completed", TASKS)

    since = "2000-01-01T00:00:00Z"
    queued = await answer(
        daemon, "POST", f"{channel}/replay", since=since, statuses=["COMPLETED"], task_ids=ids
    )
    assert queued == {"queued": TASKS}
    await site.until_received("task.completed", 2 * TASKS)
    sent = (await answer(daemon, "GET", f"/v1/deliveries?state=delivered&limit={TASKS}"))["items"]
    assert {one["type"] for one in sent} == {"task.completed"}
    for delivery in [one["id"] for one in sent]:
        await answer(daemon, "POST", f"/v1/deliveries/{delivery}/retry")
    await site.until_received("task.completed", 3 * TASKS)
    assert (await answer(daemon, "POST", f"{channel}/test"))["delivered"]


async def test_tasks_events_and_pages_are_the_same_at_either_replica(
    site: Site, replicas: Sequence[Daemon]
) -> None:
    await pages_change_with_what_is_stored(replicas)
    await events_continue_at_the_other(site, replicas)
    finished = list[int]()

    async def wait(daemon: Daemon) -> None:
        finished.append((await site.command(daemon, "wait", "task_2")).returncode)

    site.upstream.set("task_2", "IN_PROGRESS")
    await add(replicas[0], "task_2")
    async with anyio.create_task_group() as tasks:
        for daemon in replicas:
            tasks.start_soon(wait, daemon)
        site.upstream.set("task_2", "COMPLETED")
    assert finished == [0, 0]

    for number, daemon in enumerate(replicas, 3):
        site.upstream.set(f"task_{number}", "IN_PROGRESS")
        await add(daemon, f"task_{number}")

    async def active_watches(count: int) -> None:
        async def shown() -> bool:
            statuses = [await answer(daemon, "GET", "/v1/status") for daemon in replicas]
            return all(one["sources"][0]["active_watches"] == count for one in statuses)

        await until(shown)

    await active_watches(2)
    removed = await site.command(replicas[1], "rm", "task_3")
    assert removed.returncode == 0, removed.stderr
    await active_watches(1)
    for daemon in replicas:
        listed = await answer(
            daemon, "POST", "/v1/sources/mixpeek/tasks/list", status="IN_PROGRESS"
        )
        assert {one["task_id"] for one in listed["items"]} == {"task_3", "task_4"}
    budgets = [
        (await answer(daemon, "GET", "/v1/status"))["sources"][0]["budget_left"]
        for daemon in replicas
    ]
    assert budgets[0] == budgets[1] != {}


async def events_continue_at_the_other(site: Site, replicas: Sequence[Daemon]) -> None:
    first, second = replicas
    for number in range(2):
        site.upstream.set(f"task_{number}", "QUEUED")
    async with (
        stream(first, "/v1/events", "id") as at_first,
        stream(second, "/v1/events", "id") as at_second,
    ):
        await add(first, "task_0")
        await add(second, "task_1")
        seen = [await at_first() for _ in range(2)]
        assert [await at_second() for _ in range(2)] == seen
    for number in range(2):
        site.upstream.set(f"task_{number}", "COMPLETED")
    resumed = {"Last-Event-ID": seen[0]}
    async with stream(second, "/v1/events", "id", **resumed) as at_second:
        later = [await at_second() for _ in range(3)]
    assert [int(one) for one in (seen[0], *later)] == [1, 2, 3, 4]


async def pages_change_with_what_is_stored(replicas: Sequence[Daemon]) -> None:
    """At one replica with what is stored at the other, and with nothing else."""
    first, second = replicas
    async with stream(first, "/changes", "event") as shown:
        # Between two beats it looks five times; sessions are renewed every two seconds.
        assert [await shown() for _ in range(3)] == ["beat"] * 3
        await answer(second, "POST", "/v1/channels/backend/pause", reason="maintenance")
        assert await shown() == "changed"
    await answer(second, "POST", "/v1/channels/backend/resume")
