"""What rules find by themselves: the real calls over the upstream in memory, in virtual time."""

import itertools
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest
from prometheus_client import CollectorRegistry

from tests.support.fake_upstream import transport
from tests.support.minimal_source import minimal_source
from tests.support.stores import opened
from tests.support.virtual_time import VirtualLoop, attentive, wall
from watcher.core.errors import SourceError
from watcher.core.interfaces.source import Source
from watcher.core.settings import DiscoverySettings
from watcher.core.tasks import TaskKey, Watch, WatchFilter, WatchState
from watcher.polling.discovery import Discovery, rule_key, rule_label
from watcher.sources.mixpeek import source as mixpeek
from watcher.telemetry.metrics import Metrics
from watcher.testing.mixpeek_request import Request
from watcher.testing.mixpeek_server import FakeUpstream

pytestmark = pytest.mark.anyio

LIST = "POST /v1/tasks/list"


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


class Harness:
    """A store and an upstream, and rules between them."""

    def __init__(self, store: Any) -> None:
        self.store = attentive(store)
        self.upstream = FakeUpstream()
        self.metrics = Metrics(CollectorRegistry(), "test")
        settings = mixpeek.Settings(
            base_url="https://upstream",
            api_key="sk_made_up",
            requests_per_minute=None,
            namespace="ns_1",
        )
        metrics = self.metrics.source("mixpeek")
        self.source: Source = mixpeek.create(
            settings, transport=transport(self.upstream), metrics=metrics, wall=wall
        )
        self.tracked: list[str] = []
        self.ends: list[SourceError | None] = []
        self.down = False

    def rule(self, **given: Any) -> Discovery:
        rule = DiscoverySettings.model_validate({"list": "tasks", **given})
        return Discovery(
            source_name="mixpeek",
            label=rule_label(0, rule),
            rule=rule,
            source=self.source,
            store=self.store,
            track=self.track,
            paused=lambda: self.down,
            ended=self.note_end,
            metrics=self.metrics.rule("mixpeek", rule_label(0, rule)),
            wall=wall,
        )

    async def note_end(self, error: SourceError | None) -> None:
        self.ends.append(error)

    def track(self, watches: Any) -> None:
        self.tracked += [watch.key.task_id for watch in watches]

    async def watches(self, state: WatchState | None = None) -> list[Watch]:
        found, cursor = [], None
        while True:
            page, cursor = await self.store.list_watches(WatchFilter(state=state), 1000, cursor)
            found += page
            if cursor is None:
                return found

    async def ids(self, state: WatchState | None = None) -> set[str]:
        return {watch.key.task_id for watch in await self.watches(state)}

    def sample(self, name: str, label: str = "0 tasks") -> float | None:
        return self.metrics.registry.get_sample_value(
            f"watcher_discovery_{name}", {"source": "mixpeek", "rule": label}
        )

    def show(self, numbers: range, status: str = "IN_PROGRESS", **fields: Any) -> None:
        for number in numbers:
            created = f"2026-11-23T07:00:00.{number:06}Z"
            self.upstream.set(f"task_{number}", status, created_at=created, **fields)


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    async with opened(tmp_path) as store:
        yield Harness(store)


@asynccontextmanager
async def running(discovery: Discovery) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(discovery.run)
        yield
        tasks.cancel_scope.cancel()


async def test_what_is_finished_at_first_is_stored_in_silence_and_what_appears_later_is_not(
    harness: Harness,
) -> None:
    harness.show(range(3))
    harness.show(range(3, 5), "FAILED")
    async with running(harness.rule(labels={"team": "search"})):
        await anyio.sleep(1)
        assert set(harness.tracked) == {"task_0", "task_1", "task_2"}
        assert await harness.ids(WatchState.DONE) == {"task_3", "task_4"}
        assert await harness.store.events_after(0, 10) == []
        harness.show(range(5, 6))
        harness.show(range(6, 7), "FAILED")
        await anyio.sleep(60)

    assert set(harness.tracked[3:]) == {"task_5", "task_6"}
    watches = {watch.key.task_id: watch for watch in await harness.watches()}
    assert watches["task_6"].state is WatchState.ACTIVE
    assert {tuple(watch.labels.items()) for watch in watches.values()} == {(("team", "search"),)}
    assert (watches["task_4"].status, watches["task_4"].sequence) == ("FAILED", 0)


