"""Daemons that share a store: what a person does at one of them, any does. One set of them serves
all tests of this file, for their start takes longer than most.
"""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from urllib.parse import urljoin

import anyio
import pytest
from aiohttp import web

from tests.acceptance.daemon import PATIENCE, Daemon, Site, add, site_in
from tests.acceptance.fleet import (
    HEADERS,
    FleetSite,
    answer,
    stream,
    until,
    until_active,
    until_divided,
)
from tests.api.page.pages import checked
from tests.support.postgresql import temporary_server

pytestmark = pytest.mark.anyio

TASKS = 8
"""Enough that each half of a channel has deliveries."""
BACKEND = "/v1/channels/backend"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def fleet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[FleetSite]:
    folder = tmp_path_factory.mktemp("fleet")
    with temporary_server() as server:
        async with site_in(folder) as site:
            yield FleetSite(site, folder, await server.new_store())


@pytest.fixture(scope="module")
async def replicas(fleet: FleetSite) -> AsyncIterator[Sequence[Daemon]]:
    """Two replicas that have divided source, webhook and Slack among them: six slices."""
    async with fleet.site.daemon() as first, fleet.site.daemon() as second:
        await until_divided([first, second], 3, 3)
        yield first, second


@pytest.fixture
def site(fleet: FleetSite) -> Site:
    fleet.site.receiver.received.clear()
    fleet.site.receiver.slack.clear()
    return fleet.site


@pytest.fixture(params=[0, 1])
def daemon(request: pytest.FixtureRequest, replicas: Sequence[Daemon]) -> Daemon:
    """Each of the replicas: what it does not own is the other's."""
    number: int = request.param
    return replicas[number]


def named(prefix: str, daemon: Daemon, count: int = TASKS) -> list[str]:
    """Return IDs of tasks that no other test and no other daemon of this one has."""
    return [f"{prefix}_{daemon.process.pid}_{number}" for number in range(count)]


async def until_state(replicas: Sequence[Daemon], channel: str, expected: str) -> None:
    async def shown() -> bool:
        lists = [(await answer(each, "GET", "/v1/channels"))["items"] for each in replicas]
        states = [one["state"] for items in lists for one in items if one["name"] == channel]
        return states == [expected] * len(replicas)

    await until(shown)


async def test_the_outbox_does_at_once_what_either_replica_is_called_for(
    site: Site, daemon: Daemon, replicas: Sequence[Daemon]
) -> None:
    ids = named("task", daemon)

    def show(status: str) -> None:
        for task_id in ids:
            site.upstream.set(task_id, status)

    show("QUEUED")
    await add(daemon, *ids, headers=HEADERS)
    await site.until_received("task.queued", TASKS)
    await answer(daemon, "POST", f"{BACKEND}/pause", reason="maintenance")
    await until_state(replicas, "backend", "paused")
    show("IN_PROGRESS")

    async def waiting() -> bool:
        shown = (await answer(daemon, "GET", "/v1/channels"))["items"]
        return [one["pending"] for one in shown if one["name"] == "backend"] == [TASKS]

    await until(waiting)
    assert site.event_types().count("task.in_progress") == 0
    purged = await answer(
        daemon, "POST", f"{BACKEND}/purge", state="pending", before="2100-01-01T00:00:00Z"
    )
    assert purged == {"purged": TASKS}
    show("COMPLETED")
    await until(waiting)
    await answer(daemon, "POST", f"{BACKEND}/resume")
    await until_state(replicas, "backend", "running")
    await site.until_received("task.completed", TASKS)

    since = "2000-01-01T00:00:00Z"
    queued = await answer(
        daemon, "POST", f"{BACKEND}/replay", since=since, statuses=["COMPLETED"], task_ids=ids
    )
    assert queued == {"queued": TASKS}
    await site.until_received("task.completed", 2 * TASKS)
    sent = (await answer(daemon, "GET", f"/v1/deliveries?state=delivered&limit={TASKS}"))["items"]
    assert {one["type"] for one in sent} == {"task.completed"}
    for delivery in [one["id"] for one in sent]:
        await answer(daemon, "POST", f"/v1/deliveries/{delivery}/retry")
    await site.until_received("task.completed", 3 * TASKS)
    assert (await answer(daemon, "POST", f"{BACKEND}/test"))["delivered"]


