"""What the Mixpeek API's answers about one task mean."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from tests.support.virtual_time import wall
from watcher.core.errors import SourceError, SourceFailure
from watcher.core.interfaces import source as interfaces
from watcher.core.tasks import Answer, Observation, TaskUnreadable
from watcher.sources.mixpeek import source as mixpeek
from watcher.telemetry.metrics import Metrics

pytestmark = pytest.mark.anyio


Answering = Callable[[httpx.Request], httpx.Response]


def source_answering(answer: str | bytes | Answering, status: int = 200) -> mixpeek.MixpeekSource:
    """Return a source to which upstream answers every request with this body, or as a function
    says.
    """
    respond = answer if callable(answer) else lambda _: httpx.Response(status, content=answer)
    transport = httpx.MockTransport(respond)
    return mixpeek.create(
        mixpeek.Settings(base_url="https://upstream", api_key="sk_made_up"),
        transport=transport,
        metrics=Metrics(CollectorRegistry(), "test").source("mixpeek"),
        wall=wall,
    )


async def poll(endpoint: interfaces.Endpoint, *task_ids: str) -> list[Answer]:
    await endpoint.admit()
    return [answer async for part in endpoint.fetch(task_ids) for answer in part]


@pytest.mark.parametrize(
    "fields",
    [
        {"error_message": "boom"},
        {"error": "boom"},
        {"additional_data": {"error": "boom"}},
        {"error": {"message": "boom"}},
    ],
)
async def test_the_error_message_is_read_from_every_field_of_the_api(
    fields: dict[str, Any],
) -> None:
    source = source_answering(json.dumps({"task_id": "task_1", "status": "FAILED", **fields}))
    (answer,) = await poll(source.single, "task_1")

    assert isinstance(answer, Observation)
    assert answer.detail().error_message == "boom"


@pytest.mark.parametrize(
    "body",
    [
        '{"task_id": "task_2", "status": "PENDING"}',
        '{"task_id": "task_1", "status": "PENDING"',
        '{"task_id": "task_1", "status": "PENDING", "x": ' + "[" * 100_000,
        "<html>Please log in</html>",
        '"task_1"',
        "null",
        "",
    ],
)
async def test_what_is_not_the_task_is_a_protocol_error(body: str | bytes) -> None:
    with pytest.raises(SourceError) as caught:
        await poll(source_answering(body).single, "task_1")
    assert caught.value.reason is SourceFailure.PROTOCOL


@pytest.mark.parametrize("status", ["", ', "status": null', ', "status": 7', ', "status": ""'])
async def test_a_task_without_a_status_is_unreadable(status: str) -> None:
    source = source_answering('{"task_id": "task_1"' + status + "}")
    (answer,) = await poll(source.single, "task_1")
    assert isinstance(answer, TaskUnreadable)


UNREPRESENTABLE = [
    b"NaN",
    b"-Infinity",
    b'"\\ud800"',
    b"1" * 5000,
    b"1e999",
    b"[" * 2000 + b"]" * 2000,
    b'{"a":' * 2000 + b"1" + b"}" * 2000,
    b'"\xff"',
    b"nonsense",
]


@pytest.mark.parametrize("value", UNREPRESENTABLE)
@pytest.mark.parametrize("shared", [False, True])
async def test_a_value_that_cannot_be_represented_is_null_and_named(
    value: bytes, shared: bool
) -> None:
    bad = b'{"task_id": "task_1", "status": "FAILED", "additional_data": {"x": %s}}' % value
    good = b'{"task_id": "task_2", "status": "COMPLETED"}'
    page = b'{"results": [%s, %s], "pagination": {"total": %s}}' % (bad, good, value)
    source = source_answering(page if shared else bad)
    requested = ["task_1", "task_2"] if shared else ["task_1"]
    answers = {
        answer.task_id: answer
        for answer in await poll(source.shared if shared else source.single, *requested)
    }

    assert list(answers) == requested
    failed = answers["task_1"]
    assert isinstance(failed, Observation)
    detail = failed.detail()
    assert (failed.status, detail.unreadable) == ("FAILED", ("additional_data.x",))
    assert json.loads(bytes(detail.raw))["additional_data"] == {"x": None}


@pytest.mark.parametrize("status", [200, 202, 203])
async def test_a_task_comes_with_any_of_these_statuses(status: int) -> None:
    source = source_answering('{"task_id": "task_1", "status": "PENDING"}', status)
    (answer,) = await poll(source.single, "task_1")
    assert isinstance(answer, Observation)


@pytest.mark.parametrize(
    "fields",
    [
        {"status": None},
        {"task_type": 7},
        {"status": "re-indexing"},
        {"error": {"message": "x"}},
        {"status": " "},
    ],
)
async def test_an_unusual_task_does_not_affect_the_rest_of_its_page(
    fields: dict[str, Any],
) -> None:
    task_ids = [f"task_{number}" for number in range(5)]
    tasks = [{"task_id": task_id, "status": "PENDING", "task_type": "x"} for task_id in task_ids]
    tasks[3] |= fields
    source = source_answering(json.dumps({"results": tasks}))
    answers = {answer.task_id: answer for answer in await poll(source.shared, *task_ids)}

    readable = fields.get("status", "PENDING") not in (None, " ")
    assert isinstance(answers.pop("task_3"), Observation if readable else TaskUnreadable)
    assert all(isinstance(answer, Observation) for answer in answers.values())


@pytest.mark.parametrize(
    "capability",
    [
        interfaces.ListsTasks,
        interfaces.ListsBatches,
        interfaces.DiscoversTasks,
        interfaces.DiscoversBatches,
        interfaces.CancelsBatches,
        interfaces.KillsTasks,
        interfaces.ConfirmsUploads,
        interfaces.FindsTasksInBatches,
    ],
)
async def test_the_source_has_every_capability(capability: type) -> None:
    assert isinstance(source_answering(""), capability)