async def test_what_was_seen_stays_known_after_it_has_left_the_watchlist(harness: Harness) -> None:
    harness.show(range(4))
    async with running(harness.rule(every="1h")):
        await anyio.sleep(1)
        await harness.store.remove(TaskKey("mixpeek", "task_1"))
        harness.show(range(4), "COMPLETED")
        await anyio.sleep(30 * 86400)
    async with running(harness.rule()):
        await anyio.sleep(600)

    assert sorted(harness.tracked) == ["task_0", "task_1", "task_2", "task_3"]


async def test_a_list_that_is_empty_by_mistake_makes_nothing_new(harness: Harness) -> None:
    harness.show(range(50), "COMPLETED")
    async with running(harness.rule(every="10m")):
        await anyio.sleep(3600)
        kept, harness.upstream.api.tasks = harness.upstream.api.tasks, {}
        await anyio.sleep(86400)
        harness.upstream.api.tasks = kept
        await anyio.sleep(3600)

    assert harness.tracked == []


async def test_what_is_long_gone_is_forgotten(harness: Harness) -> None:
    harness.show(range(5))
    async with running(harness.rule(every="1h")):
        await anyio.sleep(1)
        harness.upstream.remove("task_1")
        await harness.store.remove(TaskKey("mixpeek", "task_1"))
        await anyio.sleep(20 * 86400)
        harness.show(range(1, 2))
        await anyio.sleep(3700)

    assert harness.tracked.count("task_1") == 2
    assert harness.tracked.count("task_2") == 1


async def test_newest_first_it_stops_at_what_it_has_seen(harness: Harness) -> None:
    harness.show(range(5000))
    async with running(harness.rule()):
        await anyio.sleep(1)
        assert harness.upstream.requests[LIST] == 5
        harness.show(range(5000, 5010))
        await anyio.sleep(60)
        assert harness.upstream.requests[LIST] == 6
        await anyio.sleep(3600)
        assert 65 <= harness.upstream.requests[LIST] <= 75

    assert len(harness.tracked) == len(set(harness.tracked)) == 5010


async def test_a_list_that_grows_while_it_is_read_is_read_on(harness: Harness) -> None:
    harness.show(range(100))
    harness.upstream.api.page_cap = 50
    answer = harness.upstream.answer

    async def growing(requested: Request) -> Any:
        reply = await answer(requested)
        number = len(harness.upstream.api.tasks)
        if number < 500:
            harness.show(range(number, number + 10))
        return reply

    async with running(harness.rule()):
        await anyio.sleep(1)
        harness.show(range(100, 300))
        harness.upstream.answer = growing  # type: ignore[method-assign]
        await anyio.sleep(59.5)
        assert set(harness.tracked) >= {f"task_{number}" for number in range(300)}


@pytest.mark.parametrize(
    "given", [{"status": "FAILED"}, {"filters": {"status": "FAILED"}}, {"search": "FAILED"}]
)
async def test_a_task_may_enter_a_filtered_list_late(
    harness: Harness, given: dict[str, Any]
) -> None:
    harness.show(range(1500), "IN_PROGRESS")
    harness.show(range(700, 1400), "FAILED")
    async with running(harness.rule(**given)):
        await anyio.sleep(1)
        assert harness.tracked == []
        harness.show(range(3), "FAILED")
        await anyio.sleep(60)

    assert sorted(harness.tracked) == ["task_0", "task_1", "task_2"]


async def test_an_order_that_is_not_proven_is_not_relied_on(harness: Harness) -> None:
    for number in range(1500):
        harness.upstream.set(
            f"task_{number}", "COMPLETED"
        )  # no created_at: sorted by nothing, the newest come last
    async with running(harness.rule()):
        await anyio.sleep(1)
        harness.upstream.set("task_new", "COMPLETED")
        await anyio.sleep(60)

    assert harness.tracked == ["task_new"]


async def test_an_order_that_is_rejected_is_done_without(harness: Harness) -> None:
    answer = harness.upstream.answer

    async def strict(requested: Request) -> Any:
        if b'"sort"' in requested.body:
            harness.upstream.requests["sorted"] += 1
            return 422, {}, b'{"error": {"message": "sort is not supported"}}'
        return await answer(requested)

    harness.upstream.answer = strict  # type: ignore[method-assign]
    harness.show(range(10))
    async with running(harness.rule()):
        await anyio.sleep(600)

    assert len(harness.tracked) == 10
    assert harness.upstream.requests["sorted"] == 1


