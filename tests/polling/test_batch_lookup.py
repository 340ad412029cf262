"""Tasks that are gone while their batch still shows them."""

import json

import anyio
import pytest
from msgspec import Raw

from tests.polling.harness import Harness, ScriptedSource, names, running
from tests.support.records import KnownDetail, observed
from watcher.core.errors import SourceError, SourceFailure
from watcher.core.interfaces.source import BatchOfTask
from watcher.core.tasks import Answer, Detail, Observation

pytestmark = pytest.mark.anyio


class WithBatches(ScriptedSource):
    """Every task belongs to a batch, which shows the statuses of `in_batch`."""

    def __init__(self) -> None:
        super().__init__()
        self.in_batch: dict[str, str] = {}
        self.looked_up: list[tuple[str, BatchOfTask]] = []
        self.batch_error: SourceError | None = None

    def _answer(self, task_id: str) -> Answer:
        if (status := self.shown.get(task_id)) is None:
            return super()._answer(task_id)
        place = {"batch_id": "btch_1", "bucket_id": "bkt_1", "namespace_id": "ns_1"}
        raw = {"task_id": task_id, "status": status, "additional_data": place}
        return observed(task_id, status, json.dumps(raw).encode())

    async def find_in_batch(self, task_id: str, batch: BatchOfTask) -> Observation | None:
        self.looked_up.append((task_id, batch))
        if self.batch_error is not None:
            raise self.batch_error
        if (status := self.in_batch.get(task_id)) is None:
            return None
        detail = Detail(error_message=None, raw=Raw(b"{}"), observed_from="batch")
        return Observation(task_id=task_id, status=status, details=KnownDetail(detail))


@pytest.fixture
async def source(harness: Harness) -> WithBatches:
    source = WithBatches()
    source.shown = dict.fromkeys(names(2), "IN_PROGRESS")
    harness.source = source
    harness.poller = harness.new_poller()
    return source


async def test_the_status_that_the_batch_shows_is_sent_at_once(
    harness: Harness, source: WithBatches
) -> None:
    async with running(harness.poller):
        await harness.watch(*names(2))
        await anyio.sleep(60)
        source.in_batch["task_1"] = "COMPLETED"
        del source.shown["task_1"]
        await anyio.sleep(35)

    event = (await harness.events())[-1]
    assert event.type == "task.completed"
    assert json.loads(event.body)["data"]["observed_from"] == "batch"
    expected = BatchOfTask(
        bucket_id="bkt_1", batch_id="btch_1", namespace="ns_1", task_type="api_x"
    )
    assert source.looked_up == [("task_1", expected)]


async def test_a_task_that_its_batch_still_shows_is_not_lost(
    harness: Harness, source: WithBatches
) -> None:
    source.in_batch["task_1"] = "IN_PROGRESS"
    async with running(harness.poller):
        await harness.watch(*names(2))
        await anyio.sleep(60)
        del source.shown["task_1"]
        await anyio.sleep(3600)
        source.in_batch["task_1"] = "FAILED"
        await anyio.sleep(35)

    assert (await harness.types())[2:] == ["task.failed"]


@pytest.mark.parametrize("error", [None, SourceError(SourceFailure.NOT_FOUND, "HTTP 404")])
async def test_a_task_that_its_batch_does_not_show_is_lost(
    harness: Harness, source: WithBatches, error: SourceError | None
) -> None:
    source.batch_error = error
    async with running(harness.poller):
        await harness.watch(*names(2))
        await anyio.sleep(60)
        del source.shown["task_1"]
        await anyio.sleep(700)

    assert (await harness.types())[2:] == ["task.lost"]
    assert len(source.looked_up) == 2  # at the first 404, and before it is lost
