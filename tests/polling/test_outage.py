"""A source that fails, and recovers."""

import json
from collections.abc import AsyncGenerator, Sequence

import anyio
import pytest

from tests.polling.harness import Harness, ScriptedSource, names, running
from tests.support.virtual_time import wall
from watcher.core.clock import parse_rfc3339
from watcher.core.errors import ErrorReply, SourceError, SourceFailure
from watcher.core.outage import Outage
from watcher.core.tasks import Answer

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "reason", [SourceFailure.TIMEOUT, SourceFailure.CONNECT, SourceFailure.UNAVAILABLE]
)
async def test_an_upstream_that_is_down_is_said_once_probed_rarely_and_caught_up_with(
    harness: Harness, caplog: pytest.LogCaptureFixture, reason: SourceFailure
) -> None:
    async with running(harness.poller):
        for name in names(50):
            harness.source.shown[name] = "IN_PROGRESS"
        await harness.watch(*names(50))
        await anyio.sleep(300)
        harness.source.trouble = SourceError(reason, "no answer")
        await anyio.sleep(120)
        assert harness.up() == 0
        count = len(harness.source.polls)
        await anyio.sleep(3600)
        assert len(harness.source.polls) - count <= 3600 / 30 + 1
        for name in names(50):
            harness.source.shown[name] = "COMPLETED"
        harness.source.trouble = None
        await anyio.sleep(35)
        assert harness.up() == 1
        outage = harness.poller.outage
        assert outage.last_error == "no answer"
        assert outage.last_error_at is not None
        assert wall() - 80 < outage.last_error_at < wall()

    types = await harness.types()
    assert types.count("task.completed") == 50
    assert [kind for kind in types if kind.startswith("source")] == [
        "source.unreachable",
        "source.recovered",
    ]
    assert sum("is down" in record.message for record in caplog.records) == 1
    assert len(caplog.records) < 10


async def test_the_events_of_a_source_that_is_down(harness: Harness) -> None:
    async with running(harness.poller):
        harness.source.shown["task_1"] = "IN_PROGRESS"
        await harness.watch("task_1")
        await anyio.sleep(100)
        harness.source.trouble = SourceError(
            SourceFailure.UNAVAILABLE, "HTTP 503: down", reply=ErrorReply(status=503)
        )
        began = wall()
        await anyio.sleep(200)
        harness.source.trouble = None
        await anyio.sleep(60)

    events = [event for event in await harness.events() if event.type.startswith("source.")]
    assert [event.type for event in events] == ["source.unreachable", "source.recovered"]
    for event in events:
        sent = json.loads(event.body)["data"]
        since = parse_rfc3339(sent.pop("since"))
        assert sent == {
            "source": "mixpeek",
            "reason": "unavailable",
            "status": 503,
            "error": "HTTP 503: down",
            "active_watches": 1,
        }
        assert began <= since <= began + 31


async def test_a_restart_neither_repeats_nor_forgets_that_a_source_is_down(
    harness: Harness,
) -> None:
    harness.source.shown["task_1"] = "IN_PROGRESS"
    harness.source.trouble = SourceError(SourceFailure.CONNECT, "no answer")
    async with running(harness.poller):
        await harness.watch("task_1")
        await anyio.sleep(300)
    for seconds in (300, 30):
        harness.poller = harness.new_poller()
        async for watches in harness.store.active_watches({"mixpeek": None}):
            harness.poller.restore(watches)
        async with running(harness.poller):
            await anyio.sleep(seconds)
    assert await harness.types() == ["source.unreachable"]

    harness.source.trouble = None
    harness.poller = harness.new_poller()
    async for watches in harness.store.active_watches({"mixpeek": None}):
        harness.poller.restore(watches)
    async with running(harness.poller):
        await anyio.sleep(35)
    assert await harness.types() == ["source.unreachable", "task.in_progress", "source.recovered"]


async def test_an_outage_of_tasks_that_are_taken_over_is_ended(harness: Harness) -> None:
    harness.source.shown["task_1"] = "IN_PROGRESS"
    async with running(harness.poller):
        await harness.watch("task_1")
        await anyio.sleep(100)
        outage = Outage(subject="source mixpeek", since=wall() - 60, alerted_at=wall())
        await harness.store.record_outage(None, outage)
        harness.poller.outage.take_over()
        await anyio.sleep(100)
    assert await harness.types() == ["task.in_progress", "source.recovered"]
    assert await harness.store.outage("source mixpeek") is None


