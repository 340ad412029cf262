"""`watcher wait` as a process."""

import json
import subprocess

import anyio
import pytest

from tests.acceptance.daemon import Site

pytestmark = pytest.mark.anyio


async def test_wait_survives_a_restart_of_the_daemon(site: Site) -> None:
    site.upstream.set("task_1", "IN_PROGRESS")
    port = "0"
    async with anyio.create_task_group() as tasks:
        results: list[subprocess.CompletedProcess[bytes]] = []
        async with site.daemon() as daemon:
            port = daemon.url.rpartition(":")[2]

            async def wait() -> None:
                results.append(
                    await site.command(daemon, "wait", "task_1", "--timeout", "40s", "--json")
                )

            tasks.start_soon(wait)
            await site.until(lambda: site.event_types() == ["task.in_progress"])
            daemon.process.kill()
            await daemon.ended()
        site.upstream.set("task_1", "COMPLETED_WITH_ERRORS")
        async with site.daemon(WATCHER_SERVER__PORT=port):
            await site.until(lambda: results)

    assert results[0].returncode == 3
    assert json.loads(results[0].stdout) == [
        {"task_id": "task_1", "status": "COMPLETED_WITH_ERRORS"}
    ]


async def test_exit_codes_of_wait(site: Site) -> None:
    site.upstream.set("task_1", "COMPLETED")
    site.upstream.set("task_2", "IN_PROGRESS")
    async with site.daemon() as daemon:
        exit_codes = {
            "completed": (await site.command(daemon, "wait", "task_1")).returncode,
            "timed out": (
                await site.command(daemon, "wait", "task_1", "task_2", "--timeout", "300ms")
            ).returncode,
            "rejected": (await site.command(daemon, "wait", "a/b")).returncode,
        }
    exit_codes["no daemon"] = (await site.command(daemon, "wait", "task_1")).returncode
    assert exit_codes == {"completed": 0, "timed out": 124, "rejected": 4, "no daemon": 4}


async def test_a_wait_says_why_tasks_did_not_complete(site: Site) -> None:
    site.upstream.set("task_1", "COMPLETED")
    site.upstream.set("task_2", "FAILED", error_message="Object not found")
    async with site.daemon(WATCHER_POLLING__LOST_AFTER="500ms") as daemon:
        done = await site.command(daemon, "wait", "task_1", "task_2", "task_3", "--json")
        table = await site.command(daemon, "wait", "task_2")
    assert done.returncode == 1
    completed, failed, lost = json.loads(done.stdout)
    assert completed == {"task_id": "task_1", "status": "COMPLETED"}
    assert failed["error_message"] == "Object not found"
    assert (lost["status"], lost["error_message"][:21]) == ("LOST", "upstream has answered")
    assert table.stdout.decode().splitlines() == [
        "TASK_ID  STATUS  ERROR_MESSAGE",
        "task_2   FAILED  Object not found",
    ]


async def test_a_standalone_wait_polls_without_a_daemon(site: Site) -> None:
    site.upstream.set("task_1", "IN_PROGRESS")
    site.upstream.set("task_2", "FAILED", error_message="Object not found")
    results: list[subprocess.CompletedProcess[bytes]] = []
    async with anyio.create_task_group() as tasks:

        async def wait() -> None:
            results.append(
                await site.command(None, "wait", "task_1", "task_2", "--standalone", "--json")
            )

        tasks.start_soon(wait)
        await site.until(lambda: site.upstream.gets["task_1"] > 1 or results)
        site.upstream.set("task_1", "COMPLETED")
    (done,) = results
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout) == [
        {"task_id": "task_1", "status": "COMPLETED"},
        {"task_id": "task_2", "status": "FAILED", "error_message": "Object not found"},
    ]
    assert site.receiver.received == []  # it sends nothing
    store = site.environ["WATCHER_STORE__URL"].removeprefix("sqlite:///")
    assert not await anyio.Path(store).exists()


@pytest.mark.parametrize(
    ("arguments", "environ", "exit_code", "error"),
    [
        (("task_1",), {"MIXPEEK_API_KEY": "sk_wrong"}, 4, "source mixpeek: HTTP 401"),
        (("task_1", "--source", "x"), {}, 4, "unknown source 'x'; expected one of: mixpeek"),
        (("a/b",), {}, 4, "an ID contains no slash"),
        (("task_1",), {"WATCHER_POLLING__MODE": "x"}, 2, "polling.mode"),
        (("task_9", "--timeout", "1s"), {}, 124, "timeout; 1 tasks have not ended"),
    ],
)
async def test_what_ends_a_standalone_wait_early_is_one_line(
    site: Site,
    arguments: tuple[str, ...],
    environ: dict[str, str],
    exit_code: int,
    error: str,
) -> None:
    done = await site.command(None, "wait", *arguments, "--standalone", **environ)
    assert done.returncode == exit_code
    (line,) = done.stderr.decode().splitlines()
    assert error in line
