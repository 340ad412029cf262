"""Operations of the upstream API, discovery and many tasks."""

import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from tests.acceptance.daemon import COMMAND, Daemon, Site, add, site_in
from watcher.testing.faults import answers

pytestmark = pytest.mark.anyio

TOKEN = {"WATCHER_API_TOKEN": "made-up-token-1234"}
LIST = "POST /v1/tasks/list"
CONFIRM = "POST /v1/buckets/{bucket}/uploads/confirm/batch"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with site_in(tmp_path) as site:
        sources = [{"requests_per_minute": None, "namespace": "ns_1"}]
        site.environ["WATCHER_SOURCES"] = json.dumps(sources)
        site.environ["WATCHER_SERVER__API_TOKEN"] = TOKEN["WATCHER_API_TOKEN"]
        yield site


async def output(site: Site, daemon: Daemon, *arguments: str) -> str:
    done = await site.command(daemon, *arguments, **TOKEN)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def task_ids(site: Site, kind: str) -> list[str]:
    events = [received.event for received in site.receiver.accepted()]
    return [event["data"]["task_id"] for event in events if event["type"] == kind]


def batch(site: Site, number: int) -> None:
    site.upstream.set(f"task_{number}", "IN_PROGRESS", task_type="api_buckets_batches_process")
    site.upstream.api.batches[f"batch_{number}"] = {
        "batch_id": f"batch_{number}",
        "bucket_id": "bkt",
        "status": "IN_PROGRESS",
        "task_id": f"task_{number}",
        "progress": {"percent": 40.0},
        "tier_tasks": [],
    }


async def test_tasks_and_batches_as_tables_and_as_json(site: Site) -> None:
    for number in range(3):
        batch(site, number)
    site.upstream.set("task_9", "FAILED", error="Object\x1b[31m not found")
    async with site.daemon() as daemon:
        table = (await output(site, daemon, "tasks")).splitlines()
        assert table[0].split() == ["TASK_ID", "STATUS", "TASK_TYPE", "ERROR"]
        assert table[-1].split()[:2] == ["task_9", "FAILED"]
        assert "\x1b" not in table[-1]
        listed = json.loads(await output(site, daemon, "tasks", "--status", "FAILED", "--json"))
        assert [item["task_id"] for item in listed] == ["task_9"]
        filters = '{"task_id": "task_1"}'
        listed = json.loads(
            await output(
                site, daemon, "tasks", "--filters", filters, "--sort", "task_id:desc", "--json"
            )
        )
        assert [item["task_id"] for item in listed] == ["task_1"]
        assert len(json.loads(await output(site, daemon, "tasks", "--limit", "2", "--json"))) == 2
        assert "40 %" in await output(site, daemon, "batches", "bkt")
        assert len(json.loads(await output(site, daemon, "batches", "bkt", "--json"))) == 3
        failed = await site.command(daemon, "tasks", "--status", "BOILING", **TOKEN)
        assert (failed.returncode, failed.stderr.count(b"\n")) == (4, 1)
        assert b"'BOILING' is not a status" in failed.stderr


async def test_a_canceled_batch_and_a_killed_task_are_sent(site: Site) -> None:
    for number in range(2):
        batch(site, number)
    site.upstream.api.rejected_jobs = 1
    site.upstream.set("task_x", "IN_PROGRESS")
    async with site.daemon() as daemon:
        result = await output(site, daemon, "cancel-batch", "bkt", "batch_1", "--yes")
        assert (
            "1 cancellations requested, 0 accepted, 1 rejected: work may still be running" in result
        )
        site.upstream.set("task_1", "CANCELED")
        assert "killed" in await output(site, daemon, "kill", "task_x", "--yes")
        await site.until(lambda: set(task_ids(site, "task.canceled")) == {"task_1", "task_x"})
        assert "killed" in await output(site, daemon, "kill", "task_none", "--yes")
        watched = json.loads(await output(site, daemon, "ls", "--json"))
    assert {item["task_id"] for item in watched} == {"task_1", "task_x"}