async def test_more_than_max_pages_is_left_and_shown(harness: Harness) -> None:
    harness.show(range(3500))
    async with running(harness.rule(max_pages=2)):
        await anyio.sleep(1)

    assert len(harness.tracked) == 2000
    assert "task_3499" in harness.tracked
    assert harness.upstream.requests[LIST] == 2
    assert harness.sample("truncated") == 1
    assert harness.sample("tasks_total") == 2000
    assert harness.sample("requests_total") == 2


async def test_five_thousand_tasks_that_change_meanwhile_are_found_once_each(
    harness: Harness,
) -> None:
    harness.show(range(5000))
    random = Random(4)
    harness.upstream.api.page_cap = 200
    answer = harness.upstream.answer
    number = 5000

    async def changing(requested: Request) -> Any:
        nonlocal number
        harness.show(range(number, number + 7))
        number += 7
        for name in random.sample(sorted(harness.upstream.api.tasks), 20):
            harness.upstream.set(name, random.choice(["IN_PROGRESS", "FAILED", "COMPLETED"]))
        return await answer(requested)

    harness.upstream.answer = changing  # type: ignore[method-assign]
    async with running(harness.rule(max_pages=50)):
        await anyio.sleep(1)
        harness.upstream.answer = answer  # type: ignore[method-assign]
        await anyio.sleep(3700)

    assert len(harness.tracked) == len(set(harness.tracked))
    assert await harness.ids() == set(harness.upstream.api.tasks)


def batch(harness: Harness, number: int, status: str, *tiers: str | None) -> None:
    harness.upstream.api.batches[f"batch_{number}"] = {
        "batch_id": f"batch_{number}",
        "bucket_id": "bkt_1" if number < 10 else "bkt_2",
        "namespace_id": "ns_1",
        "status": status,
        "task_id": None if status == "DRAFT" else f"task_{number}",
        "tier_tasks": [
            {"tier_num": n, "task_id": one, "status": status} for n, one in enumerate(tiers)
        ],
    }


async def test_a_batchs_task_and_each_tiers_join_as_they_appear(harness: Harness) -> None:
    batch(harness, 1, "DRAFT")
    batch(harness, 2, "IN_PROGRESS", "tier_a", None)
    batch(harness, 3, "COMPLETED", "tier_old")
    batch(harness, 11, "IN_PROGRESS")
    async with running(harness.rule(list="batches", bucket="bkt_1")):
        await anyio.sleep(1)
        assert harness.tracked == ["task_2", "tier_a"]
        batch(harness, 1, "IN_PROGRESS", "tier_c")
        batch(harness, 2, "IN_PROGRESS", "tier_a", "tier_b")
        await anyio.sleep(60)

    assert harness.tracked == ["task_2", "tier_a", "task_1", "tier_c", "tier_b"]
    assert await harness.ids(WatchState.DONE) == {"task_3", "tier_old"}


async def test_batches_of_every_bucket(harness: Harness) -> None:
    batch(harness, 1, "IN_PROGRESS")
    batch(harness, 11, "IN_PROGRESS")
    async with running(harness.rule(list="batches")):
        await anyio.sleep(1)

    assert harness.tracked == ["task_1", "task_11"]


async def test_a_source_that_is_down_is_left_alone(harness: Harness) -> None:
    harness.show(range(2))
    harness.down = True
    async with running(harness.rule()):
        await anyio.sleep(600)
        assert not harness.upstream.requests
        harness.down = False
        await anyio.sleep(60)
    assert len(harness.tracked) == 2


