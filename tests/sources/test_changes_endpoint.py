"""Requests for changed tasks only: within seconds, on nothing but what answers prove."""

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.sources.harness import LIST_PATH, Harness, task_ids
from tests.support.fake_upstream import Forward, Response, intercept
from tests.support.stores import opened
from tests.support.virtual_time import wall
from watcher.core.tasks import TaskKey
from watcher.sources.mixpeek.changes_health import RECHECK_AFTER
from watcher.sources.mixpeek.pagination import LIST_TASKS, PAGE_SIZE
from watcher.testing.mixpeek_request import Request

pytestmark = pytest.mark.anyio

COUNT = 1300
LARGE = 2500
MANY = 4000
LIMIT = 60
PAGES_TAKE = 2 * 60 / LIMIT * 1.2
"""Seconds for pages of all tasks."""


class Requests:
    """What the list was requested for: pages of tasks, or changes."""

    def __init__(self, harness: Harness) -> None:
        self.pages = 0
        self.changes = 0
        self.sizes: list[int] = []
        intercept(harness.upstream, self._answer)

    async def _answer(self, request: Request, forward: Forward) -> Response:
        if request.path == LIST_PATH and b'"ne"' in request.body:
            self.changes += 1
            self.sizes.append(request.body.count(b'"task_'))
        elif request.path == LIST_PATH:
            self.pages += 1
        return await forward(request)


@asynccontextmanager
async def watching(folder: Path, count: int = COUNT, **options: Any) -> AsyncIterator[Harness]:
    """Watch tasks of which one has ended, long enough for requests for changes to cover them."""
    async with opened(folder) as store:
        harness = Harness(store, **{"limit": LIMIT, **options})
        async with harness.running():
            await harness.watch(count)
            await anyio.sleep(15)
            harness.upstream.set(f"task_{count - 1}", "COMPLETED")
            await anyio.sleep(45)
            yield harness
    assert harness.upstream.responses[429] == 0


async def test_changes_are_noticed_within_seconds(tmp_path: Path) -> None:
    async with watching(tmp_path) as harness:
        requests = Requests(harness)
        for number in range(10):
            await harness.assert_completions_noticed([task_ids(COUNT)[number * 7]], within=2.5)
        assert requests.changes >= 15
        assert requests.pages <= 4
        assert harness.poller.behind() < 10, "a confirmation waits for its share"
        assert harness.upstream.largest_body[LIST_TASKS] > COUNT * len('"task_1",')


async def test_all_tasks_that_end_at_once_are_noticed_page_by_page(tmp_path: Path) -> None:
    async with watching(tmp_path) as harness:
        await harness.assert_completions_noticed(task_ids(COUNT)[: COUNT - 1], within=6.0)
        assert (await harness.event_types()).count("task.completed") == COUNT


@pytest.mark.parametrize("paging", ["cursor", "offset"])
async def test_more_than_a_page_of_changes_is_read_to_its_end(tmp_path: Path, paging: Any) -> None:
    async with watching(tmp_path) as harness:
        harness.upstream.api.paging = paging
        requests = Requests(harness)
        await harness.assert_completions_noticed(task_ids(COUNT)[:1250], within=5.0)
        assert requests.pages <= 3


async def test_statuses_share_a_request(tmp_path: Path) -> None:
    async with watching(tmp_path) as harness:
        for number, status in enumerate(("PENDING", "QUEUED", "PROCESSING")):
            harness.set_status(task_ids(COUNT)[number * 100 : number * 100 + 100], status)
        harness.set_status(task_ids(COUNT)[1000:1005], "COMPLETED")
        await anyio.sleep(30)
        requests = Requests(harness)
        await anyio.sleep(60)
        assert max(requests.sizes) >= COUNT - 6
        harness.set_status(task_ids(COUNT)[300:400], "PENDING")
        await harness.assert_completions_noticed(task_ids(COUNT)[:1000:10], within=4.0)