async def test_what_upstream_says_of_an_error_is_one_line_without_the_key(site: Site) -> None:
    key = site.environ["MIXPEEK_API_KEY"]
    entries = [{"loc": ["body", "search"], "msg": f"not\n{key}", "type": "string_type"}]
    details = {"validation_errors": entries}
    error = {"message": "Invalid", "type": "ValidationError", "code": "bad", "details": details}
    body = json.dumps({"success": False, "status": 422, "error": error})
    site.upstream.route_faults[LIST] = answers(
        422, body, content_type="application/json", x_request_id="req_1"
    )
    async with site.daemon() as daemon:
        failed = await site.command(daemon, "tasks", **TOKEN)
        headers = {"authorization": f"Bearer {TOKEN['WATCHER_API_TOKEN']}"}
        async with daemon.client() as client:
            answer = await client.post("/v1/sources/mixpeek/tasks/list", json={}, headers=headers)
    assert failed.returncode == 4
    assert failed.stderr.decode() == (
        "watcher: HTTP 409: upstream: HTTP 422 Invalid: body.search: not ******** (string_type) "
        "[code bad, request req_1]\n"
    )
    assert answer.json()["upstream"] == {
        "status": 422,
        "code": "bad",
        "type": "ValidationError",
        "request_id": "req_1",
        "details": {"validation_errors": [{**entries[0], "msg": "not ********"}]},
    }


async def test_uploads_that_upstream_does_not_confirm_stay_open(site: Site, tmp_path: Path) -> None:
    file = uploads(tmp_path, 3)
    body = {"task_id": "task_c", "status": "PENDING", "confirmations_count": 2, "message": "two"}
    site.upstream.set("task_c", "PENDING")
    site.upstream.route_faults[CONFIRM] = answers(
        200, json.dumps(body), content_type="application/json"
    )
    async with site.daemon() as daemon:
        first = await site.command(daemon, "confirm-uploads", "bkt", file, **TOKEN)
        assert first.returncode == 1
        assert first.stdout.splitlines()[0] == b"task_c PENDING, 2 of 3 uploads: two"
        assert b"upstream confirms 2 of 3 uploads" in first.stderr
        assert first.stderr.count(b"\n") == 1
        site.upstream.route_faults.clear()
        doubtful = await site.command(daemon, "confirm-uploads", "bkt", file, **TOKEN)
        assert (doubtful.returncode, site.upstream.api.confirmed) == (1, [])
        await output(site, daemon, "confirm-uploads", "bkt", file, "--resend-doubtful")
    assert len(site.upstream.api.confirmed) == 3


def uploads(folder: Path, count: int) -> str:
    file = folder / "uploads.csv"
    lines = [f'upl_{number},"""e{number}""",{number + 1}' for number in range(count)]
    file.write_text("\n".join(["upload_id,etag,file_size_bytes", *lines]) + "\n")
    return str(file)


async def test_a_thousand_uploads_are_confirmed_once_each_over_a_killed_command(
    site: Site, tmp_path: Path
) -> None:
    file = uploads(tmp_path, 1000)
    site.upstream.latency = 0.1
    confirmed = site.upstream.api.confirmed
    async with site.daemon() as daemon:
        variables = {**site.environ, **TOKEN, "WATCHER_URL": daemon.url}
        async with await anyio.open_process(
            [COMMAND, "confirm-uploads", "bkt", file], env=variables
        ) as process:
            await site.until(lambda: len(confirmed) >= 300)
            process.kill()
        assert "confirmed before" in await output(site, daemon, "confirm-uploads", "bkt", file)
        again = json.loads(await output(site, daemon, "confirm-uploads", "bkt", file, "--json"))
        assert {item["state"] for item in again} == {"already"}
        watched = json.loads(await output(site, daemon, "ls", "--json"))
    assert len(confirmed) == len(set(confirmed)) == 1000
    assert {item["task_id"] for item in again} == {item["task_id"] for item in watched}
    assert len(watched) == 10


