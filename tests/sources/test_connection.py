"""Requests within limits, through an outage, and with unexpected answers."""

import json
import logging
from collections import defaultdict
from pathlib import Path

import anyio
import anyio.abc
import anyio.lowlevel
import httpx
import pytest
from prometheus_client import CollectorRegistry

from tests.sources.harness import LIST_PATH, Harness, task_ids
from tests.support.fake_upstream import Forward, Response, intercept
from tests.support.raw_server import read_request, server
from tests.support.stores import opened
from tests.support.virtual_time import wall
from watcher.core.errors import SourceError, SourceFailure
from watcher.net.transport import create_transport
from watcher.sources._calls import Call
from watcher.sources.mixpeek.connection import Connection
from watcher.telemetry.metrics import Metrics
from watcher.testing.mixpeek_request import Request

pytestmark = pytest.mark.anyio

OUTAGE_BEGINS = 300.0
OUTAGE_LASTS = 600.0


async def test_an_outage_is_one_event_each_way_and_changes_during_it_are_sent_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with opened(tmp_path) as store:
        harness = Harness(store, limit=60)
        _simulate_outage(harness)
        async with harness.running():
            await harness.watch(1000)
            await anyio.sleep(OUTAGE_BEGINS)
            caplog.clear()
            harness.set_status(task_ids(300), "FAILED")
            await anyio.sleep(OUTAGE_LASTS)
            await anyio.sleep(60)
        events = await harness.store.events_after(0, 10_000)

    times: defaultdict[str, list[float]] = defaultdict(list)
    for event in events:
        times[event.type].append(event.at)
    assert len(times["source.unreachable"]) == len(times["source.recovered"]) == 1
    outage_ended = wall() - anyio.current_time() + OUTAGE_BEGINS + OUTAGE_LASTS
    assert times["source.recovered"][0] - outage_ended <= 35
    assert len(times["task.failed"]) == 300
    assert max(times["task.failed"]) - times["source.recovered"][0] <= 10
    assert harness.upstream.requests["during outage"] <= 90
    changes = "watcher.polling.change_log"
    assert len([one for one in caplog.records if one.name != changes]) <= 4


def _simulate_outage(harness: Harness) -> None:
    async def fail(request: Request, forward: Forward) -> Response:
        if OUTAGE_BEGINS <= anyio.current_time() < OUTAGE_BEGINS + OUTAGE_LASTS:
            harness.upstream.requests["during outage"] += 1
            return 502, {}, b"<html>Bad Gateway</html>"
        return await forward(request)

    intercept(harness.upstream, fail)


@pytest.mark.parametrize("limit", [10, 60])
async def test_thousands_of_tasks_are_polled_within_the_limit(tmp_path: Path, limit: int) -> None:
    async with opened(tmp_path) as store:
        harness = Harness(store, limit=limit)
        harness.upstream.sends_rate_limit_headers = True
        async with harness.running():
            await harness.watch(3000)
            await anyio.sleep(120)
            await harness.assert_completions_noticed(task_ids(3000)[::100], within=31.0)
            assert harness.upstream.responses[429] == 0
            assert harness.list_requests <= limit * 2.6


async def test_retry_after_is_honoured_to_the_second(harness: Harness) -> None:
    times: list[float] = []

    async def limit_third(request: Request, forward: Forward) -> Response:
        if request.path == LIST_PATH:
            times.append(anyio.current_time())
            if len(times) == 3:
                return 429, {"retry-after": "17"}, b"{}"
        return await forward(request)

    intercept(harness.upstream, limit_third)
    async with harness.running():
        await harness.watch(100)
        await anyio.sleep(60)
    assert 17 <= times[3] - times[2] <= 18


@pytest.mark.parametrize("status", [429, 503])
async def test_a_retry_after_of_a_day_pauses_for_five_minutes_and_one_request_probes(
    harness: Harness, status: int
) -> None:
    overloaded = {"until": 1000.0}
    times: defaultdict[str, list[float]] = defaultdict(list)

    async def reject(request: Request, forward: Forward) -> Response:
        route = LIST_PATH if request.path == LIST_PATH else "GET"
        times[route].append(anyio.current_time())
        if 100 <= anyio.current_time() < overloaded["until"]:
            return status, {"retry-after": "86400"}, b"{}"
        return await forward(request)

    intercept(harness.upstream, reject)
    async with harness.running():
        await harness.watch(2000)
        await anyio.sleep(1400)

    for route in times.values():
        rejected = [at for at in route if 100 <= at < overloaded["until"]]
        first = [at for at in rejected if at - rejected[0] < 10]
        probes = [at for at in rejected if at not in first]
        assert len(probes) <= 3
        for before, after in zip([first[-1], *probes], probes, strict=False):
            assert 299 <= after - before <= 345
    assert any(at >= overloaded["until"] for at in times[LIST_PATH])
    assert max(len(route) for route in times.values()) > 50


def connection_to(
    transport: httpx.AsyncBaseTransport,
    *,
    api_key: str = "sk_made_up",
    url: str = "http://upstream",
) -> tuple[Connection, CollectorRegistry]:
    registry = CollectorRegistry()
    connection = Connection(
        base_url=url.rstrip("/"),
        api_key=api_key,
        rate=None,
        timeout=5.0,
        transport=transport,
        metrics=Metrics(registry, "test").source("mixpeek"),
        wall=wall,
    )
    return connection, registry