async def test_a_list_that_fails_is_said_rarely_and_tried_again_and_is_first_until_it_ends(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    harness.show(range(1500), "COMPLETED")
    answer = harness.upstream.answer

    async def failing(requested: Request) -> Any:
        if b"cursor" in str(requested.query).encode():
            return 500, {}, b"oops"
        return await answer(requested)

    harness.upstream.answer = failing  # type: ignore[method-assign]
    async with running(harness.rule()):
        await anyio.sleep(900)
        assert harness.sample("failing") == 1
        assert harness.sample("last_success_timestamp_seconds") == 0
        harness.upstream.answer = answer  # type: ignore[method-assign]
        await anyio.sleep(60)
        assert harness.sample("failing") == 0
        assert (harness.sample("last_success_timestamp_seconds") or 0.0) > 0
        harness.show(range(1500, 1501), "COMPLETED")
        await anyio.sleep(60)

    assert len(caplog.records) == 2
    assert harness.tracked == ["task_1500"]


def test_a_rule_is_known_by_what_it_lists() -> None:
    def key(**given: Any) -> str:
        return rule_key("mixpeek", DiscoverySettings.model_validate({"list": "tasks", **given}))

    assert key() == key(every="5m", labels={"a": "b"}, max_pages=3, source="mixpeek")
    assert (
        len(
            {
                key(),
                key(status="FAILED"),
                key(search="x"),
                key(list="batches"),
                key(list="batches", bucket="b"),
            }
        )
        == 5
    )


@pytest.mark.parametrize("listed", ["tasks", "batches"])
async def test_a_rule_that_the_source_does_not_support_is_reported_once_and_inactive(
    harness: Harness, listed: str, caplog: pytest.LogCaptureFixture
) -> None:
    harness.source = minimal_source()
    discovery = harness.rule(list=listed)
    await discovery.run()
    await discovery.run_once()
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "does not support it" in caplog.text
    assert not await harness.store.rule_ran(rule_key("mixpeek", DiscoverySettings(list=listed)))


KNOWN = 10_000
PAGES = 10


async def test_a_run_without_anything_new_takes_one_request(harness: Harness) -> None:
    """Without `created_at`, which no public model has."""
    for number in range(KNOWN):
        harness.upstream.set(f"task_{number}", "IN_PROGRESS")
    async with running(harness.rule()):
        await anyio.sleep(1)
        assert harness.upstream.requests[LIST] == PAGES
        await anyio.sleep(2 * 3600)
        assert harness.upstream.requests[LIST] <= PAGES + 121
    assert len(harness.tracked) == KNOWN


@pytest.mark.parametrize("place", ["first", "middle", "last"])
@pytest.mark.parametrize(("totals", "runs"), [(True, 1), (False, 2 * PAGES)])
async def test_a_new_task_on_any_page_is_found_within_a_bounded_number_of_runs(
    harness: Harness, place: str, totals: bool, runs: int
) -> None:
    answer = harness.upstream.answer

    async def ignoring_sort(requested: Request) -> Any:
        content = json.loads(requested.body)
        content.pop("sort", None)
        query = dict(requested.query)
        if not totals:
            query.pop("include_total", None)
        return await answer(replace(requested, query=query, body=json.dumps(content).encode()))

    harness.upstream.answer = ignoring_sort  # type: ignore[method-assign]
    for number in range(KNOWN - 500):
        harness.upstream.set(f"task_{number}", "COMPLETED")
    async with running(harness.rule()):
        await anyio.sleep(1)
        tasks = list(harness.upstream.api.tasks.items())
        position = {"first": 0, "middle": 5500, "last": len(tasks)}[place]
        new = ("task_new", {**tasks[0][1], "task_id": "task_new"})
        harness.upstream.api.tasks = dict([*tasks[:position], new, *tasks[position:]])
        await anyio.sleep(runs * 60)

    assert harness.tracked == ["task_new"]


async def test_a_total_that_grows_without_a_new_task_is_looked_into_ever_less_often(
    harness: Harness,
) -> None:
    for number in range(2500):
        harness.upstream.set(f"task_{number}", "FAILED")
    async with running(harness.rule(status="FAILED")):
        await anyio.sleep(1)
        before = harness.upstream.requests[LIST]
        for _ in range(120):
            harness.upstream.set("task_0", "IN_PROGRESS")
            await anyio.sleep(60)
            harness.upstream.set("task_0", "FAILED")
            await anyio.sleep(60)
        assert harness.upstream.requests[LIST] - before <= 240 + 10 * 3


async def test_a_page_whose_cursor_is_rejected_is_read_later(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3500):
        harness.upstream.set(f"task_{number}", "COMPLETED")
    answer = harness.upstream.answer
    expired = False

    async def expiring(requested: Request) -> Any:
        if expired and "cursor" in requested.query:
            return 400, {}, b'{"error": {"message": "Invalid cursor"}}'
        return await answer(requested)

    harness.upstream.answer = expiring  # type: ignore[method-assign]
    async with running(harness.rule()):
        await anyio.sleep(1)
        expired = True
        await anyio.sleep(600)
        expired = False
        harness.upstream.set("task_new", "COMPLETED")
        await anyio.sleep(600)
    assert harness.tracked == ["task_new"]


@pytest.mark.parametrize(
    "body",
    [
        b"<html>login</html>",
        b'{"results": [null, 7, {"task_id": 7}, {"tier_tasks": "x"}], "pagination": []}',
        b'{"results": [], "pagination": {"next_cursor": "' + b"x" * 70_000 + b'"}}',
        b'{"results": [], "pagination": {"next_cursor": {"a": 1}, "next_page": true}}',
        b'{"results": {}}',
    ],
)
@pytest.mark.parametrize("listed", ["tasks", "batches"])
async def test_whatever_a_list_answers_its_rule_goes_on(
    harness: Harness, body: bytes, listed: str
) -> None:
    answer = harness.upstream.answer
    odd = True

    async def answering(requested: Request) -> Any:
        return (200, {}, body) if odd else await answer(requested)

    harness.upstream.answer = answering  # type: ignore[method-assign]
    async with running(harness.rule(list=listed)):
        await anyio.sleep(600)
        odd = False
        harness.show(range(1))
        batch(harness, 0, "IN_PROGRESS")
        await anyio.sleep(60)
    assert harness.tracked == ["task_0"]


async def test_a_list_that_never_ends_is_read_up_to_max_pages(harness: Harness) -> None:
    numbers = itertools.count(1)

    async def endless(requested: Request) -> Any:
        number = next(numbers)
        content = {
            "results": [{"task_id": f"task_{number}", "status": "COMPLETED"}],
            "pagination": {"next_cursor": f"c{number}", "next_page": True},
        }
        return 200, {}, json.dumps(content).encode()

    harness.upstream.answer = endless  # type: ignore[method-assign]
    async with running(harness.rule(max_pages=5)):
        await anyio.sleep(1)
        assert next(numbers) == 6


async def test_pages_that_repeat_end_a_read(harness: Harness) -> None:
    numbers = itertools.count(1)

    async def repeating(requested: Request) -> Any:
        content = {
            "results": [{"task_id": "task_1", "status": "COMPLETED"}],
            "pagination": {"next_cursor": f"c{next(numbers)}"},
        }
        return 200, {}, json.dumps(content).encode()

    harness.upstream.answer = repeating  # type: ignore[method-assign]
    async with running(harness.rule()):
        await anyio.sleep(601)
        assert next(numbers) <= 3 + 10 + 1


async def test_a_finished_task_that_is_listed_as_running_twice_is_watched_again(
    harness: Harness,
) -> None:
    harness.show(range(3), "COMPLETED")
    async with running(harness.rule()):
        await anyio.sleep(1)
        harness.show(range(1), "IN_PROGRESS")
        harness.show(range(1, 2), "IN_PROGRESS")
        await anyio.sleep(60)
        assert harness.tracked == []
        harness.show(range(1, 2), "COMPLETED")
        await anyio.sleep(60)
        assert harness.tracked == ["task_0"]
        assert await harness.ids(WatchState.ACTIVE) == {"task_0"}
        await anyio.sleep(600)
    assert harness.tracked == ["task_0"]


async def test_tasks_with_invalid_ids_are_skipped_counted_and_logged_once(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.show(range(2), task_type="t" * 1_000_000)
    for bad in ("..", ".", "a/b", "a%2fb", "a\\b", "a\x1b[2J", "a\u202eb", "a b", "x" * 1_000_000):
        harness.upstream.set(bad, "IN_PROGRESS")
    discovery = harness.rule()
    await discovery.run_once()
    await discovery.run_once()

    assert await harness.ids() == {"task_0", "task_1"}
    assert harness.sample("skipped_total") == 18
    (record,) = (record for record in caplog.records if "skipped" in record.getMessage())
    assert "9 tasks are skipped" in record.getMessage()
    assert {len(watch.task_type or "") for watch in await harness.watches()} <= {0, 256}
