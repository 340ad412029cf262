"""Where a poll of all tasks takes several requests, the whole budget is used; nowhere else."""

from pathlib import Path

import anyio
import pytest

from tests.sources.harness import Harness, task_ids
from tests.support.stores import opened

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("count", "page_cap", "within"),
    [
        pytest.param(3000, 1000, 4.0, id="three pages"),
        pytest.param(100, 25, 5.5, id="four pages, which upstream has made smaller"),
        pytest.param(1100, 1000, 3.5, id="two pages"),
    ],
)
async def test_changes_are_noticed_as_soon_as_the_budget_allows(
    tmp_path: Path, count: int, page_cap: int, within: float
) -> None:
    async with opened(tmp_path) as store:
        harness = Harness(store, limit=60)
        harness.upstream.api.page_cap = page_cap
        async with harness.running():
            await harness.watch(count)
            await anyio.sleep(300)
            for number in range(20):
                await harness.assert_completions_noticed([task_ids(count)[number * 3]], within)
            assert harness.poller.behind() < 1
    assert harness.upstream.responses[429] == 0


@pytest.mark.parametrize(
    ("count", "limit"),
    [
        pytest.param(1000, 60, id="one request holds all"),
        pytest.param(3000, None, id="no budget"),
    ],
)
async def test_otherwise_unchanged_tasks_are_polled_at_the_longest_interval(
    tmp_path: Path, count: int, limit: int | None
) -> None:
    async with opened(tmp_path) as store:
        harness = Harness(store, limit=limit)
        async with harness.running():
            await harness.watch(count)
            await anyio.sleep(120)
            before = harness.list_requests
            await anyio.sleep(600)
            assert harness.list_requests - before <= 20 * 1.4 * (count / 1000)


async def test_no_task_is_polled_more_often_than_at_the_shortest_interval(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        harness = Harness(store, limit=6000, min_interval=5.0)
        async with harness.running():
            await harness.watch(2000)
            await anyio.sleep(120)
            before = harness.list_requests
            await anyio.sleep(100)
            assert 35 <= harness.list_requests - before <= 42
            await harness.assert_completions_noticed(task_ids(2000)[::100], 5.5)


async def test_the_last_tasks_are_polled_less_often_once_one_request_holds_them(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as store:
        harness = Harness(store, limit=60)
        async with harness.running():
            await harness.watch(1500)
            await anyio.sleep(120)
            await harness.assert_completions_noticed(task_ids(1500)[500:], 6.0)
            await anyio.sleep(60)
            before = harness.list_requests
            await anyio.sleep(300)
            assert harness.list_requests - before <= 14
            await harness.assert_completions_noticed(task_ids(500), 31.0)