async def test_all_that_failed_is_sent_again_wherever_it_is_owned(
    site: Site, fleet: FleetSite, daemon: Daemon
) -> None:
    rejected = named("rejected", daemon, 4)

    async def reject(request: web.Request) -> web.StreamResponse | None:
        event = await request.json()
        return web.Response(status=422) if event["data"]["task_id"] in rejected else None

    async def until_failed(count: int) -> None:
        async def failed() -> bool:
            shown = await answer(daemon, "GET", "/v1/deliveries?state=failed")
            return len(shown["items"]) == count

        await until(failed)

    site.receiver.fault = reject
    for number, task_id in enumerate(rejected):
        site.upstream.set(task_id, "COMPLETED")
        # What is accepted in between shows that the delivery is to blame, not the receiver.
        await fleet.show(daemon, "SKIPPED", *named(f"accepted_{number}", daemon, 16))
        await add(daemon, task_id, headers=HEADERS)
        await until_failed(number + 1)
    site.receiver.fault = None
    chosen = {"channel": "backend", "error": "HTTP 422"}
    counted = await answer(daemon, "POST", "/v1/deliveries/retry", **chosen, dry_run=True)
    assert counted == {"queued": len(rejected)}
    assert await answer(daemon, "POST", "/v1/deliveries/retry", **chosen) == counted
    await site.until_received("task.completed", len(rejected))
    await until_failed(0)


async def test_the_calls_of_upstream_act_at_either_replica(
    site: Site, daemon: Daemon, tmp_path: Path
) -> None:
    batch, of_batch, killed = named("batch", daemon, 3)
    site.upstream.set(of_batch, "IN_PROGRESS", task_type="api_buckets_batches_process")
    site.upstream.set(killed, "IN_PROGRESS")
    site.upstream.api.batches[batch] = {
        "batch_id": batch,
        "bucket_id": "bkt",
        "status": "IN_PROGRESS",
        "task_id": of_batch,
        "tier_tasks": [],
    }
    uploads = tmp_path / "uploads.csv"
    uploads.write_text(f'upload_id,etag,file_size_bytes\nupl_{batch},"""e""",1\n')
    for arguments in (
        ["cancel-batch", "bkt", batch, "--yes"],
        ["kill", killed, "--yes"],
        ["confirm-uploads", "bkt", str(uploads), "--namespace", "ns_1"],
        ["confirm-uploads", "bkt", str(uploads), "--namespace", "ns_1"],
    ):
        done = await site.command(daemon, *arguments)
        assert done.returncode == 0, done.stderr
    site.upstream.set(of_batch, "CANCELED")
    await site.until_received("task.canceled", 2)
    assert site.upstream.api.confirmed.count(f"upl_{batch}") == 1
    active = [one for one in await site.json(daemon, "ls") if one["state"] == "active"]
    assert len(active) == 1, "the task of the confirmation"
    site.upstream.set(active[0]["task_id"], "COMPLETED")
    await site.until_received("task.completed", 1)