async def test_uploads_of_a_killed_daemon_are_resent_only_on_request(
    site: Site, tmp_path: Path
) -> None:
    file = uploads(tmp_path, 300)
    confirmed = site.upstream.api.confirmed
    async with site.daemon() as daemon:
        variables = {**site.environ, **TOKEN, "WATCHER_URL": daemon.url}
        site.upstream.latency = 0.5
        async with await anyio.open_process(
            [COMMAND, "confirm-uploads", "bkt", file], env=variables
        ) as process:
            await site.until(lambda: len(confirmed) >= 100)
            await anyio.sleep(0.2)  # the second request is in flight
            daemon.process.kill()
            assert await process.wait() == 4
    await anyio.sleep(0.6)
    site.upstream.latency = 0.0
    async with site.daemon() as daemon:
        done = await site.command(daemon, "confirm-uploads", "bkt", file, **TOKEN)
        assert done.returncode == 1
        assert b"uploads is unknown; --resend-doubtful sends them again" in done.stderr
        assert max(Counter(confirmed).values()) == 1
        await output(site, daemon, "confirm-uploads", "bkt", file, "--resend-doubtful")
    assert set(confirmed) == {f"upl_{number}" for number in range(300)}


async def test_discovery_adds_tasks_over_a_restart(site: Site) -> None:
    site.environ["WATCHER_DISCOVERY"] = json.dumps(
        [
            {"list": "tasks", "every": "200ms", "labels": {"by": "rule"}},
            {"list": "batches", "bucket": "bkt", "every": "200ms"},
        ]
    )
    for number in range(20):
        site.upstream.set(f"old_{number}", "FAILED")
        site.upstream.set(f"run_{number}", "IN_PROGRESS")
    async with site.daemon() as daemon:
        await site.until(lambda: len(task_ids(site, "task.in_progress")) == 20)
        site.upstream.set("late", "FAILED")
        await site.until(lambda: task_ids(site, "task.failed") == ["late"])
        assert await daemon.stop() == 0
    for number in range(20):
        site.upstream.set(f"run_{number}", "COMPLETED")
    site.upstream.set("meanwhile", "FAILED")
    async with site.daemon() as daemon:
        await site.until(lambda: len(task_ids(site, "task.completed")) == 20)
        await site.until(lambda: set(task_ids(site, "task.failed")) == {"late", "meanwhile"})
        text = await output(site, daemon, "ls", "--label", "by=rule", "--json")
        assert len(json.loads(text)) == 42
        assert await daemon.stop() == 0
    events = [received.event for received in site.receiver.accepted()]
    counts = Counter((event["type"], event["data"]["task_id"]) for event in events)
    assert max(counts.values()) == 1


async def test_three_thousand_tasks_need_few_requests_and_every_end_is_sent(site: Site) -> None:
    site.environ["WATCHER_POLLING__MAX_INTERVAL"] = "1s"
    names = [f"task_{number}" for number in range(3000)]
    for name in names:
        site.upstream.set(name, "IN_PROGRESS")
    async with site.daemon() as daemon:
        for start in range(0, 3000, 1000):
            await add_with_token(daemon, *names[start : start + 1000])
        await site.until(lambda: len(task_ids(site, "task.in_progress")) == 3000)
        for name in names:
            site.upstream.set(name, "COMPLETED")
        await site.until(lambda: len(task_ids(site, "task.completed")) == 3000)
        assert await daemon.stop() == 0
    assert site.upstream.requests[LIST] <= 200
    assert site.upstream.requests.total() <= 220


async def add_with_token(daemon: Daemon, *task_ids: str) -> None:
    await add(daemon, *task_ids, headers={"authorization": f"Bearer {TOKEN['WATCHER_API_TOKEN']}"})


async def test_the_rate_limit_of_the_upstream_is_never_exceeded(site: Site) -> None:
    site.environ["WATCHER_SOURCES"] = json.dumps([{"requests_per_minute": 60}])
    site.upstream.limit = 60
    names = [f"task_{number}" for number in range(300)]
    for name in names:
        site.upstream.set(name, "IN_PROGRESS")
    async with site.daemon() as daemon:
        await add_with_token(daemon, *names)
        await site.until(lambda: len(task_ids(site, "task.in_progress")) == 300)
        await anyio.sleep(5)
    assert site.upstream.responses[429] == 0
