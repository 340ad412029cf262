"""Task lists as deployments really have them, over real sockets."""

import itertools
import json
from dataclasses import replace
from typing import Any

import anyio
import pytest

from tests.acceptance.daemon import Site, add
from tests.sources import list_faults
from tests.sources.harness import LIST_PATH
from tests.sources.list_faults import Fault
from tests.support.fake_upstream import Forward, Response, intercept
from watcher.testing.mixpeek_request import Request

pytestmark = pytest.mark.anyio

LIST = "POST /v1/tasks/list"
COUNT = 600
NAMES = [f"task_{number}" for number in range(COUNT)]


def install(site: Site, fault: Fault) -> None:
    """Let `fault` answer all requests of the list."""

    async def answer(request: Request, forward: Forward) -> Response:
        if request.path != LIST_PATH:
            return await forward(request)
        answered: Response = await fault(request, forward)
        return answered

    intercept(site.upstream, answer)


@pytest.mark.parametrize(
    ("fault", "most_gets"),
    [
        pytest.param(list_faults.filter_cap(170), 60, id="cut"),
        pytest.param(list_faults.fails_if_large(100, 413), 60, id="413"),
        pytest.param(list_faults.fails_if_large(100, 502), 60, id="502"),
        pytest.param(list_faults.fails_with({"task_77"}, 500), 500, id="one task"),
        pytest.param(list_faults.fails_with({"task_77"}, 422), 500, id="one task, 422"),
    ],
)
async def test_changes_are_sent_at_once_although_the_list_fails(
    site: Site, fault: Fault, most_gets: int
) -> None:
    for name in NAMES:
        site.upstream.set(name, "IN_PROGRESS")
    install(site, fault)
    async with site.daemon(
        WATCHER_POLLING__MIN_INTERVAL="1s", WATCHER_POLLING__MAX_INTERVAL="2s"
    ) as daemon:
        await add(daemon, *NAMES)
        await site.until_received("task.in_progress", COUNT)
        for name in NAMES:
            site.upstream.set(name, "COMPLETED")
        await site.until_received("task.completed", COUNT)
        assert await daemon.stop() == 0
    assert site.upstream.requests["GET /v1/tasks/{task_id}"] <= most_gets
    warnings = daemon.messages("warning")
    assert len([message for message in warnings if "task_77" in message]) <= 1


async def test_one_403_of_a_gateway_does_not_turn_the_list_off(site: Site) -> None:
    numbers = itertools.count(1)

    async def once(request: Request, forward: Forward) -> Response:
        if next(numbers) == 2:
            return 403, {}, b"<html>Attention Required! | Cloudflare</html>"
        return await forward(request)

    for name in NAMES:
        site.upstream.set(name, "IN_PROGRESS")
    install(site, once)
    async with site.daemon() as daemon:
        await add(daemon, *NAMES)
        await site.until_received("task.in_progress", COUNT)
        await site.until(lambda: site.upstream.requests[LIST] >= 6)
        assert await daemon.stop() == 0
    assert site.upstream.requests["GET /v1/tasks/{task_id}"] < 100


@pytest.mark.parametrize("results", ["same", "none", "70 KB"])
async def test_a_list_that_never_ends_delays_nothing(site: Site, results: str) -> None:
    names = NAMES[:20]
    for name in names:
        site.upstream.set(name, "IN_PROGRESS")
    install(site, list_faults.endless(results))
    rules = [{"list": "tasks", "every": "1s", "max_pages": 5}]
    async with site.daemon(WATCHER_DISCOVERY=json.dumps(rules)) as daemon:
        await add(daemon, *names)
        await site.until_received("task.in_progress", 20)
        for name in names:
            site.upstream.set(name, "COMPLETED")
        await site.until_received("task.completed", 20)
        listed: Any = await site.json(daemon, "tasks")
        assert len(listed) < 200
        assert await daemon.stop() == 0


async def test_a_rule_without_dates_costs_one_request_per_run_and_finds_what_is_new(
    site: Site,
) -> None:
    pages: list[bytes] = []

    async def counting(request: Request, forward: Forward) -> Response:
        content = json.loads(request.body)
        if "filters" not in content:
            pages.append(request.body)
        content.pop("sort", None)
        return await forward(replace(request, body=json.dumps(content).encode()))

    for number in range(3500):
        site.upstream.set(f"old_{number}", "COMPLETED")
    install(site, counting)
    rules = [{"list": "tasks", "every": "500ms"}]
    async with site.daemon(WATCHER_DISCOVERY=json.dumps(rules)) as daemon:
        await site.until(lambda: len(pages) >= 4)
        await anyio.sleep(3)
        assert len(pages) <= 4 + 8
        site.upstream.set("task_new", "FAILED")
        await site.until_received("task.failed", 1)
        assert await daemon.stop() == 0
