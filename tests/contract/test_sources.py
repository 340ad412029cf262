"""What `watcher.core.interfaces.source` promises, for every source type, over real HTTP."""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from tests.contract.source_fakes import KEY, SourceFake, fake_type
from watcher.configuration import plugins
from watcher.core.clock import wall_clock
from watcher.core.errors import SourceError, SourceFailure
from watcher.core.interfaces.source import (
    DiscoversBatches,
    DiscoversTasks,
    Endpoint,
    KillsTasks,
    ListsTasks,
    Source,
)
from watcher.core.settings import SourceSettings
from watcher.core.tasks import Answer, NotInPage, Observation, TaskNotFound
from watcher.net.transport import create_transport
from watcher.telemetry.metrics import Metrics
from watcher.testing.faults import answers, cut_off, hangs, resets

pytestmark = pytest.mark.anyio

JSON = "application/json"


class Harness:
    """A source of one type, and its fake upstream."""

    def __init__(self, source_type: str) -> None:
        self.type = source_type
        self.fake_type = fake_type(source_type)
        self.fake: SourceFake = self.fake_type()

    def source(self, settings: SourceSettings, transport: httpx.AsyncBaseTransport) -> Source:
        metrics = Metrics(CollectorRegistry(), "test").source("test")
        module = plugins.load("sources", self.type)
        source: Source = module.create(
            settings, transport=transport, metrics=metrics, wall=wall_clock
        )
        return source

    @asynccontextmanager
    async def connected(
        self, fake: SourceFake | None = None, **options: Any
    ) -> AsyncIterator[Source]:
        """Serve the fake, or another one, and yield the source connected to it."""
        async with (fake or self.fake).serve() as url, create_transport() as transport:
            yield self.source(self.fake.settings(url, **options), transport)


@pytest.fixture(params=plugins.names("sources"))
def harness(request: pytest.FixtureRequest) -> Harness:
    return Harness(request.param)


async def poll(endpoint: Endpoint, *task_ids: str) -> list[Answer]:
    await endpoint.admit()
    async with aclosing(endpoint.fetch(task_ids)) as parts:
        return [answer async for part in parts for answer in part]


async def poll_single(source: Source, task_id: str = "task_1") -> Observation:
    (answer,) = await poll(source.single, task_id)
    assert isinstance(answer, Observation)
    return answer


async def poll_error(source: Source) -> SourceError:
    with pytest.raises(SourceError) as caught:
        await poll(source.single, "task_1")
    assert KEY not in str(caught.value)
    return caught.value


# Polling


async def test_an_observation_has_the_compared_fields_and_the_original_bytes(
    harness: Harness,
) -> None:
    harness.fake.set_task("task_1", "in_progress", task_type="api_x", extra="7f3c")
    async with harness.connected() as source:
        task = await poll_single(source)

    assert (task.task_id, task.status, task.task_type) == ("task_1", "IN_PROGRESS", "api_x")
    assert b'"7f3c"' in bytes(task.detail().raw)


async def test_an_observation_has_the_error_message(harness: Harness) -> None:
    harness.fake.set_task("task_1", "FAILED", error="boom")
    async with harness.connected() as source:
        assert (await poll_single(source)).detail().error_message == "boom"


@pytest.mark.parametrize("task_id", ["tâsk;1", "100%", "a?b#c&d", "..a", "x" * 256, "任务"])
async def test_any_task_id_reaches_upstream_unchanged(harness: Harness, task_id: str) -> None:
    harness.fake.set_task(task_id, "PENDING")
    async with harness.connected() as source:
        assert (await poll_single(source, task_id)).task_id == task_id


async def test_a_404_of_the_api_means_that_the_task_does_not_exist(harness: Harness) -> None:
    async with harness.connected() as source:
        assert await poll(source.single, "task_1") == [TaskNotFound(task_id="task_1")]


