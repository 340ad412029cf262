"""The API's public client against the project's own made-up upstream, so that the fake is as strict as the real one.

The client checks every answer against the API's published models, and sends what these models make of a request.
"""

import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import httpx
import mixpeek
import pytest
from mixpeek.api.batches_api import BatchesApi
from mixpeek.api.bucket_batches_api import BucketBatchesApi
from mixpeek.api.bucket_uploads_api import BucketUploadsApi
from mixpeek.api.tasks_api import TasksApi
from mixpeek.exceptions import ApiException

from watcher.testing.mixpeek_server import FakeUpstream

pytestmark = pytest.mark.anyio

KEY = "sk_made_up"


class Client:
    """The blocking client, its calls in a thread."""

    def __init__(self, url: str, key: str = KEY) -> None:
        configuration = mixpeek.Configuration(host=url, retries=False)
        self._client = mixpeek.ApiClient(configuration)
        self._headers = {"Authorization": f"Bearer {key}", "X-Namespace": "ns_1"}

    async def call(self, api: Any, name: str, *arguments: Any, **given: Any) -> Any:
        method = getattr(api(self._client), name)
        return await anyio.to_thread.run_sync(
            partial(method, *arguments, **given, _headers=self._headers)
        )

    async def refused(
        self, status: int, api: Any, name: str, *arguments: Any, **given: Any
    ) -> dict[str, Any]:
        with pytest.raises(ApiException) as caught:
            await self.call(api, name, *arguments, **given)
        assert caught.value.status == status
        error: dict[str, Any] = json.loads(caught.value.body or "")
        assert (error["success"], error["status"]) == (False, status)
        assert error["error"]["message"]
        return error


@pytest.fixture
def upstream() -> FakeUpstream:
    return FakeUpstream(api_key=KEY)


@pytest.fixture
async def url(upstream: FakeUpstream) -> AsyncIterator[str]:
    async with upstream.serve() as url:
        yield url


def tasks(upstream: FakeUpstream, count: int, status: str = "IN_PROGRESS") -> None:
    for number in range(count):
        upstream.set(
            f"task_{number}",
            status,
            task_type="api_buckets_batches_process",
            additional_data={"number": number},
        )


async def test_a_task_is_what_the_client_takes_for_one(upstream: FakeUpstream, url: str) -> None:
    tasks(upstream, 1)
    task = await Client(url).call(TasksApi, "get_task", "task_0")
    assert (task.task_id, task.status.value, task.additional_data) == (
        "task_0",
        "IN_PROGRESS",
        {"number": 0},
    )
    await Client(url).refused(404, TasksApi, "get_task", "task_1")
    await Client(url, "sk_wrong").refused(401, TasksApi, "get_task", "task_0")


async def test_lists_are_filtered_sorted_and_followed_by_cursor(
    upstream: FakeUpstream, url: str
) -> None:
    tasks(upstream, 25)
    upstream.set("task_7", "FAILED")
    client = Client(url)
    wanted = {
        "filters": {"AND": [{"field": "task_id", "operator": "in", "value": ["task_3", "task_7"]}]}
    }
    page = await client.call(TasksApi, "list_tasks", limit=1000, list_tasks_request=request(wanted))
    assert [task.task_id for task in page.results] == ["task_3", "task_7"]
    page = await client.call(
        TasksApi, "list_tasks", limit=10, list_tasks_request=request({"status": "FAILED"})
    )
    assert [task.task_id for task in page.results] == ["task_7"]
    found, cursor = [], None
    while True:
        page = await client.call(
            TasksApi, "list_tasks", limit=10, cursor=cursor, include_total=True
        )
        found += [task.task_id for task in page.results]
        assert page.pagination.total == 25
        if (cursor := page.pagination.next_cursor) is None:
            break
    assert found == [f"task_{number}" for number in range(25)]


def request(wanted: dict[str, Any]) -> Any:
    return mixpeek.ListTasksRequest.from_dict(wanted)


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("", {"color": "red"}),
        ("limit=1001", {}),
        ("limit=0", {}),
        ("offset=10001", {}),
        ("", {"filters": {"AND": [{"field": "task_id", "operator": "among", "value": []}]}}),
        ("", {"filters": {"AND": [{"field": "task_id", "operator": "in", "value": "task_1"}]}}),
        ("", {"filters": []}),
        ("", {"sort": {"direction": "desc"}}),
        ("", {"sort": {"field": "task_id", "direction": "down"}}),
        ("", {"status": "BOILING"}),
    ],
)
async def test_what_the_api_refuses_is_refused(
    upstream: FakeUpstream, url: str, query: str, body: Any
) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False) as client:
        answer = await client.post(f"/v1/tasks/list?{query}", json=body)
    assert answer.status_code == 422
    assert answer.json()["success"] is False


async def test_batches_are_listed_and_cancelled(upstream: FakeUpstream, url: str) -> None:
    tasks(upstream, 2)
    for number, bucket in enumerate(("bkt_1", "bkt_2")):
        upstream.api.batches[f"batch_{number}"] = {
            "batch_id": f"batch_{number}",
            "bucket_id": bucket,
            "namespace_id": "ns_1",
            "status": "IN_PROGRESS",
            "task_id": f"task_{number}",
            "object_ids": ["obj_1"],
            "max_node_death_resubmits": 3,
            "max_deploy_resubmits": 3,
            "lifecycle": "extracting",
            "lifecycle_reason": None,
        }
    client = Client(url)
    page = await client.call(BatchesApi, "list_all_batches")
    assert [batch.task_id for batch in page.results] == ["task_0", "task_1"]
    page = await client.call(BucketBatchesApi, "list_batches_buckets", "bkt_2")
    assert [batch.task_id for batch in page.results] == ["task_1"]
    task = await client.call(BucketBatchesApi, "cancel_batch_buckets_batches", "bkt_1", "batch_0")
    assert (task.status.value, task.cancellation.ray_jobs_accepted) == ("CANCELED", 1)
    await client.refused(404, BucketBatchesApi, "cancel_batch_buckets_batches", "bkt_1", "batch_1")


async def test_uploads_are_confirmed_up_to_a_hundred_at_once(
    upstream: FakeUpstream, url: str
) -> None:
    client = Client(url)
    confirmations = [
        {"upload_id": f"upl_{n}", "etag": "x", "file_size_bytes": 1} for n in range(100)
    ]
    wanted = mixpeek.BatchConfirmRequest(confirmations=confirmations)
    done = await client.call(BucketUploadsApi, "confirm_uploads_batch_buckets", "bkt_1", wanted)
    assert (done.confirmations_count, done.task.task_id) == (100, done.task_id)
    assert upstream.api.confirmed == [f"upl_{n}" for n in range(100)]


async def test_a_task_is_killed_once(upstream: FakeUpstream, url: str) -> None:
    tasks(upstream, 1)
    client = Client(url)
    assert (await client.call(TasksApi, "kill_task", "task_0")).success is True
    assert (await client.call(TasksApi, "get_task", "task_0")).status.value == "CANCELED"
    await client.refused(400, TasksApi, "kill_task", "task_0")


async def test_the_limit_is_counted_for_each_route(upstream: FakeUpstream, url: str) -> None:
    tasks(upstream, 1)
    upstream.limit = 2
    client = Client(url)
    for _ in range(2):
        await client.call(TasksApi, "get_task", "task_0")
    error = await client.refused(429, TasksApi, "get_task", "task_0")
    assert "GET /v1/tasks/{task_id}" in error["error"]["message"]
    await client.call(TasksApi, "list_tasks")
