"""What `watcher.core.interfaces.source.Source` promises, for every source found in the folder, over real HTTP."""

import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from watcher.configuration import plugins
from watcher.core.clock import wall_clock
from watcher.core.errors import SourceError, SourceFailure
from watcher.core.interfaces.source import Source
from watcher.core.tasks import Answer, NotInPage, Observation, TaskNotFound
from watcher.net.transport import create_transport
from watcher.telemetry.metrics import Metrics
from watcher.testing.mixpeek_server import FakeUpstream, answers, cut_off, failure, hangs, resets

pytestmark = pytest.mark.anyio

KEY = "sk_test_0123456789"


@pytest.fixture(params=plugins.names("sources"))
def module(request: pytest.FixtureRequest) -> Any:
    return plugins.load("sources", request.param)


def built(module: Any, base_url: str, transport: httpx.AsyncBaseTransport, **given: Any) -> Source:
    settings = module.Settings(base_url=base_url, api_key=KEY, requests_per_minute=None, **given)
    metrics = Metrics(CollectorRegistry(), "test").source("test")
    source: Source = module.create(settings, transport=transport, metrics=metrics, wall=wall_clock)
    return source


@asynccontextmanager
async def connected(module: Any, upstream: FakeUpstream, **given: Any) -> AsyncIterator[Source]:
    async with upstream.serve() as url, create_transport() as transport:
        yield built(module, url, transport, **given)


@pytest.fixture
def upstream() -> FakeUpstream:
    return FakeUpstream(api_key=KEY)


async def asked(source: Source, *task_ids: str) -> list[Answer]:
    """Ask the endpoint for one task a request."""
    await source.single.admit()
    async with aclosing(source.single.fetch(task_ids)) as parts:
        return [answer async for part in parts for answer in part]


async def refusal(source: Source, task_id: str = "task_1") -> SourceError:
    with pytest.raises(SourceError) as caught:
        await asked(source, task_id)
    assert KEY not in str(caught.value)
    return caught.value


async def test_a_task_is_found_with_what_is_compared_and_its_bytes(
    module: Any, upstream: FakeUpstream
) -> None:
    upstream.set("task_1", "in_progress", task_type="api_x", extra={"a": 1})
    async with connected(module, upstream) as source:
        (answer,) = await asked(source, "task_1")

    assert isinstance(answer, Observation)
    assert (answer.task_id, answer.status, answer.task_type) == ("task_1", "IN_PROGRESS", "api_x")
    assert b'"extra"' in bytes(answer.detail().raw)


@pytest.mark.parametrize(
    "fields",
    [
        {"error_message": "boom"},
        {"error": "boom"},
        {"additional_data": {"error": "boom"}},
        {"error": {"message": "boom"}},
    ],
)
async def test_the_error_text_is_found_under_every_name(
    module: Any, upstream: FakeUpstream, fields: dict[str, Any]
) -> None:
    upstream.set("task_1", "FAILED", **fields)
    async with connected(module, upstream) as source:
        (answer,) = await asked(source, "task_1")

    assert isinstance(answer, Observation)
    assert answer.detail().error_message == "boom"


@pytest.mark.parametrize("task_id", ["tâsk 1", "a%2Fb", "a?b#c", "..a", "x" * 256, "任务"])
async def test_any_task_id_reaches_upstream_whole(
    module: Any, upstream: FakeUpstream, task_id: str
) -> None:
    upstream.set(task_id, "PENDING")
    async with connected(module, upstream) as source:
        (answer,) = await asked(source, task_id)

    assert isinstance(answer, Observation)
    assert answer.task_id == task_id


async def test_the_apis_own_404_means_missing(module: Any, upstream: FakeUpstream) -> None:
    async with connected(module, upstream) as source:
        assert await asked(source, "task_1") == [TaskNotFound(task_id="task_1")]


async def test_many_tasks_share_a_request_where_the_source_offers_that(
    module: Any, upstream: FakeUpstream
) -> None:
    names = [f"täsk_{number}" for number in range(300)]
    for name in names:
        upstream.set(name, "in_progress", additional_data={"error": f"of {name}"})
    async with connected(module, upstream) as source:
        assert source.shared is not None
        assert source.shared.places >= 300
        await source.shared.admit()
        async with aclosing(source.shared.fetch([*names, "task_gone"])) as parts:
            answers = {answer.task_id: answer async for part in parts for answer in part}

    assert answers.pop("task_gone") == NotInPage(task_id="task_gone")
    assert answers.keys() == set(names)
    for name, answer in answers.items():
        assert isinstance(answer, Observation)
        assert answer.status == "IN_PROGRESS"
        assert answer.detail().error_message == f"of {name}"
    assert upstream.requests.total() == 1


@pytest.mark.parametrize(
    "odd",
    [
        {"status": None},
        {"task_type": 7},
        {"status": "re-indexing"},
        {"error": {"message": "x"}},
        {"status": " "},
    ],
)
async def test_one_odd_task_spoils_no_page(
    module: Any, upstream: FakeUpstream, odd: dict[str, Any]
) -> None:
    for number in range(5):
        upstream.set(f"task_{number}", "PENDING", task_type="api_x")
    upstream.api.tasks["task_3"].update(odd)
    async with connected(module, upstream) as source:
        assert source.shared is not None
        await source.shared.admit()
        async with aclosing(
            source.shared.fetch([f"task_{number}" for number in range(5)])
        ) as parts:
            answers = {answer.task_id: answer async for part in parts for answer in part}

    readable = odd.get("status", "PENDING") not in (None, " ")
    assert isinstance(answers.pop("task_3"), Observation if readable else NotInPage)
    assert all(isinstance(answer, Observation) for answer in answers.values())