async def test_many_tasks_share_a_request_where_the_source_supports_that(harness: Harness) -> None:
    task_ids = [f"täsk_{number}" for number in range(300)]
    for task_id in task_ids:
        harness.fake.set_task(task_id, "in_progress", error=f"of {task_id}")
    async with harness.connected() as source:
        if source.shared is None:
            pytest.skip("polls one task per request")
        assert source.shared.capacity >= 300
        answers = {
            answer.task_id: answer
            for answer in await poll(source.shared, *task_ids, "task_unknown")
        }

    assert answers.pop("task_unknown") == NotInPage(task_id="task_unknown")
    assert answers.keys() == set(task_ids)
    for task_id, answer in answers.items():
        assert isinstance(answer, Observation)
        assert answer.status == "IN_PROGRESS"
        assert answer.detail().error_message == f"of {task_id}"
    assert harness.fake.request_count == 1


# Errors


@pytest.mark.parametrize(
    "body", ["<html>Not Found</html>", '{"detail": "Not Found"}', "null", "[]", ""]
)
async def test_any_other_404_is_an_error(harness: Harness, body: str) -> None:
    harness.fake.fault = answers(404, body)
    async with harness.connected() as source:
        assert (await poll_error(source)).reason is SourceFailure.NOT_FOUND


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (204, SourceFailure.PROTOCOL),
        (400, SourceFailure.REJECTED),
        (401, SourceFailure.UNAUTHORIZED),
        (403, SourceFailure.FORBIDDEN),
        (422, SourceFailure.REJECTED),
        (429, SourceFailure.RATE_LIMITED),
        (500, SourceFailure.UNAVAILABLE),
        (502, SourceFailure.UNAVAILABLE),
        (503, SourceFailure.UNAVAILABLE),
    ],
)
async def test_the_status_determines_the_reason(
    harness: Harness, status: int, reason: SourceFailure
) -> None:
    harness.fake.fault = answers(status, '{"error": {"message": "no"}}', content_type=JSON)
    async with harness.connected() as source:
        assert (await poll_error(source)).reason is reason


async def test_an_invalid_key_is_reported_with_the_apis_message(harness: Harness) -> None:
    async with harness.connected(harness.fake_type("sk_other")) as source:
        error = await poll_error(source)

    assert error.reason is SourceFailure.UNAUTHORIZED
    assert str(error) == "HTTP 401 Invalid API key"


@pytest.mark.parametrize(
    "body", ["<html>Welcome</html>", "null", "[]", '"text"', "{}", '{"x": ' + "[" * 100_000]
)
async def test_a_body_that_is_not_a_task_is_a_protocol_error(harness: Harness, body: str) -> None:
    harness.fake.fault = answers(200, body, content_type=JSON)
    async with harness.connected() as source:
        assert (await poll_error(source)).reason is SourceFailure.PROTOCOL


async def test_reading_stops_at_the_size_limit(harness: Harness) -> None:
    harness.fake.set_task("task_1", "PENDING", extra="x" * (5 << 20))
    async with harness.connected() as source:
        assert "longer than 4 MiB" in str(await poll_error(source))


async def test_a_large_body_within_the_limit_is_read(harness: Harness) -> None:
    harness.fake.set_task("task_1", "PENDING", extra="x" * (3 << 20))
    async with harness.connected() as source:
        assert (await poll_single(source)).status == "PENDING"


@pytest.mark.parametrize("fault", [resets, cut_off])
async def test_a_broken_connection_is_a_protocol_error(harness: Harness, fault: Any) -> None:
    harness.fake.fault = fault
    async with harness.connected() as source:
        assert (await poll_error(source)).reason is SourceFailure.PROTOCOL


async def test_a_missing_answer_is_a_timeout(harness: Harness) -> None:
    harness.fake.fault = hangs
    async with harness.connected(timeout=0.05) as source:
        assert (await poll_error(source)).reason is SourceFailure.TIMEOUT


async def test_a_closed_port_is_a_connection_error(harness: Harness) -> None:
    async with harness.fake.serve() as url:
        pass
    async with create_transport() as transport:
        error = await poll_error(harness.source(harness.fake.settings(url), transport))
    assert error.reason is SourceFailure.CONNECT


