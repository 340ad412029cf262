"""Tasks as their batch shows them."""

import json
from typing import Any

import httpx
import pytest

from tests.sources.test_get_endpoint import source_answering
from watcher.core.errors import SourceError, SourceFailure
from watcher.core.interfaces.source import BatchOfTask

pytestmark = pytest.mark.anyio

BATCH = BatchOfTask(
    bucket_id="bkt_1", batch_id="btch?1", namespace="ns_1", task_type="api_buckets_batches_process"
)
SHOWN: dict[str, Any] = {
    "batch_id": "btch?1",
    "task_id": "task_1",
    "status": "failed",
    "failure_reason": "out of memory",
    "tier_tasks": [
        {"tier_num": 0, "task_id": "task_2", "status": "COMPLETED"},
        {"tier_num": 1, "task_id": None, "status": "PENDING"},
    ],
}


@pytest.mark.parametrize(
    ("task_id", "status", "error"),
    [("task_1", "FAILED", "out of memory"), ("task_2", "COMPLETED", None)],
)
async def test_the_task_of_the_batch_or_of_a_tier(
    task_id: str, status: str, error: str | None
) -> None:
    shown = await source_answering(json.dumps(SHOWN)).find_in_batch(task_id, BATCH)
    assert shown is not None
    detail = shown.detail()
    assert (shown.task_id, shown.status, shown.task_type) == (task_id, status, BATCH.task_type)
    assert (detail.error_message, detail.observed_from) == (error, "batch")
    assert json.loads(bytes(detail.raw))["additional_data"]["bucket_id"] == "bkt_1"


async def test_a_batch_without_the_task_shows_nothing() -> None:
    assert await source_answering(json.dumps(SHOWN)).find_in_batch("task_3", BATCH) is None


async def test_the_request_names_the_batch_and_its_namespace() -> None:
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json=SHOWN)

    await source_answering(answer).find_in_batch("task_1", BATCH)
    (request,) = requests
    assert request.url.raw_path == b"/v1/buckets/bkt_1/batches/btch%3F1"
    assert request.headers["x-namespace"] == "ns_1"


@pytest.mark.parametrize(("status", "body"), [(404, "{}"), (200, "<html>"), (200, "[]")])
async def test_anything_else_is_an_error(status: int, body: str) -> None:
    with pytest.raises(SourceError) as caught:
        await source_answering(body, status).find_in_batch("task_1", BATCH)
    assert caught.value.reason in (SourceFailure.NOT_FOUND, SourceFailure.PROTOCOL)
