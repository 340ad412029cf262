"""Polling within limits, and through an outage."""

import logging
from collections import defaultdict
from pathlib import Path

import anyio
import pytest

from tests.sources.harness import LIST_PATH, Harness, task_ids
from tests.support.fake_upstream import Forward, Response, intercept
from tests.support.stores import opened
from tests.support.virtual_time import wall
from watcher.testing.mixpeek_request import Request

pytestmark = pytest.mark.anyio

OUTAGE_BEGINS = 300.0
OUTAGE_LASTS = 600.0


async def test_an_outage_is_one_event_each_way_and_changes_during_it_are_sent_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with opened(tmp_path) as store:
        harness = Harness(store, limit=60)
        _simulate_outage(harness)
        async with harness.running():
            await harness.watch(1000)
            await anyio.sleep(OUTAGE_BEGINS)
            caplog.clear()
            harness.set_status(task_ids(300), "FAILED")
            await anyio.sleep(OUTAGE_LASTS)
            await anyio.sleep(60)
        events = await harness.store.events_after(0, 10_000)

    times: defaultdict[str, list[float]] = defaultdict(list)
    for event in events:
        times[event.type].append(event.at)
    assert len(times["source.unreachable"]) == len(times["source.recovered"]) == 1
    outage_ended = wall() - anyio.current_time() + OUTAGE_BEGINS + OUTAGE_LASTS
    assert times["source.recovered"][0] - outage_ended <= 35
    assert len(times["task.failed"]) == 300
    assert max(times["task.failed"]) - times["source.recovered"][0] <= 10
    assert harness.upstream.requests["during outage"] <= 90
    assert len(caplog.records) <= 4


def _simulate_outage(harness: Harness) -> None:
    async def fail(request: Request, forward: Forward) -> Response:
        if OUTAGE_BEGINS <= anyio.current_time() < OUTAGE_BEGINS + OUTAGE_LASTS:
            harness.upstream.requests["during outage"] += 1
            return 502, {}, b"<html>Bad Gateway</html>"
        return await forward(request)

    intercept(harness.upstream, fail)


@pytest.mark.parametrize("limit", [10, 60])
async def test_thousands_of_tasks_are_polled_within_the_limit(tmp_path: Path, limit: int) -> None:
    async with opened(tmp_path) as store:
        harness = Harness(store, limit=limit)
        harness.upstream.sends_rate_limit_headers = True
        async with harness.running():
            await harness.watch(3000)
            await anyio.sleep(120)
            await harness.assert_completions_noticed(task_ids(3000)[::100], within=31.0)
            assert harness.upstream.responses[429] == 0
            assert harness.list_requests <= limit * 2.6


async def test_retry_after_is_honoured_to_the_second(harness: Harness) -> None:
    times: list[float] = []

    async def limit_third(request: Request, forward: Forward) -> Response:
        if request.path == LIST_PATH:
            times.append(anyio.current_time())
            if len(times) == 3:
                return 429, {"retry-after": "17"}, b"{}"
        return await forward(request)

    intercept(harness.upstream, limit_third)
    async with harness.running():
        await harness.watch(100)
        await anyio.sleep(60)
    assert 17 <= times[3] - times[2] <= 18