async def test_a_redirect_is_never_followed(harness: Harness) -> None:
    target = harness.fake_type()
    target.set_task("task_1", "COMPLETED")
    async with target.serve() as url:
        harness.fake.fault = answers(307, "", Location=f"{url}/v1/tasks/task_1")
        async with harness.connected() as source:
            assert (await poll_error(source)).reason is SourceFailure.REDIRECT

    assert target.request_count == 0


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_delays_the_next_request(harness: Harness, status: int) -> None:
    harness.fake.fault = answers(status, "{}", content_type=JSON, Retry_After="30")
    async with harness.connected() as source:
        assert (await poll_error(source)).retry_after == 30
        with anyio.move_on_after(0.05) as waited:
            await source.single.admit()
        assert waited.cancelled_caught


async def test_no_secret_appears_in_a_repr_or_a_log(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    harness.fake.fault = resets
    async with harness.connected() as source:
        await poll_error(source)
        assert KEY not in f"{source!r} {vars(source)!r}"
    settings = harness.fake.settings("http://127.0.0.1:1")
    assert KEY not in f"{settings!r} {settings} {settings.model_dump_json()} {caplog.text}"


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    status=st.integers(200, 599),
    body=st.binary(max_size=60)
    | st.sampled_from([b'{"task_id":"t","status":"X","additional_data":[{]}', b"\xff\xfe{"]),
    header=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30),
)
async def test_any_response_is_an_answer_or_a_source_error(
    harness: Harness, status: int, body: bytes, header: str
) -> None:
    async def respond(_: httpx.Request) -> httpx.Response:
        return httpx.Response(status, content=body, headers={"retry-after": header})

    source = harness.source(
        harness.fake.settings("https://upstream.example"), httpx.MockTransport(respond)
    )
    try:
        await poll(source.single, "t")
    except SourceError as error:
        assert error.retry_after is None or 0 <= error.retry_after <= 86400


# Capabilities


async def test_tasks_are_listed_page_by_page(harness: Harness) -> None:
    for number in range(5):
        harness.fake.set_task(f"task_{number}", "PENDING", extra=f"of {number}")
    sizes: list[int] = []
    listed = b""
    async with harness.connected() as source:
        if not isinstance(source, ListsTasks):
            pytest.skip("does not list tasks")
        items, cursor = await source.list_tasks({}, 2, None)
        while True:
            sizes.append(len(items))
            listed += b"".join(bytes(item) for item in items)
            if cursor is None:
                break
            items, cursor = await source.list_tasks({}, 2, cursor)

    assert sizes == [2, 2, 1]
    assert all(f'"of {number}"'.encode() in listed for number in range(5))


async def test_an_invalid_cursor_is_a_value_error(harness: Harness) -> None:
    async with harness.connected() as source:
        if not isinstance(source, ListsTasks):
            pytest.skip("does not list tasks")
        with pytest.raises(ValueError, match="cursor"):
            await source.list_tasks({}, 2, "invalid")

    assert harness.fake.request_count == 0


async def test_tasks_are_discovered(harness: Harness) -> None:
    harness.fake.set_task("task_1", "in_progress", task_type="api_x")
    async with harness.connected() as source:
        if not isinstance(source, DiscoversTasks):
            pytest.skip("does not discover tasks")
        async with aclosing(source.discover_tasks({})) as pages:
            (page,) = [page async for page in pages]

    assert page.tasks == [("task_1", "IN_PROGRESS", "api_x")]
    assert page.next_cursor is None


async def test_a_source_without_batches_discovers_none(harness: Harness) -> None:
    async with harness.connected() as source:
        if not isinstance(source, DiscoversBatches):
            pytest.skip("does not discover batches")
        async with aclosing(source.discover_batches(None, {})) as pages:
            tasks: list[Sequence[Any]] = [page.tasks async for page in pages]

    assert tasks == [[]]


async def test_a_killed_task_ends(harness: Harness) -> None:
    harness.fake.set_task("task_1", "IN_PROGRESS")
    async with harness.connected() as source:
        if not isinstance(source, KillsTasks):
            pytest.skip("does not kill tasks")
        await source.kill_task("task_1")
        assert (await poll_single(source)).status == "CANCELED"