async def test_the_page_acts_at_either_replica(
    site: Site, daemon: Daemon, fleet: FleetSite, replicas: Sequence[Daemon]
) -> None:
    task_id, killed = named("page", daemon, 2)

    async def press(path: str, **fields: str) -> None:
        """Answer the question of an action, with what its form holds already."""
        async with daemon.client(HEADERS | {"sec-fetch-site": "same-origin"}) as client:
            question = await client.get(path)
            if question.status_code == 200:  # not every action has a question
                form = checked(question).of("input")
                held = {
                    str(one["name"]): one["value"] for one in form if one.get("type") == "hidden"
                }
                fields = {name: value or "" for name, value in held.items()} | fields
            done = await client.post(urljoin(path, path.partition("?")[0]), data=fields)
            assert done.status_code == 303, done.text

    site.upstream.set(task_id, "IN_PROGRESS")
    await press(f"/tasks/{task_id}/watch")
    await site.until_received("task.in_progress", 1)
    for channel in ("team", "backend"):
        await press(f"/channels/{channel}/pause", reason="moving house")
        await until_state(replicas, channel, "paused")
    site.upstream.set(task_id, "FAILED")

    async def waiting() -> bool:
        return bool((await answer(daemon, "GET", "/v1/deliveries?state=pending"))["items"])

    await until(waiting)
    await press("/deliveries/purge?channel=backend&state=pending", typed="backend")
    for channel in ("team", "backend"):
        await press(f"/channels/{channel}/resume")
        await until_state(replicas, channel, "running")
    await press(f"/tasks/{task_id}/replay?channel=backend", channel="backend")
    await site.until(lambda: len(site.receiver.accepted()) == 3)
    assert site.event_types().count("task.failed") == 1, "its first delivery was purged"
    sent = (await answer(daemon, "GET", "/v1/deliveries?state=delivered&limit=1"))["items"]
    await press(f"/deliveries/{sent[0]['id']}/retry")
    await site.until(lambda: len(site.receiver.accepted()) == 4)
    await press("/channels/team/test")
    assert len(site.receiver.slack) == 1
    await fleet.show(daemon, "IN_PROGRESS", killed)
    await press(f"/tasks/{killed}/kill", typed=killed)
    await site.until_received("task.canceled", 1)
    await press(f"/tasks/{killed}/remove")
    async with daemon.client(HEADERS) as client:
        assert (await client.get(f"/v1/watches/{killed}")).status_code == 404


async def test_a_wait_for_many_tasks_ends_at_either_replica(
    site: Site, fleet: FleetSite, daemon: Daemon, replicas: Sequence[Daemon]
) -> None:
    ids = named("waited", daemon)
    codes = list[int]()

    async def wait(at: Daemon) -> None:
        codes.append((await site.command(at, "wait", *ids, "--timeout", "50s")).returncode)

    await fleet.show(daemon, "IN_PROGRESS", *ids)
    async with anyio.create_task_group() as tasks:
        for each in replicas:
            tasks.start_soon(wait, each)
        for task_id in ids[1:]:
            site.upstream.set(task_id, "COMPLETED")
        site.upstream.set(ids[0], "COMPLETED_WITH_ERRORS")
    assert codes == [3, 3]


async def test_tasks_and_budgets_are_the_same_at_either_replica(
    site: Site, fleet: FleetSite, replicas: Sequence[Daemon]
) -> None:
    await until_active(replicas, 0)
    await fleet.show(replicas[0], "IN_PROGRESS", "task_3")
    await fleet.show(replicas[1], "IN_PROGRESS", "task_4")
    await until_active(replicas, 2)
    removed = await site.command(replicas[1], "rm", "task_3")
    assert removed.returncode == 0, removed.stderr
    await until_active(replicas, 1)
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
    await fleet.show(replicas[0], "COMPLETED", "task_4")


async def test_events_continue_at_the_other_replica(site: Site, replicas: Sequence[Daemon]) -> None:
    first, second = replicas
    for number in range(2):
        site.upstream.set(f"streamed_{number}", "QUEUED")
    async with (
        stream(first, "/v1/events", "id") as at_first,
        stream(second, "/v1/events", "id") as at_second,
    ):
        await add(first, "streamed_0", headers=HEADERS)
        await add(second, "streamed_1", headers=HEADERS)
        seen = [await at_first() for _ in range(2)]
        assert [await at_second() for _ in range(2)] == seen
    for number in range(2):
        site.upstream.set(f"streamed_{number}", "COMPLETED")
    resumed = {"Last-Event-ID": seen[0]}
    async with stream(second, "/v1/events", "id", **resumed) as at_second:
        later = [await at_second() for _ in range(3)]
    start = int(seen[0])
    assert [int(one) for one in (seen[0], *later)] == [start, start + 1, start + 2, start + 3]


