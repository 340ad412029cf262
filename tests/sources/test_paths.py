"""IDs in paths: what a real socket receives, and what is never sent."""

from random import Random
from urllib.parse import unquote

import anyio.abc
import pytest
from prometheus_client import CollectorRegistry

from tests.support.raw_server import read_request, server
from tests.support.virtual_time import wall
from watcher.core.errors import SourceError, SourceFailure
from watcher.core.interfaces.source import BatchOfTask
from watcher.core.tasks import TaskUnreadable
from watcher.core.texts import is_id
from watcher.net.transport import create_transport
from watcher.sources.mixpeek import source as mixpeek
from watcher.sources.mixpeek.paths import path_of
from watcher.telemetry.metrics import Metrics

pytestmark = pytest.mark.anyio

PIECES = ("..", ".", "/", "\\", "%2e", "%2F", "%", "?", "#", ";", "a", "é", "\n", "\x1b", " ", "@:")
ANSWER = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # real sockets take real time


def ids() -> list[str]:
    random = Random(7)
    made = {"".join(random.choices(PIECES, k=random.randint(1, 4))) for _ in range(150)}
    return sorted(made | {"..", ".", "x" * 256, "x" * 1_000_000, "\ud800"})


async def test_each_request_is_of_its_route_with_the_id_as_one_segment() -> None:
    targets: list[str] = []

    async def serve(stream: anyio.abc.SocketStream, _: int) -> None:
        while True:
            targets.append((await read_request(stream)).split(b" ")[1].decode("ascii"))
            await stream.send(ANSWER)

    async with server(serve) as url, create_transport(connections=1) as transport:
        settings = mixpeek.Settings(
            base_url=url.rstrip("/"), api_key="sk_made_up", requests_per_minute=None
        )
        metrics = Metrics(CollectorRegistry(), "test").source("mixpeek")
        source = mixpeek.create(settings, transport=transport, metrics=metrics, wall=wall)
        for text in ids():
            batch = BatchOfTask(bucket_id=text, batch_id=text, namespace=None, task_type=None)
            for call, route in (
                (source.kill_task(text), "/v1/tasks/{}"),
                (source.cancel_batch(text, text, None, None), "/v1/buckets/{}/batches/{}/cancel"),
                (source.list_batches(text, {}, 1, None, None), "/v1/buckets/{}/batches/list"),
                (source.confirm_uploads(text, [], None), "/v1/buckets/{}/uploads/confirm/batch"),
                (source.find_in_batch("t", batch), "/v1/buckets/{}/batches/{}"),
            ):
                targets.clear()
                with pytest.raises(SourceError) as caught:
                    await call
                if not is_id(text):
                    assert (targets, caught.value.reason) == ([], SourceFailure.REJECTED), text
                    continue
                (target,) = targets
                expected = route.format(text, text).split("/")
                assert [unquote(part) for part in target.split("/")] == expected, text


async def test_a_watch_with_an_id_that_cannot_be_in_a_path_is_never_requested() -> None:
    async with create_transport(connections=1) as transport:
        settings = mixpeek.Settings(
            base_url="http://127.0.0.1:9", api_key="sk_made_up", requests_per_minute=None
        )
        metrics = Metrics(CollectorRegistry(), "test").source("mixpeek")
        source = mixpeek.create(settings, transport=transport, metrics=metrics, wall=wall)
        for text in ("..", "a/b", "%2e%2e", "x" * 1_000_000):
            await source.single.admit()
            answers = [each async for part in source.single.fetch([text]) for each in part]
            (answer,) = answers
            assert isinstance(answer, TaskUnreadable)
            assert answer.task_id == text


def test_a_template_is_filled_in() -> None:
    path = path_of("GET /v1/buckets/{bucket}/batches/{batch}", bucket="a?", batch="b%")
    assert path == "/v1/buckets/a%3F/batches/b%25"
