"""Lists that come back cut, fail for large requests or for one task, or never end: changes are
noticed as fast as the budget allows.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from tests.sources import list_faults
from tests.sources.harness import Harness, task_ids
from tests.sources.list_faults import Fault, install, requested_ids
from tests.support.fake_upstream import Forward, Response
from tests.support.stores import opened
from watcher.sources.mixpeek.excluded_ids import FIRST_RETRY_AFTER
from watcher.sources.mixpeek.list_health import FilterState
from watcher.testing.mixpeek_request import Request

pytestmark = pytest.mark.anyio

COUNT = 3000
BUDGET = 60
SLACK = 15.0
"""Seconds beyond the longest interval: the budget of 60 a minute has little room."""


@asynccontextmanager
async def watching(folder: Path, count: int = COUNT, limit: int = BUDGET) -> AsyncIterator[Harness]:
    async with opened(folder) as store:
        harness = Harness(store, limit=limit)
        async with harness.running():
            await harness.watch(count)
            await anyio.sleep(90)
            yield harness
    assert harness.upstream.responses[429] == 0


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(list_faults.filter_cap(700), id="filter cut at 700"),
        pytest.param(list_faults.filter_cap(150), id="filter cut at 150"),
        pytest.param(list_faults.page_cap(700), id="page cut at 700"),
        pytest.param(list_faults.fails_if_large(400, 413), id="413"),
        pytest.param(list_faults.fails_if_large(400, 400), id="400"),
        pytest.param(list_faults.fails_if_large(400, 422), id="422"),
        pytest.param(list_faults.fails_if_large(400, 403), id="403"),
        pytest.param(list_faults.fails_if_large(300, 500), id="500"),
        pytest.param(list_faults.fails_if_large(300, 504), id="504"),
        pytest.param(list_faults.fails_if_large(300, 0), id="reset"),
        pytest.param(list_faults.fails_if_large(300, -1), id="timeout"),
    ],
)
async def test_a_page_that_is_too_large_is_made_smaller(tmp_path: Path, fault: Fault) -> None:
    async with watching(tmp_path) as harness:
        install(harness, fault)
        await anyio.sleep(240)
        await harness.assert_completions_noticed(task_ids(COUNT)[::3], within=31 + SLACK)
        await harness.assert_completions_noticed(task_ids(COUNT)[1::3], within=31 + SLACK)
        assert harness.filter_state() is FilterState.WORKING
        assert harness.poller.reason is None
        assert harness.get_requests < 300


async def test_a_page_grows_again(tmp_path: Path) -> None:
    sizes: list[int] = []
    large_fails = list_faults.fails_if_large(200, 500)
    failing = True

    async def fault(request: Request, forward: Forward) -> Response:
        sizes.append(len(requested_ids(request)))
        return await (large_fails if failing else forward_only)(request, forward)

    async def forward_only(request: Request, forward: Forward) -> Response:
        return await forward(request)

    async with watching(tmp_path) as harness:
        install(harness, fault)
        await anyio.sleep(600)
        assert max(sizes[-20:]) <= 250
        failing = False
        await anyio.sleep(1200)
        assert max(sizes[-20:]) == 1000


async def test_a_filter_that_is_not_applied_needs_no_get_for_each_task(tmp_path: Path) -> None:
    async with watching(tmp_path) as harness:
        harness.upstream.api.id_filter = "ignored"
        await anyio.sleep(120)
        await harness.assert_completions_noticed(task_ids(COUNT)[::3], within=31 + SLACK)
        await harness.assert_completions_noticed(task_ids(COUNT)[1::3], within=31 + SLACK)
        assert harness.get_requests < 300


async def test_a_list_that_omits_everything_is_found_out_by_a_sample(tmp_path: Path) -> None:
    async with watching(tmp_path) as harness:
        harness.upstream.api.id_filter = "omits"
        await anyio.sleep(120)
        assert harness.get_requests < 100
        await harness.assert_completions_noticed(task_ids(COUNT)[::3], within=31 + SLACK)


@pytest.mark.parametrize("status", [500, 502, 422, 400, 0, -1])
async def test_one_task_for_which_the_list_fails_delays_no_other(
    tmp_path: Path, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    bad = "task_1234"
    async with watching(tmp_path) as harness:
        install(harness, list_faults.fails_with({bad}, status))
        harness.set_status(task_ids(COUNT)[::2], "COMPLETED")
        await anyio.sleep(31 + SLACK if status >= 0 else 150)
        completed = (await harness.event_types()).count("task.completed")
        assert completed >= COUNT // 2 - 1
        await anyio.sleep(60)
        await harness.assert_completions_noticed(task_ids(COUNT)[1::2], within=31 + SLACK)
        assert (await harness.event_types()).count("task.completed") == COUNT
        assert harness.poller.reason is None
        assert harness.filter_state() is FilterState.WORKING
    assert len([message for message in caplog.messages if bad in message]) == 1


async def test_an_excluded_id_returns_to_the_list_once_it_works_there(tmp_path: Path) -> None:
    async with watching(tmp_path, count=300) as harness:
        bad_ids = {"task_7"}
        install(harness, list_faults.fails_with(bad_ids, 500))
        await anyio.sleep(120)
        before = harness.upstream.gets["task_7"]
        await anyio.sleep(120)
        assert harness.upstream.gets["task_7"] > before
        bad_ids.clear()
        await anyio.sleep(FIRST_RETRY_AFTER + 120)
        before = harness.upstream.gets["task_7"]
        await anyio.sleep(120)
        assert harness.upstream.gets["task_7"] == before
        await harness.assert_completions_noticed(task_ids(300))


async def test_a_list_that_fails_for_everything_is_not_bisected(tmp_path: Path) -> None:
    async with watching(tmp_path) as harness:
        install(harness, list_faults.fails_if_large(-1, 500))
        before = harness.list_requests
        await anyio.sleep(60)
        assert harness.poller.reason is None
        assert harness.list_requests - before <= 12


@pytest.mark.parametrize("results", ["same", "none", "70 KB"])
async def test_a_list_that_never_ends_is_left(tmp_path: Path, results: str) -> None:
    async with watching(tmp_path, count=20, limit=600) as harness:
        install(harness, list_faults.endless(results))
        before = harness.list_requests
        await harness.assert_completions_noticed(task_ids(20), within=40)
        assert harness.list_requests - before < 200


@pytest.mark.parametrize("status", [403, 404, 405])
@pytest.mark.parametrize(
    ("body", "times", "again_after"),
    [
        ("<html>cloudflare</html>", 3, 30),
        ('{"message": "no Route matched with those values"}', 3, 30),
        ('{"detail": "Not Found"}', 1, 65),
        ('{"success": false, "error": {"message": "no", "type": "NotFoundError"}}', 1, 65),
    ],
)
async def test_one_answer_that_there_is_no_list_is_tried_again_soon(
    tmp_path: Path, status: int, body: str, times: int, again_after: float
) -> None:
    answered = 0

    async def fault(request: Request, forward: Forward) -> Response:
        nonlocal answered
        answered += 1
        return (status, {}, body.encode()) if answered <= times else await forward(request)

    async with watching(tmp_path, count=1000) as harness:
        install(harness, fault)
        await anyio.sleep(again_after + 31)
        assert harness.filter_state() is FilterState.WORKING
        await harness.assert_completions_noticed(task_ids(1000), within=31 + SLACK)


async def test_a_gateway_that_answers_for_the_list_for_ever_is_a_failed_request(
    tmp_path: Path,
) -> None:
    async def fault(request: Request, forward: Forward) -> Response:
        return 404, {}, b"<html>ingress: default backend</html>"

    async with watching(tmp_path, count=50) as harness:
        install(harness, fault)
        await anyio.sleep(120)
        await harness.assert_completions_noticed(task_ids(50), within=70)
        assert harness.poller.reason is None
        assert json.dumps(await harness.event_types()).count("lost") == 0
