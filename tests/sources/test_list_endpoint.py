"""Polling up to a thousand tasks per request, and lists that misbehave."""

import logging
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest

from tests.sources.harness import LIST_PATH, Harness, task_ids
from tests.support.fake_upstream import Forward, Response, intercept
from tests.support.stores import opened
from watcher.sources.mixpeek import pagination
from watcher.sources.mixpeek.list_health import RECHECK_AFTER, FilterState
from watcher.testing.mixpeek_request import Request

pytestmark = pytest.mark.anyio


async def test_a_thousand_tasks_are_polled_in_one_request(harness: Harness) -> None:
    async with harness.running():
        await harness.watch(1000)
        await anyio.sleep(0.5)
        assert (harness.list_requests, harness.get_requests) == (1, 0)
        assert len(await harness.event_types()) == 1000
        await anyio.sleep(600)
        assert harness.list_requests + harness.get_requests <= 60
        await harness.assert_completions_noticed(task_ids(1000))


async def test_few_tasks_are_polled_individually(harness: Harness) -> None:
    async with harness.running():
        await harness.watch(2)
        await anyio.sleep(300)
        assert harness.list_requests == 0
        assert harness.get_requests >= 20
        await harness.assert_completions_noticed(task_ids(2))


async def test_few_tasks_share_a_request_when_the_budget_for_get_is_spent(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        harness = Harness(store, limit=10, max_interval=5.0)
        async with harness.running():
            await harness.watch(3)
            await anyio.sleep(600)
            await harness.assert_completions_noticed(task_ids(3), within=12.0)
    assert harness.list_requests > 0
    assert harness.upstream.responses[429] == 0


@pytest.mark.parametrize("mode", ["get", "list"])
async def test_the_mode_selects_the_endpoint(tmp_path: Path, mode: str) -> None:
    async with opened(tmp_path) as store:
        harness = Harness(store, mode=mode)
        async with harness.running():
            await harness.watch(20)
            await anyio.sleep(100)
            await harness.assert_completions_noticed(task_ids(20))
    used = (harness.get_requests > 0, harness.list_requests > 0)
    assert used == (mode == "get", mode == "list")


async def test_the_list_is_read_by_cursor_or_by_offset(harness: Harness) -> None:
    harness.upstream.api.page_cap = 100
    async with harness.running():
        await harness.watch(450)
        await anyio.sleep(0.5)
        assert len(await harness.event_types()) == 450
        assert (harness.list_requests, harness.get_requests) == (5, 0)
        harness.upstream.api.paging = "offset"
        await harness.assert_completions_noticed(task_ids(450))
    assert harness.get_requests == 0


async def test_a_task_that_the_list_omits_is_polled_individually(harness: Harness) -> None:
    harness.upstream.api.hidden_from_list = {"task_7"}
    async with harness.running():
        await harness.watch(100)
        await anyio.sleep(100)
        await harness.assert_completions_noticed(task_ids(100))
    assert harness.upstream.gets.keys() == {"task_7"}
    assert (await harness.event_types()).count("task.lost") == 0


async def test_a_task_that_only_the_list_returns_is_not_lost(harness: Harness) -> None:
    harness.upstream.api.hidden_from_get = {"task_0", "task_7"}
    async with harness.running():
        await harness.watch(100)
        await anyio.sleep(60)
        harness.set_status(task_ids(100)[1:], "COMPLETED")
        await anyio.sleep(3600)
        await harness.assert_completions_noticed(["task_0"])
    assert "task.lost" not in await harness.event_types()
    assert (await harness.event_types()).count("task.completed") == 100


async def test_a_task_that_neither_endpoint_returns_is_lost_after_the_timeout(
    harness: Harness,
) -> None:
    async with harness.running():
        await harness.watch(100)
        await anyio.sleep(60)
        harness.upstream.remove("task_7")
        await anyio.sleep(590)
        assert "task.lost" not in await harness.event_types()
        await anyio.sleep(80)
        assert (await harness.event_types()).count("task.lost") == 1
        await anyio.sleep(7200)
        # A missing task takes no place in a page: each page would cost another GET.
        assert harness.upstream.gets["task_7"] < 60
        harness.upstream.set("task_7", "COMPLETED")
        await anyio.sleep(601)
    assert (await harness.event_types()).count("task.completed") == 1


async def test_a_rejected_id_is_found_by_bisection_and_polled_individually(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.upstream.api.rejected_ids = {"task_123", "task_321"}
    async with harness.running():
        await harness.watch(500)
        await anyio.sleep(30)
        assert len(await harness.event_types()) == 500
        after_bisection = harness.list_requests
        assert after_bisection < 60
        await anyio.sleep(300)
        assert harness.list_requests < after_bisection + 40
        assert harness.upstream.gets.keys() == {"task_123", "task_321"}
        await harness.assert_completions_noticed(task_ids(500))
    assert len([message for message in caplog.messages if "task_123" in message]) == 1


@pytest.mark.parametrize("behaviour", ["rejected", "ignored", "omits"])
async def test_the_list_is_scanned_while_its_filter_does_not_work(
    harness: Harness, behaviour: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "watcher.sources")
    harness.upstream.api.id_filter = behaviour
    harness.set_status([f"other_{number}" for number in range(3000)], "COMPLETED")
    async with harness.running():
        await harness.watch(400)
        await anyio.sleep(60)
        assert len(await harness.event_types()) == 400
        assert harness.filter_state() is FilterState.SCAN_ALL
        assert harness.get_requests <= (400 if behaviour == "omits" else 30)
        await harness.assert_completions_noticed(task_ids(20))
        await anyio.sleep(3600)
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        harness.upstream.api.id_filter = "works"
        await anyio.sleep(RECHECK_AFTER + 40)
        assert harness.filter_state() is FilterState.WORKING
        before = harness.list_requests
        await anyio.sleep(300)
        assert harness.list_requests - before <= 60
        await harness.assert_completions_noticed(task_ids(400)[20:])
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def test_tasks_beyond_the_greatest_offset_are_polled_individually(harness: Harness) -> None:
    harness.upstream.api.id_filter = "ignored"
    harness.set_status([f"other_{number}" for number in range(12_000)], "IN_PROGRESS")
    async with harness.running():
        await harness.watch(40)
        await anyio.sleep(120)
        assert len(await harness.event_types()) == 40
        harness.upstream.api.paging = "offset"
        await harness.assert_completions_noticed(task_ids(40), within=60)


@pytest.mark.parametrize("status", [403, 404, 405, 501])
async def test_without_a_list_tasks_are_polled_individually(
    harness: Harness, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    if status == 404:
        harness.upstream.api.has_list = False
    else:
        harness.break_list(status)
    async with harness.running():
        await harness.watch(50)
        await anyio.sleep(60)
        assert len(await harness.event_types()) == 50
        await harness.assert_completions_noticed(task_ids(50))
        assert harness.poller.reason is None
    assert len(caplog.records) == 1


async def test_the_source_is_up_while_only_its_list_fails(harness: Harness) -> None:
    harness.break_list(500)
    async with harness.running():
        await harness.watch(50)
        await anyio.sleep(600)
        assert harness.poller.reason is None
        assert len(await harness.event_types()) == 50
        await harness.assert_completions_noticed(task_ids(50))


async def test_pages_that_are_too_large_are_halved(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pagination, "PAGE_BYTES", 20_000)
    async with harness.running():
        await harness.watch(400)
        await anyio.sleep(10)
        assert len(await harness.event_types()) == 400
    assert harness.get_requests == 0


async def test_reading_stops_where_a_cursor_repeats(harness: Harness) -> None:
    async def repeat_cursor(request: Request, forward: Forward) -> Response:
        status, headers, body = await forward(request)
        if request.path == LIST_PATH:
            body = b'{"results": [], "pagination": {"next_cursor": "again"}}'
        return status, headers, body

    intercept(harness.upstream, repeat_cursor)
    async with harness.running():
        await harness.watch(10)
        await anyio.sleep(60)
        assert len(await harness.event_types()) == 10
        await harness.assert_completions_noticed(task_ids(10))


async def test_a_list_that_changes_between_pages_leads_to_no_wrong_event(harness: Harness) -> None:
    """Pages overlap, repeat and leave out tasks: the list is shuffled before each page."""
    harness.upstream.api.page_cap = 50
    random = Random(9)

    async def shuffle(request: Request, forward: Forward) -> Response:
        tasks = list(harness.upstream.api.tasks.items())
        random.shuffle(tasks)
        harness.upstream.api.tasks = dict(tasks)
        return await forward(request)

    intercept(harness.upstream, shuffle)
    async with harness.running():
        await harness.watch(200)
        await anyio.sleep(120)
        assert await harness.event_types() == ["task.in_progress"] * 200
        harness.upstream.api.id_filter = "ignored"
        await anyio.sleep(60)
        await harness.assert_completions_noticed(task_ids(200), within=60)
    expected = ["task.completed"] * 200 + ["task.in_progress"] * 200
    assert sorted(await harness.event_types()) == expected