def counted(registry: CollectorRegistry, code: str) -> float | None:
    labels = {"source": "mixpeek", "route": "GET /x", "code": code}
    return registry.get_sample_value("watcher_upstream_requests_total", labels)


GET = Call(route="GET /x", path="/x")


def failing(error: Exception) -> httpx.MockTransport:
    def handle(_: httpx.Request) -> httpx.Response:
        raise error

    return httpx.MockTransport(handle)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (httpx.DecodingError("no gzip"), SourceFailure.PROTOCOL),
        (httpx.InvalidURL("too long"), SourceFailure.PROTOCOL),
        (httpx.ConnectTimeout("late"), SourceFailure.TIMEOUT),
        (httpx.ConnectError("refused"), SourceFailure.CONNECT),
        (OSError("unknown"), SourceFailure.PROTOCOL),
        (MemoryError(), SourceFailure.PROTOCOL),
        (RecursionError(), SourceFailure.PROTOCOL),
        (UnicodeDecodeError("utf-8", b"", 0, 1, "no"), SourceFailure.PROTOCOL),
    ],
)
async def test_every_error_fails_its_request_and_is_counted_and_none_keeps_a_slot(
    error: Exception, reason: SourceFailure
) -> None:
    connection, registry = connection_to(failing(error))
    for _ in range(40):
        with pytest.raises(SourceError) as caught:
            await connection.request(GET, max_wait=1.0)
        assert caught.value.reason is reason
    assert counted(registry, reason.value) == 40


async def test_an_unforeseen_error_is_logged_once_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    connection, _ = connection_to(failing(MemoryError()))
    for _ in range(10):
        with pytest.raises(SourceError):
            await connection.request(GET)
    assert caplog.messages == ["GET /x: unexpected error (MemoryError); the request failed"]
    assert caplog.records[0].exc_info is not None


@pytest.mark.parametrize(
    ("call", "api_key"),
    [
        (Call(route="GET /x", path="/x", query={"cursor": "c" * 70_000}), "sk_made_up"),
        (Call(route="GET /x", path="/x", query={"cursor": "\ud800"}), "sk_made_up"),
        (Call(route="GET /x", path="/x", body={"cursor": "\ud800"}), "sk_made_up"),
        (Call(route="GET /x", path="/x"), "sk_\u201c\u0142"),
        (Call(route="GET /x", path="/x", headers={"x-namespace": "\u4e2d"}), "sk_made_up"),
    ],
)
async def test_a_request_that_cannot_be_written_fails_and_is_counted(
    call: Call, api_key: str
) -> None:
    async with create_transport() as transport:
        connection, registry = connection_to(transport, api_key=api_key)
        with pytest.raises(SourceError, match="the request cannot be written") as caught:
            await connection.request(call)
    assert caught.value.reason is SourceFailure.PROTOCOL
    assert counted(registry, "protocol") == 1


async def test_a_cancelled_request_is_not_counted_and_keeps_no_slot() -> None:
    async def handle(_: httpx.Request) -> httpx.Response:
        await anyio.sleep_forever()
        raise AssertionError

    connection, registry = connection_to(httpx.MockTransport(handle))
    for _ in range(40):
        with anyio.move_on_after(0.1):
            await connection.request(GET)
    assert counted(registry, "protocol") == 0


async def test_a_long_retry_after_is_passed_on_in_full() -> None:
    reply = httpx.Response(503, headers={"retry-after": "7200"})
    connection, _ = connection_to(httpx.MockTransport(lambda _: reply))
    error = connection.error(await connection.request(GET))
    assert error.retry_after == 7200
    assert connection.wait("GET /x") == 300


@pytest.mark.parametrize(
    ("status", "reason"), [(429, SourceFailure.RATE_LIMITED), (503, SourceFailure.UNAVAILABLE)]
)
async def test_a_request_admitted_before_a_pause_is_not_sent_during_it(
    status: int, reason: SourceFailure
) -> None:
    sent = []

    def handle(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(status, headers={"retry-after": "60"})

    connection, registry = connection_to(httpx.MockTransport(handle))
    await connection.admit("GET /x")
    await connection.request(GET)
    with pytest.raises(SourceError) as caught:
        await connection.send(GET)
    assert caught.value.reason is reason
    assert caught.value.retry_after == 60
    assert len(sent) == 1
    assert counted(registry, str(status)) == 1


BOM = b"\xef\xbb\xbf"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_over_a_real_socket_a_byte_order_mark_is_removed_and_a_wrong_encoding_fails() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n"
    answers = [
        head + b"\r\n" + BOM + b'{"a": 1}',
        head + b"Content-Encoding: gzip\r\n\r\n" + b'{"a": "bc"}',
    ]

    async def serve(stream: anyio.abc.SocketStream, _: int) -> None:
        while True:
            await read_request(stream)
            await stream.send(answers.pop(0))

    async with server(serve) as url, create_transport() as transport:
        connection, registry = connection_to(transport, url=url)
        assert json.loads((await connection.request(GET)).body) == {"a": 1}
        with pytest.raises(SourceError) as caught:
            await connection.request(GET)

    assert caught.value.reason is SourceFailure.PROTOCOL
    assert counted(registry, "200") == 1
    assert counted(registry, "protocol") == 1
