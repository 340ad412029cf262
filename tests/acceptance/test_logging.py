"""The log of a running daemon: searched by its fields, or read by nothing at all."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from tests.acceptance.daemon import COMMAND, PATIENCE, Site, add

pytestmark = pytest.mark.anyio


async def test_a_task_and_its_delivery_can_be_followed_by_their_fields(site: Site) -> None:
    site.upstream.set("task_1", "FAILED", error="x")
    async with site.daemon(WATCHER_LOG__LEVEL="debug") as daemon:
        await add(daemon, "task_1", "task_2")
        await site.until_received("task.failed", 1)
        assert (await site.command(daemon, "rm", "task_2")).returncode == 0
        assert await daemon.stop() == 0
    lines = [json.loads(line) for line in daemon.log]
    changes = [one for one in lines if one["level"] == "info" and one.get("event_id")]
    (change,) = (one for one in changes if one.get("task_id") == "task_1")
    assert (change["source"], change["event_id"][:4]) == ("mixpeek", "msg_")
    assert change["message"] == "task_1 first seen FAILED: x → backend"
    (attempt,) = (
        one
        for one in lines
        if one["level"] == "debug" and one.get("event_id") == change["event_id"]
    )
    assert (attempt["channel"], attempt["delivery_id"]) == ("backend", 1)
    assert attempt["task_id"] == "task_1"
    (removed,) = (one for one in lines if one.get("peer") and one.get("task_id") == "task_2")
    assert (removed["peer"], removed["source"]) == ("127.0.0.1", "mixpeek")


async def test_a_log_that_nothing_reads_stops_neither_polls_nor_deliveries_nor_the_end(
    site: Site, tmp_path: Path
) -> None:
    path = tmp_path / "run" / "api.sock"
    site.environ.pop("WATCHER_SERVER__PORT")
    environ = {
        **site.environ,
        "WATCHER_SERVER__SOCKET": str(path),
        "WATCHER_LOG__LEVEL": "debug",
        "WATCHER_LOG__FORMAT": "json",
        "WATCHER_SERVER__API_TOKEN": "made-up-api-token",
    }
    tasks = [f"task_{number:0200}" for number in range(1000)]
    for task_id in tasks:
        site.upstream.set(task_id, "IN_PROGRESS")
    reading, writing = os.pipe()
    process = await anyio.open_process(
        [COMMAND, "run"], env=environ, stdout=subprocess.DEVNULL, stderr=writing
    )
    try:
        await site.until(path.exists)
        headers = {"authorization": "Bearer made-up-api-token"}
        transport = httpx.AsyncHTTPTransport(uds=str(path), retries=5)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://localhost", headers=headers, timeout=PATIENCE
        ) as client:
            await client.post("/v1/watches", json=[{"task_id": task_id} for task_id in tasks])
            await until_observed(client, 5000)
        site.upstream.set(tasks[0], "COMPLETED")
        await site.until_received("task.completed", 1)
        notice = await anyio.to_thread.run_sync(first_notice, reading)
        assert (notice["level"], notice["dropped"] > 0) == ("warning", True)
        assert f"{notice['dropped']} log lines before this one were dropped" in notice["message"]
        process.terminate()
        with anyio.fail_after(12):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.aclose()
        os.close(reading)
        os.close(writing)


async def until_observed(client: httpx.AsyncClient, count: int) -> None:
    """Wait until so many answers about tasks have been seen. Nothing announces that."""
    with anyio.fail_after(PATIENCE):
        while True:
            text = (await client.get("/metrics")).text
            (line,) = (one for one in text.splitlines() if one.startswith(OBSERVED))
            if float(line.split()[-1]) >= count:
                return
            await anyio.sleep(0.05)


OBSERVED = 'watcher_observations_total{source="mixpeek"}'


def first_notice(file: int) -> dict[str, Any]:
    """Read the log up to the line that says what was dropped, and no further."""
    received = b""
    while b'"dropped"' not in received or not received.endswith(b"\n"):
        received = received[-4096:] + os.read(file, 4096)
    lines = [json.loads(line) for line in received.splitlines() if b'"dropped"' in line]
    content: dict[str, Any] = lines[0]
    return content