async def test_pages_change_with_what_is_stored(replicas: Sequence[Daemon]) -> None:
    """At one replica with what is stored at the other, and with nothing else."""
    first, second = replicas
    await until_active(replicas, 0)
    async with stream(first, "/changes", "event") as shown:
        # Between two beats it looks five times; sessions are renewed every two seconds.
        shown_last = ("", "")
        with anyio.fail_after(PATIENCE):
            while shown_last != ("beat", "beat"):
                await answer(first, "GET", "/v1/status")  # a page loads its counts at a change
                shown_last = (shown_last[1], await shown())
        await answer(second, "POST", f"{BACKEND}/pause", reason="maintenance")
        assert await shown() == "changed"
    await answer(second, "POST", f"{BACKEND}/resume")


async def test_a_reload_at_one_replica_after_the_other_loses_nothing(
    site: Site, fleet: FleetSite, replicas: Sequence[Daemon]
) -> None:
    first, second = replicas
    fleet.write(more=True)
    await fleet.reload(first)
    await until_divided(replicas, 4, 6)
    await fleet.show(second, "QUEUED", "reloaded")
    await fleet.reload(second)
    await until_divided(replicas, 5, 5)
    site.upstream.set("reloaded", "IN_PROGRESS")
    await site.until_received("task.in_progress", 2)
    fleet.write()
    await fleet.reload(second)
    await until_divided(replicas, 4, 6)
    await fleet.reload(first)
    await until_divided(replicas, 3, 3)
    site.upstream.set("reloaded", "COMPLETED")
    await site.until_received("task.completed", 1)
    assert site.sequences()["reloaded"] == [1, 2, 3]


async def test_three_replicas_share_evenly_as_one_stops_and_one_joins(
    site: Site, fleet: FleetSite, replicas: Sequence[Daemon]
) -> None:
    ids = named("shared", replicas[0], 30)
    await fleet.show(replicas[0], "PENDING", *ids)

    async def show(status: str) -> None:
        for number, task_id in enumerate(ids):
            site.upstream.set(task_id, status)
            if number % 3 == 0:
                await anyio.sleep(0.01)

    async with anyio.create_task_group() as changes:
        async with site.daemon() as third:
            changes.start_soon(show, "QUEUED")
            await until_divided([*replicas, third], 2, 2, 2)
            assert len(await polling([*replicas, third])) == 1
            changes.start_soon(show, "IN_PROGRESS")
            assert await third.stop() == 0
        await until_divided(replicas, 3, 3)
        assert len(await polling(replicas)) == 1
        async with site.daemon() as fourth:
            await until_divided([*replicas, fourth], 2, 2, 2)
            assert len(await polling([*replicas, fourth])) == 1
            await show("COMPLETED")
            await site.until_received("task.completed", len(ids))
            assert await fourth.stop() == 0
    events = [one.event_id for one in site.receiver.accepted()]
    assert len(events) == len(set(events))
    found = site.sequences()
    assert [found[task_id][-1] for task_id in ids] == [len(found[task_id]) for task_id in ids]
    assert all(found[task_id] == sorted(found[task_id]) for task_id in ids)


async def polling(daemons: Sequence[Daemon]) -> list[int]:
    """Return which of the daemons observe tasks now: one request of polling to the next."""

    async def counts() -> list[float]:
        found = []
        for daemon in daemons:
            lines = [one for one in (await daemon.metrics()).splitlines() if one[:1] != "#"]
            found.append(
                sum(float(one.split()[1]) for one in lines if "observations_total{" in one)
            )
        return found

    before, now = await counts(), list[float]()

    async def grown() -> bool:
        nonlocal now
        now = await counts()
        return now != before

    await until(grown)
    return [number for number, count in enumerate(now) if count != before[number]]