async def test_a_bad_key_takes_the_source_down_at_once_in_one_clear_line(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.source.trouble = SourceError(SourceFailure.UNAUTHORIZED, "HTTP 401")
    async with running(harness.poller):
        await harness.watch(*names(3))
        await anyio.sleep(1)
        assert harness.up() == 0
        await anyio.sleep(600)

    assert len(harness.source.polls) <= 3 + 600 / 30 + 1
    assert [record.message for record in caplog.records] == [
        "source 'mixpeek' rejects the API key (HTTP 401); set a valid api_key"
    ]


async def test_a_forbidden_task_among_others_is_no_trouble_of_the_source(harness: Harness) -> None:
    class Partly(ScriptedSource):
        async def fetch(self, task_ids: Sequence[str]) -> AsyncGenerator[Sequence[Answer], None]:
            if task_ids[0] == "task_1":
                raise SourceError(SourceFailure.FORBIDDEN, "HTTP 403")
            async for answers in super().fetch(task_ids):
                yield answers

    harness.source = Partly()
    harness.source.shown["task_2"] = "IN_PROGRESS"
    harness.poller = harness.new_poller()
    async with running(harness.poller):
        await harness.watch("task_1", "task_2")
        await anyio.sleep(600)
        assert harness.up() == 1


@pytest.mark.parametrize("reason", list(SourceFailure))
async def test_a_source_that_teaches_nothing_is_down_whatever_it_answers(
    harness: Harness, reason: SourceFailure
) -> None:
    harness.source.shown |= dict.fromkeys(names(3), "IN_PROGRESS")
    async with running(harness.poller):
        await harness.watch(*names(3))
        await anyio.sleep(100)
        last_success = harness.last_success()
        harness.source.trouble = SourceError(reason, "HTTP 4xx")
        await anyio.sleep(100)
        assert harness.up() == 0
        assert harness.last_success() - last_success <= 30
        await anyio.sleep(600)
        harness.source.trouble = None
        await anyio.sleep(65)
        assert harness.up() == 1

    assert [kind for kind in await harness.types() if kind.startswith("source")] == [
        "source.unreachable",
        "source.recovered",
    ]


async def test_a_source_that_limits_the_rate_now_and_then_stays_up(harness: Harness) -> None:
    harness.source.shown["task_1"] = "IN_PROGRESS"
    limited = SourceError(SourceFailure.RATE_LIMITED, "HTTP 429", retry_after=1.0)
    async with running(harness.poller):
        await harness.watch("task_1")
        for _ in range(20):
            harness.source.trouble = limited
            await anyio.sleep(40)
            harness.source.trouble = None
            await anyio.sleep(40)

    assert await harness.types() == ["task.in_progress"]


async def test_a_long_retry_after_takes_the_source_down_after_the_limit(harness: Harness) -> None:
    class Pausing(ScriptedSource):
        """Sends nothing for five minutes after an answer with `Retry-After`."""

        async def fetch(self, task_ids: Sequence[str]) -> AsyncGenerator[Sequence[Answer], None]:
            self._free_at = anyio.current_time() + 300
            raise SourceError(SourceFailure.UNAVAILABLE, "HTTP 503", retry_after=86400.0)
            yield []

    harness.source = Pausing()
    harness.poller = harness.new_poller()
    async with running(harness.poller):
        await harness.watch(*names(3))
        await anyio.sleep(59)
        assert harness.up() is None
        await anyio.sleep(12)
        assert harness.up() == 0

    assert await harness.types() == ["source.unreachable"]


async def test_while_no_task_is_watched_discovery_shows_whether_the_source_answers(
    harness: Harness,
) -> None:
    failure = SourceError(SourceFailure.UNAVAILABLE, "HTTP 503")
    async with running(harness.poller):
        for _ in range(4):
            await harness.poller.discovery_ended(failure)
            await anyio.sleep(30)
        assert harness.up() == 0
        await harness.poller.discovery_ended(None)
        assert harness.up() == 1
        harness.source.shown["task_1"] = "IN_PROGRESS"
        await harness.watch("task_1")
        await anyio.sleep(60)
        for _ in range(4):
            await harness.poller.discovery_ended(failure)
            await anyio.sleep(30)
        assert harness.up() == 1

    assert await harness.types() == ["source.unreachable", "source.recovered", "task.in_progress"]


async def test_answers_without_a_status_teach_nothing(harness: Harness) -> None:
    harness.source.unreadable = set(names(3))
    async with running(harness.poller):
        await harness.watch(*names(3))
        await anyio.sleep(120)
        assert harness.up() == 0

    assert await harness.types() == ["source.unreachable"]