@pytest.mark.parametrize(
    "body", ["<html>Not Found</html>", '{"detail": "Not Found"}', "null", "[]", ""]
)
async def test_any_other_404_says_nothing_about_the_task(
    module: Any, upstream: FakeUpstream, body: str
) -> None:
    upstream.fault = answers(404, body)
    async with connected(module, upstream) as source:
        assert (await refusal(source)).reason is SourceFailure.NOT_FOUND


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
async def test_what_a_status_means(
    module: Any, upstream: FakeUpstream, status: int, reason: SourceFailure
) -> None:
    upstream.fault = answers(
        status, '{"error": {"message": "no"}}', content_type="application/json"
    )
    async with connected(module, upstream) as source:
        assert (await refusal(source)).reason is reason


async def test_the_apis_words_are_passed_on_and_a_wrong_key_is_said(
    module: Any, upstream: FakeUpstream
) -> None:
    async with FakeUpstream(api_key="sk_other").serve() as url, create_transport() as transport:
        error = await refusal(built(module, url, transport))

    assert error.reason is SourceFailure.UNAUTHORIZED
    assert str(error) == "HTTP 401 Invalid API key"


@pytest.mark.parametrize(
    "body",
    [
        "<html>Welcome</html>",
        "null",
        "[]",
        '"text"',
        '{"task_id": "task_1"}',
        '{"task_id": "task_1", "status": null}',
        '{"task_id": "task_1", "status": 7}',
        '{"task_id": "task_1", "status": ""}',
        '{"task_id": "task_2", "status": "PENDING"}',
        '{"task_id": "task_1", "status": "PENDING"',
        '{"task_id": "task_1", "status": "PENDING", "x": NaN}',
        '{"task_id": "task_1", "status": "PENDING", "x": ' + "[" * 100_000,
    ],
)
async def test_what_is_not_the_json_of_the_task_is_refused(
    module: Any, upstream: FakeUpstream, body: str
) -> None:
    upstream.fault = answers(200, body, content_type="application/json")
    async with connected(module, upstream) as source:
        assert (await refusal(source)).reason is SourceFailure.PROTOCOL


async def test_a_body_that_is_too_large_is_given_up_while_reading(
    module: Any, upstream: FakeUpstream
) -> None:
    upstream.set("task_1", "PENDING", inputs=["x" * (5 << 20)])
    async with connected(module, upstream) as source:
        assert "longer than 4 MiB" in str(await refusal(source))


async def test_a_large_body_within_the_limit_is_read(module: Any, upstream: FakeUpstream) -> None:
    upstream.set("task_1", "PENDING", inputs=["x" * (3 << 20)])
    async with connected(module, upstream) as source:
        (answer,) = await asked(source, "task_1")
    assert isinstance(answer, Observation)


@pytest.mark.parametrize("fault", [resets, cut_off])
async def test_a_broken_connection_is_a_protocol_failure(
    module: Any, upstream: FakeUpstream, fault: Any
) -> None:
    upstream.fault = fault
    async with connected(module, upstream) as source:
        assert (await refusal(source)).reason is SourceFailure.PROTOCOL


async def test_an_answer_that_never_comes_times_out(module: Any, upstream: FakeUpstream) -> None:
    upstream.fault = hangs
    async with connected(module, upstream, timeout=0.05) as source:
        assert (await refusal(source)).reason is SourceFailure.TIMEOUT


async def test_nobody_listening_is_a_connect_failure(module: Any, upstream: FakeUpstream) -> None:
    async with upstream.serve() as url:
        pass
    async with create_transport() as transport:
        assert (await refusal(built(module, url, transport))).reason is SourceFailure.CONNECT


async def test_a_redirect_is_never_followed(module: Any, upstream: FakeUpstream) -> None:
    elsewhere = FakeUpstream(api_key=KEY)
    elsewhere.set("task_1", "COMPLETED")
    async with elsewhere.serve() as other:
        upstream.fault = answers(307, "", Location=f"{other}/v1/tasks/task_1")
        async with connected(module, upstream) as source:
            assert (await refusal(source)).reason is SourceFailure.REDIRECT

    assert not elsewhere.asked


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_makes_the_route_wait(
    module: Any, upstream: FakeUpstream, status: int
) -> None:
    upstream.fault = answers(status, "{}", content_type="application/json", Retry_After="30")
    async with connected(module, upstream) as source:
        assert (await refusal(source)).retry_after == 30
        with anyio.move_on_after(0.05) as waited:
            await source.single.admit()
        assert waited.cancelled_caught


async def test_no_secret_is_in_a_repr_or_a_log(
    module: Any, upstream: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    upstream.fault = resets
    async with connected(module, upstream) as source:
        await refusal(source)
        shown = f"{source!r} {vars(source)!r}"
        assert KEY not in shown
    settings = module.Settings(base_url="http://127.0.0.1:1", api_key=KEY)
    assert KEY not in f"{settings!r} {settings} {settings.model_dump_json()} {caplog.text}"


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    status=st.integers(200, 599),
    body=st.binary(max_size=60)
    | st.sampled_from([b'{"task_id":"t","status":"X","additional_data":[{]}', b"\xff\xfe{"]),
    header=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30),
)
async def test_whatever_comes_is_an_answer_or_a_source_error(
    module: Any, status: int, body: bytes, header: str
) -> None:
    async def anything(_: httpx.Request) -> httpx.Response:
        return httpx.Response(status, content=body, headers={"retry-after": header})

    source = built(module, "https://upstream.example", httpx.MockTransport(anything))
    try:
        await asked(source, "t")
    except SourceError as error:
        assert error.retry_after is None or 0 <= error.retry_after <= 86400


def test_a_failure_of_the_api_is_worded_as_the_api_does() -> None:
    assert failure(404, "gone").status == 404