async def test_a_deployment_without_nested_conditions_is_requested_status_by_status(
    tmp_path: Path,
) -> None:
    async with watching(tmp_path) as harness:
        harness.upstream.api.id_lists.nested = False
        harness.set_status(task_ids(COUNT)[:100], "QUEUED")
        await anyio.sleep(60)
        await harness.assert_completions_noticed(task_ids(COUNT)[:200:50], within=5.0)
        assert harness.source.changes.most_groups == 1
        assert harness.source.changes.capacity > 0


FAULTS: dict[str, dict[str, Any]] = {
    "condition ignored": {"status": "ignored"},
    "condition rejected": {"status": "rejected"},
    "cut at 1,000": {"read": 1000},
    "413": {"accepted": 1000, "rejection": 413},
    "400": {"accepted": 1000, "rejection": 400},
    "422": {"accepted": 1000, "rejection": 422},
    "reset": {"accepted": 1000, "rejection": "reset"},
    "slow": {"fast": 1000, "slow": 6.0},
    "timeout": {"fast": 1000, "slow": 60.0},
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_pages_are_used_while_changes_cannot_be_requested(
    tmp_path: Path, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "watcher.sources")
    async with watching(tmp_path) as harness:
        lists = harness.upstream.api.id_lists
        for name, value in FAULTS[fault].items():
            setattr(lists, name, value)
        slack = 10.0 if fault == "timeout" else 5.0
        for number in range(1, 6):
            changed = task_ids(COUNT)[number * 10 : number * 10 + 3]
            await harness.assert_completions_noticed(changed, within=PAGES_TAKE + slack)
            await anyio.sleep(10)
        assert len(caplog.records) == 1
        assert "are not used now" in caplog.messages[0]
        for name in FAULTS[fault]:
            setattr(lists, name, getattr(type(lists)(), name))
        await anyio.sleep(RECHECK_AFTER / 2)
        assert harness.source.changes.capacity > 0
        await harness.assert_completions_noticed(task_ids(COUNT)[500:503], within=3.0)
        assert len(caplog.records) == 1
        assert harness.poller.reason is None


@pytest.mark.parametrize("fault", [name for name in FAULTS if name not in ("slow", "timeout")])
async def test_no_change_is_noticed_later_than_by_pages_alone(tmp_path: Path, fault: str) -> None:
    async with watching(tmp_path, MANY) as harness:
        for name, value in FAULTS[fault].items():
            setattr(harness.upstream.api.id_lists, name, value)
        changed: dict[str, float] = {}
        for task_id in task_ids(MANY)[:-1:60]:
            changed[task_id] = wall()
            harness.set_status([task_id], "COMPLETED")
            await anyio.sleep(1.7)
        await anyio.sleep(30)
        delays = [await harness.completed_at(task_id) - at for task_id, at in changed.items()]
        assert max(delays) < MANY / PAGE_SIZE * harness.source.changes.spacing + 0.2


async def test_the_size_is_halved_until_it_works_and_grows_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "watcher.sources")
    async with watching(tmp_path, LARGE) as harness:
        harness.upstream.api.id_lists.accepted = 1700
        await anyio.sleep(40)
        assert 1000 <= harness.source.changes.size <= 1700
        await harness.assert_completions_noticed(task_ids(LARGE)[:3], within=5.0)
        harness.upstream.api.id_lists.accepted = None
        await anyio.sleep(160)
        assert harness.source.changes.size > 1700
    assert caplog.records == []


async def test_the_size_is_remembered_across_restarts(tmp_path: Path) -> None:
    async with watching(tmp_path, LARGE) as harness:
        harness.upstream.api.id_lists.accepted = 1700
        await anyio.sleep(40)
        learnt = harness.source.changes.size
        assert await harness.store.list_size("mixpeek") == learnt < LARGE
    async with opened(tmp_path) as store:
        restarted = Harness(store, limit=LIMIT)
        async with restarted.running():
            await anyio.sleep(1)
            assert restarted.source.changes.size == learnt
            assert restarted.source.changes.capacity == learnt


async def test_a_task_that_disappears_is_noticed_by_a_page(tmp_path: Path) -> None:
    async with watching(tmp_path, lost_after=60.0) as harness:
        harness.upstream.remove("task_7")
        await anyio.sleep(300 + 60 + 60)
        assert (await harness.event_types()).count("task.lost") == 1


