"""The API's public client against the fake API, so that the fake is as strict as the original.

The client validates every answer against the published models and builds requests from them.
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

from watcher.testing.mixpeek_api import TaskApi
from watcher.testing.mixpeek_request import Request
from watcher.testing.mixpeek_server import FakeUpstream

pytestmark = pytest.mark.anyio

KEY = "sk_made_up"


class Client:
    """The blocking client, called in a thread."""

    def __init__(self, url: str, key: str = KEY) -> None:
        configuration = mixpeek.Configuration(host=url, retries=False)
        self._client = mixpeek.ApiClient(configuration)
        self._headers = {"Authorization": f"Bearer {key}", "X-Namespace": "ns_1"}

    async def call(self, api: Any, name: str, *arguments: Any, **options: Any) -> Any:
        method = getattr(api(self._client), name)
        return await anyio.to_thread.run_sync(
            partial(method, *arguments, **options, _headers=self._headers)
        )

    async def rejected(
        self, status: int, api: Any, name: str, *arguments: Any, **options: Any
    ) -> dict[str, Any]:
        with pytest.raises(ApiException) as caught:
            await self.call(api, name, *arguments, **options)
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


def add_tasks(upstream: FakeUpstream, count: int, status: str = "IN_PROGRESS") -> None:
    for number in range(count):
        upstream.set(
            f"task_{number}",
            status,
            task_type="api_buckets_batches_process",
            additional_data={"number": number},
        )


async def test_a_task_matches_the_published_model(upstream: FakeUpstream, url: str) -> None:
    add_tasks(upstream, 1)
    task = await Client(url).call(TasksApi, "get_task", "task_0")
    assert (task.task_id, task.status.value, task.additional_data) == (
        "task_0",
        "IN_PROGRESS",
        {"number": 0},
    )
    await Client(url).rejected(404, TasksApi, "get_task", "task_1")
    await Client(url, "sk_wrong").rejected(401, TasksApi, "get_task", "task_0")


IDS = {"field": "task_id", "operator": "in", "value": ["TASK_3", "task_1"]}
OTHER_IDS = {"field": "task_id", "operator": "in", "value": ["task_2", "task_3"]}
FAILED = {"field": "status", "operator": "eq", "value": "failed"}


@pytest.mark.parametrize(
    ("filters", "shown"),
    [
        ({"AND": [IDS]}, [1, 3]),
        ({"AND": [IDS, OTHER_IDS]}, [3]),
        ({"OR": [IDS, {"AND": [OTHER_IDS]}]}, [1, 2, 3]),
        ({"OR": [IDS, FAILED]}, [0, 1, 3]),
        ({"NOT": [IDS]}, [0, 2, 4]),
        ({"AND": [IDS], "NOT": [OTHER_IDS]}, [1]),
        ({"AND": [{"OR": [IDS, OTHER_IDS]}, {"NOT": [IDS]}]}, [2]),
    ],
)
def test_filters_by_id_show_what_they_match(filters: dict[str, Any], shown: list[int]) -> None:
    api = TaskApi()
    for number in range(5):
        api.set(f"task_{number}", "IN_PROGRESS" if number else "FAILED")
    body = json.dumps({"filters": filters}).encode()
    called = Request(method="POST", path="/v1/tasks/list", body=body)
    route = api.route(called)
    assert route is not None
    found = [task["task_id"] for task in route.handler(called)["results"]]
    assert found == [f"task_{number}" for number in shown]


async def test_lists_are_filtered_and_read_by_cursor(upstream: FakeUpstream, url: str) -> None:
    add_tasks(upstream, 25)
    upstream.set("task_7", "FAILED")
    client = Client(url)
    criteria = {
        "filters": {"AND": [{"field": "task_id", "operator": "in", "value": ["task_3", "task_7"]}]}
    }
    page = await client.call(
        TasksApi, "list_tasks", limit=1000, list_tasks_request=request(criteria)
    )
    assert [task.task_id for task in page.results] == ["task_3", "task_7"]
    page = await client.call(
        TasksApi, "list_tasks", limit=10, list_tasks_request=request({"status": "FAILED"})
    )
    assert [task.task_id for task in page.results] == ["task_7"]
    listed, cursor = [], None
    while True:
        page = await client.call(
            TasksApi, "list_tasks", limit=10, cursor=cursor, include_total=True
        )
        listed += [task.task_id for task in page.results]
        assert page.pagination.total == 25
        if (cursor := page.pagination.next_cursor) is None:
            break
    assert listed == [f"task_{number}" for number in range(25)]


def request(criteria: dict[str, Any]) -> Any:
    return mixpeek.ListTasksRequest.from_dict(criteria)


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("", {"color": "red"}),
        ("limit=1001", {}),
        ("limit=0", {}),
        ("page_size=1001", {}),
        ("page=0", {}),
        ("offset=10001", {}),
        ("", {"filters": {"AND": [{"field": "task_id", "operator": "among", "value": []}]}}),
        ("", {"filters": {"AND": [{"field": "task_id", "operator": "in", "value": "task_1"}]}}),
        ("", {"filters": []}),
        ("", {"sort": {"direction": "desc"}}),
        ("", {"sort": {"field": "task_id", "direction": "down"}}),
        ("", {"status": "BOILING"}),
        ("", {"status": "failed"}),
        ("", {"status": ["FAILED"]}),
    ],
)
async def test_invalid_lists_are_rejected(
    upstream: FakeUpstream, url: str, query: str, body: Any
) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False) as client:
        answer = await client.post(f"/v1/tasks/list?{query}", json=body)
    assert answer.status_code == 422
    assert answer.json()["success"] is False


async def test_batches_are_listed_and_cancelled(upstream: FakeUpstream, url: str) -> None:
    add_tasks(upstream, 2)
    for number, bucket in enumerate(("bkt_1", "bkt_2")):
        upstream.api.batches[f"batch_{number}"] = {
            "batch_id": f"batch_{number}",
            "bucket_id": bucket,
            "namespace_id": "ns_1",
            "status": "IN_PROGRESS",
            "task_id": f"task_{number}",
        }
    client = Client(url)
    page = await client.call(BatchesApi, "list_all_batches")
    assert [batch.task_id for batch in page.results] == ["task_0", "task_1"]
    page = await client.call(BucketBatchesApi, "list_batches_buckets", "bkt_2")
    assert [batch.task_id for batch in page.results] == ["task_1"]
    task = await client.call(BucketBatchesApi, "cancel_batch_buckets_batches", "bkt_1", "batch_0")
    assert (task.status.value, task.cancellation.ray_jobs_accepted) == ("CANCELED", 1)
    await client.rejected(404, BucketBatchesApi, "cancel_batch_buckets_batches", "bkt_1", "batch_1")


async def test_a_batch_shows_its_tiers(upstream: FakeUpstream, url: str) -> None:
    tiers = [{"task_id": "task_0", "status": "COMPLETED"}, {"task_id": None}]
    upstream.api.batches["batch_1"] = {
        "batch_id": "batch_1",
        "bucket_id": "bkt_1",
        "status": "IN_PROGRESS",
        "task_id": "task_0",
        "tier_tasks": tiers,
    }
    client = Client(url)
    batch = await client.call(BucketBatchesApi, "get_batch_buckets_batches", "bkt_1", "batch_1")
    assert (batch.batch_id, batch.status.value) == ("batch_1", "IN_PROGRESS")
    assert [(tier.task_id, tier.status.value) for tier in batch.tier_tasks] == [
        ("task_0", "COMPLETED"),
        (None, "PENDING"),
    ]
    name = "get_batch_buckets_batches"
    await client.rejected(404, BucketBatchesApi, name, "bkt_2", "batch_1")
    await client.rejected(404, BucketBatchesApi, name, "bkt_1", "batch_2")


async def test_bucket_calls_need_a_namespace(upstream: FakeUpstream, url: str) -> None:
    upstream.api.batches["batch_1"] = {"batch_id": "batch_1", "bucket_id": "bkt_1"}
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False) as client:
        answer = await client.get("/v1/buckets/bkt_1/batches/batch_1")
        listed = await client.post("/v1/buckets/bkt_1/batches/list", json={})
    assert [answer.status_code, listed.status_code] == [400, 400]


async def test_a_hundred_uploads_are_confirmed_in_one_request(
    upstream: FakeUpstream, url: str
) -> None:
    client = Client(url)
    confirmations = [
        {"upload_id": f"upl_{n}", "etag": "x", "file_size_bytes": 1} for n in range(100)
    ]
    body = mixpeek.BatchConfirmRequest(confirmations=confirmations)
    done = await client.call(BucketUploadsApi, "confirm_uploads_batch_buckets", "bkt_1", body)
    assert (done.confirmations_count, done.task.task_id) == (100, done.task_id)
    assert upstream.api.confirmed == [f"upl_{n}" for n in range(100)]


async def test_a_kill_succeeds_whatever_the_task(upstream: FakeUpstream, url: str) -> None:
    add_tasks(upstream, 1)
    client = Client(url)
    assert (await client.call(TasksApi, "kill_task", "task_0")).success is True
    assert (await client.call(TasksApi, "get_task", "task_0")).status.value == "CANCELED"
    upstream.set("task_1", "FAILED")
    for task_id in ("task_0", "task_1", "task_9"):
        assert (await client.call(TasksApi, "kill_task", task_id)).success is True
    assert upstream.api.tasks["task_1"]["status"] == "FAILED"
    assert "task_9" not in upstream.api.tasks


async def test_pages_are_read_by_every_alias(upstream: FakeUpstream, url: str) -> None:
    add_tasks(upstream, 25)
    client = Client(url)

    async def listed(**query: Any) -> list[str]:
        page = await client.call(TasksApi, "list_tasks", **query)
        return [task.task_id for task in page.results]

    assert await listed(page_size=3) == ["task_0", "task_1", "task_2"]
    assert await listed(page=2, page_size=10) == [f"task_{n}" for n in range(10, 20)]
    assert await listed(page=3, limit=10) == [f"task_{n}" for n in range(20, 25)]
    assert await listed(offset=23) == ["task_23", "task_24"]
    first = await client.call(TasksApi, "list_tasks", limit=20, include_total=True)
    assert (first.pagination.page, first.pagination.total, first.pagination.total_pages) == (
        1,
        25,
        2,
    )
    cursor = first.pagination.next_cursor
    for alias in ("cursor", "next_cursor", "after"):
        assert await listed(limit=20, **{alias: cursor}) == [f"task_{n}" for n in range(20, 25)]


async def test_a_task_type_may_be_null(upstream: FakeUpstream, url: str) -> None:
    upstream.set("task_1", "PENDING", task_type=None)
    upstream.set("task_2", "PENDING", task_type="api_buckets_batches_process")
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False) as client:
        task = (await client.get("/v1/tasks/task_1")).json()
        found = [
            [task["task_id"] for task in (await client.post(path, json=body)).json()["results"]]
            for path, body in (
                ("/v1/tasks/list", {"task_type": "none"}),
                ("/v1/tasks/list", {"search": "none"}),
                ("/v1/tasks/list", {"search": "BUCKETS"}),
                ("/v1/tasks/list", {"task_type": "API_BUCKETS_BATCHES_PROCESS"}),
            )
        ]
    assert task["task_type"] is None
    assert found == [[], [], ["task_2"], ["task_2"]]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/tasks/list", {"color": 1}),
        ("/v1/tasks/list", {"limit": 10}),
        ("/v1/batches/list", {"color": 1}),
        ("/v1/buckets/bkt_1/batches/list", {"color": 1}),
        ("/v1/buckets/bkt_1/batches/list", {"status": "BOILING"}),
        (
            "/v1/buckets/bkt_1/uploads/confirm/batch",
            {"confirmations": [{"upload_id": "u"}], "color": 1},
        ),
    ],
)
async def test_unknown_keys_of_a_body_are_named(
    upstream: FakeUpstream, url: str, path: str, body: Any
) -> None:
    headers = {"authorization": f"Bearer {KEY}", "x-namespace": "ns_1"}
    async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False) as client:
        answer = await client.post(path, json=body)
    assert answer.status_code == 422
    error = mixpeek.ErrorResponse.from_dict(answer.json())
    assert error is not None
    (entry,) = (error.error.details or {})["validation_errors"]
    assert entry["loc"] in (["body", "color"], ["body", "limit"], ["body", "status"])
    assert entry["type"] in ("extra_forbidden", "enum")


async def test_further_fields_of_an_upload_are_tolerated(upstream: FakeUpstream, url: str) -> None:
    body = mixpeek.BatchConfirmRequest(confirmations=[{"upload_id": "upl_1", "color": 1}])
    client = Client(url)
    done = await client.call(BucketUploadsApi, "confirm_uploads_batch_buckets", "bkt_1", body)
    assert done.confirmations_count == 1


async def test_a_batch_that_is_not_submitted_is_not_cancelled(
    upstream: FakeUpstream, url: str
) -> None:
    upstream.api.batches["batch_1"] = {"batch_id": "batch_1", "bucket_id": "bkt_1"}
    name = "cancel_batch_buckets_batches"
    await Client(url).rejected(400, BucketBatchesApi, name, "bkt_1", "batch_1")


async def test_the_rate_limit_is_per_route(upstream: FakeUpstream, url: str) -> None:
    add_tasks(upstream, 1)
    upstream.limit = 2
    client = Client(url)
    for _ in range(2):
        await client.call(TasksApi, "get_task", "task_0")
    error = await client.rejected(429, TasksApi, "get_task", "task_0")
    assert "GET /v1/tasks/{task_id}" in error["error"]["message"]
    await client.call(TasksApi, "list_tasks")
