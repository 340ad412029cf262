"""What the Mixpeek API's answers about one task mean."""

import json
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from tests.support.virtual_time import wall
from watcher.core.errors import SourceError, SourceFailure
from watcher.core.interfaces import source as interfaces
from watcher.core.tasks import Answer, NotInPage, Observation
from watcher.sources.mixpeek import source as mixpeek
from watcher.telemetry.metrics import Metrics

pytestmark = pytest.mark.anyio


def source_answering(body: str | bytes) -> mixpeek.MixpeekSource:
    """Return a source to which upstream answers every request with `body`."""
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=body))
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
        '{"task_id": "task_1"}',
        '{"task_id": "task_1", "status": null}',
        '{"task_id": "task_1", "status": 7}',
        '{"task_id": "task_1", "status": ""}',
        '{"task_id": "task_2", "status": "PENDING"}',
        '{"task_id": "task_1", "status": "PENDING"',
        '{"task_id": "task_1", "status": "PENDING", "x": NaN}',
        '{"task_id": "task_1", "status": "PENDING", "x": ' + "[" * 100_000,
        b'{"task_id": "task_1", "status": "PENDING", "x": "\xff"}',
    ],
)
async def test_an_unreadable_or_different_task_is_a_protocol_error(body: str | bytes) -> None:
    with pytest.raises(SourceError) as caught:
        await poll(source_answering(body).single, "task_1")
    assert caught.value.reason is SourceFailure.PROTOCOL


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
    assert isinstance(answers.pop("task_3"), Observation if readable else NotInPage)
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
    ],
)
async def test_the_source_has_every_capability(capability: type) -> None:
    assert isinstance(source_answering(""), capability)
