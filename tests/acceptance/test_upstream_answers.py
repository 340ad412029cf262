"""Answers that upstreams and gateways really give: none ends, blinds or misleads the daemon."""

import json
import math
from typing import Any

import pytest

from tests.acceptance.daemon import Site, add
from watcher.testing.faults import Fault, answers, compressed

pytestmark = pytest.mark.anyio

QUICK = {
    "WATCHER_SOURCES": json.dumps(
        [{"requests_per_minute": None, "timeout": "2s", "unreachable_after": "1s"}]
    )
}
TEACHES_NOTHING: dict[str, Fault] = {
    **{
        f"{status} to everything": answers(status, '{"success": false, "error": {"message": "x"}}')
        for status in (400, 402, 407, 410, 422, 426)
    },
    "endless 429": answers(429, "error code: 1015", Retry_After="1"),
    "503 for a day": answers(503, "{}", Retry_After="86400"),
    "a login page": answers(200, "<html>Sign in</html>"),
    "a login page that claims to be compressed": compressed("gzip", b"<html>Sign in</html>"),
    "an undecodable body": answers(200, '{"task_id": "task_1", "status"'),
    "no status": answers(200, '{"task_id": "task_1"}'),
}


@pytest.mark.parametrize("fault", TEACHES_NOTHING)
async def test_an_upstream_that_teaches_nothing_is_announced_once(site: Site, fault: str) -> None:
    site.upstream.set("task_1", "IN_PROGRESS")
    async with site.daemon(**QUICK) as daemon:
        await add(daemon, "task_1")
        await site.until_received("task.in_progress", 1)
        site.upstream.fault = TEACHES_NOTHING[fault]
        await site.until_received("source.unreachable", 1)
        async with daemon.client() as client:
            metrics = (await client.get("/metrics")).text
            assert (await client.get("/healthz")).status_code == 200
        assert await daemon.stop() == 0

    assert 'watcher_source_up{source="mixpeek"} 0.0' in metrics
    assert 'watcher_unexpected_errors_total{component="poller"} 0.0' in metrics
    assert site.event_types() == ["task.in_progress", "source.unreachable"]


@pytest.mark.parametrize("value", [math.nan, math.inf, "\ud800", "x" + "\udfff"])
async def test_one_bad_task_spoils_only_itself(site: Site, value: Any) -> None:
    names = [f"task_{number}" for number in range(50)]
    for name in names:
        site.upstream.set(name, "IN_PROGRESS")
    async with site.daemon(WATCHER_POLLING__MODE="list") as daemon:
        await add(daemon, *names)
        await site.until_received("task.in_progress", 50)
        for name in names:
            site.upstream.set(name, "COMPLETED")
        site.upstream.set("task_7", "FAILED", additional_data={"score": value, "kept": 1})
        await site.until_received("task.completed", 49)
        await site.until_received("task.failed", 1)
        assert await daemon.stop() == 0

    (failed,) = [
        one.event["data"]
        for one in site.receiver.accepted()
        if one.event["data"].get("status") == "FAILED"
    ]
    assert failed["additional_data"] == {"score": None, "kept": 1}
    assert failed["unreadable"] == ["additional_data.score"]
    assert sum("'task_7'" in message for message in daemon.messages("warning")) == 1


async def test_spellings_of_statuses(site: Site) -> None:
    words = {"task_1": "Completed-With-Errors", "task_2": "CANCELLED", "task_3": "delivered"}
    for task_id, word in words.items():
        site.upstream.set(task_id, word)
    statuses = {"DELIVERED": "COMPLETED"}
    sources = [{"requests_per_minute": None, "timeout": "2s", "statuses": statuses}]
    async with site.daemon(WATCHER_SOURCES=json.dumps(sources)) as daemon:
        await add(daemon, *words)
        await site.until(lambda: len(site.event_types()) == 3)
        watches = await site.json(daemon, "ls", "--state", "done")
        assert await daemon.stop() == 0

    shown = {one.event["data"]["task_id"]: one.event for one in site.receiver.accepted()}
    assert {
        task_id: (event["type"], event["data"]["upstream_status"], event["data"]["terminal"])
        for task_id, event in shown.items()
    } == {
        "task_1": ("task.completed_with_errors", "Completed-With-Errors", True),
        "task_2": ("task.canceled", "CANCELLED", True),
        "task_3": ("task.completed", "delivered", True),
    }
    assert len(watches) == 3


async def test_a_task_that_alone_is_rejected_is_lost(site: Site) -> None:
    site.upstream.set("task_1", "IN_PROGRESS")
    error = '{"success": false, "status": 422, "error": {"message": "bad ID", "type": "X"}}'
    site.upstream.faults["task_2"] = answers(422, error, content_type="application/json")
    environ = {"WATCHER_POLLING__LOST_AFTER": "1s", "WATCHER_POLLING__MODE": "get"}
    async with site.daemon(**environ) as daemon:
        await add(daemon, "task_1", "task_2")
        await site.until_received("task.lost", 1)
        waited = await site.command(daemon, "wait", "task_2")
        assert await daemon.stop() == 0

    lost = site.receiver.accepted()[-1].event["data"]
    assert lost["task_id"] == "task_2"
    assert "bad ID" in lost["reason"]
    assert waited.returncode == 1


async def test_a_task_runs_again_under_the_same_id(site: Site) -> None:
    site.upstream.set("task_1", "FAILED")
    async with site.daemon() as daemon:
        await add(daemon, "task_1")
        await site.until_received("task.failed", 1)
        site.upstream.set("task_1", "IN_PROGRESS")
        assert (await site.command(daemon, "add", "--again", "task_1")).returncode == 0
        await site.until_received("task.in_progress", 1)
        site.upstream.set("task_1", "COMPLETED")
        await site.until_received("task.completed", 1)
        assert await daemon.stop() == 0

    assert site.sequences() == {"task_1": [1, 2, 3]}