async def test_a_sentinel_that_upstream_has_forgotten_is_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "watcher.sources")
    async with watching(tmp_path) as harness:
        harness.upstream.set("task_5", "COMPLETED")
        await anyio.sleep(5)
        harness.upstream.remove("task_5")
        await anyio.sleep(30)
        await harness.assert_completions_noticed(task_ids(COUNT)[10:13], within=4.0)
    assert caplog.records == []


async def test_without_a_sentinel_pages_are_used(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        harness = Harness(store, limit=LIMIT)
        async with harness.running():
            await harness.watch(COUNT)
            requests = Requests(harness)
            await anyio.sleep(40)
            assert requests.changes == 0
            harness.set_status(["task_9"], "PROCESSING")
            await anyio.sleep(30)
            assert requests.changes > 0, "a task in another status is a sentinel"


async def test_a_spelling_that_the_condition_cannot_see_is_polled(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "watcher.sources")
    async with watching(tmp_path) as harness:

        async def exactly(request: Request, forward: Forward) -> Response:
            if b'"ne"' not in request.body:
                return await forward(request)
            body = json.loads(request.body)
            body["filters"]["case_sensitive"] = True
            changed = Request(
                method=request.method,
                path=request.path,
                query=request.query,
                headers=request.headers,
                body=json.dumps(body).encode(),
            )
            return await forward(changed)

        intercept(harness.upstream, exactly)
        harness.set_status(task_ids(COUNT)[:20], "in_progress")
        await anyio.sleep(60)
        await harness.assert_completions_noticed(task_ids(COUNT)[:20], within=31.0)
        await harness.assert_completions_noticed(task_ids(COUNT)[30:33], within=4.0)
    assert caplog.records == []


async def test_an_answer_that_was_overtaken_is_no_change(tmp_path: Path) -> None:
    """The answer to a request for changes is from before a poll, and arrives after it."""
    async with watching(tmp_path) as harness:
        held = anyio.Event()
        release = anyio.Event()

        async def late(request: Request, forward: Forward) -> Response:
            answer = await forward(request)
            if b'"ne"' in request.body and b'"task_7"' in answer[2] and not release.is_set():
                held.set()
                await release.wait()
            return answer

        intercept(harness.upstream, late)
        harness.set_status(["task_7"], "QUEUED")
        await held.wait()
        harness.set_status(["task_7"], "PROCESSING")
        watches = await harness.store.find("task_7")
        harness.poller.track(watches)
        await anyio.sleep(4)
        release.set()
        await anyio.sleep(60)
        events = await harness.store.transitions(TaskKey("mixpeek", "task_7"))
        assert [event.status for event in events] == ["IN_PROGRESS", "PROCESSING"]


async def test_without_a_limit_changes_are_requested_at_the_longest_interval(
    tmp_path: Path,
) -> None:
    async with watching(tmp_path, limit=None) as harness:
        requests = Requests(harness)
        await anyio.sleep(600)
        assert requests.changes <= 24
        assert requests.pages <= 2 * 4
        await harness.assert_completions_noticed(task_ids(COUNT)[::300], within=31.5)


async def test_the_size_in_use_is_a_metric(tmp_path: Path) -> None:
    async with watching(tmp_path) as harness:
        name, labels = "watcher_list_ids_per_request", {"source": "mixpeek"}
        assert harness.metrics.registry.get_sample_value(name, labels) == 10_000
        harness.upstream.api.id_lists.status = "ignored"
        await anyio.sleep(5)
        assert harness.metrics.registry.get_sample_value(name, labels) == 1000


async def test_stored_watches_are_covered_soon_after_a_restart(tmp_path: Path) -> None:
    async with watching(tmp_path) as harness:
        upstream = harness.upstream
    async with opened(tmp_path) as store:
        restarted = Harness(store, limit=LIMIT)
        restarted.upstream.api.tasks = upstream.api.tasks
        async for watches in restarted.store.active_watches({"mixpeek": None}):
            restarted.poller.restore(watches)
        began = wall()
        async with restarted.running():
            await anyio.sleep(15)
            await restarted.assert_completions_noticed(task_ids(COUNT)[:9], within=3.0)
        assert wall() - began < 60
