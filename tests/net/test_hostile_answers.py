"""Answers that mean harm, over real sockets: an error or a status, soon, in little memory, and in
short turns of the loop.
"""

import time
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel
import httpx
import pytest
from pydantic import SecretStr

from tests.support.hostile_answers import BOMBS, ENDLESS, FINITE, NAMES, answer, bomb
from tests.support.raw_server import OK, read_request, server
from watcher.core.settings import ConnectionSettings
from watcher.net.exchange import ExchangeError, Reply, exchange
from watcher.net.response_limits import MOST_INTERIM, MOST_OVERHEAD
from watcher.net.response_memory import ResponseMemory
from watcher.net.transport import create_transport

pytestmark = pytest.mark.anyio

TURN = 0.2
LIMIT = 100_000


async def request(
    url: str, *, limit: int = LIMIT, proxy: str | None = None, **options: Any
) -> Reply | ExchangeError:
    reached = None if proxy is None else ConnectionSettings(proxy=SecretStr(proxy))
    async with create_transport(reached=reached, large_responses=False) as transport:
        try:
            return await exchange(
                transport,
                httpx.Request("GET", url),
                deadline=30.0,
                body_limit=limit,
                **options,
            )
        except ExchangeError as error:
            return error


async def attacked(
    name: str, *, as_proxy: bool = False, **options: Any
) -> tuple[Reply | ExchangeError, int, float]:
    """Return the outcome, the bytes that the server could send, and the longest turn of the loop in
    seconds of processor time.
    """
    sent = 0
    longest = 0.0
    if name in BOMBS:
        bomb(BOMBS[name])

    async def serve(stream: anyio.abc.SocketStream, _: int) -> None:
        nonlocal sent
        await read_request(stream)
        async for data in answer(name):
            await stream.send(data)
            sent += len(data)

    async def watch_loop() -> None:
        nonlocal longest
        while True:
            began = time.thread_time()
            await anyio.lowlevel.checkpoint()
            longest = max(longest, time.thread_time() - began)

    async with server(serve) as url, anyio.create_task_group() as tasks:
        tasks.start_soon(watch_loop)
        if as_proxy:
            outcome = await request("https://x.invalid/", proxy=url, **options)
        else:
            outcome = await request(url, **options)
        tasks.cancel_scope.cancel()
    return outcome, sent, longest


OUTCOMES = {
    **dict.fromkeys(ENDLESS, "the response is not valid HTTP"),
    "interim responses": "the response has more than 8 interim responses",
    "interim responses with headers": "the response has more than 8 interim responses",
    "blank lines": "the head of the response is longer than 128 KiB",
    "long headers": "the head of the response is longer than 128 KiB",
    "chunks of one byte": 200,
    "the size of a chunk": "the framing of the response is longer than 128 KiB",
    "an extension of a chunk": "the framing of the response is longer than 128 KiB",
    "extensions of chunks": "the framing of the response is longer than 128 KiB",
    "long trailers": "the framing of the response is longer than 128 KiB",
    "a body": 200,
    "a body until the end": 200,
    "answers": 200,
    "data after an upgrade": 101,
    "members of gzip": 200,
    "blocks of deflate": 200,
    "gzip in gzip": "the body has 2 content encodings",
    "a gzip bomb": 200,
    "a brotli bomb": 200,
    "a body that is shorter than it says": "the response is incomplete",
    "a redirect to itself": 307,
    "no HTTP": "the response is not valid HTTP",
    "nothing": "the connection was closed without a response: if the port expects TLS, begin the "
    "URL with https://",
}


@pytest.mark.parametrize("name", [*ENDLESS, *FINITE, *BOMBS])
async def test_an_answer_that_means_harm_costs_little(name: str) -> None:
    outcome, sent, longest = await attacked(name)
    shown = outcome.status if isinstance(outcome, Reply) else str(outcome)
    assert shown == OUTCOMES[name]
    if isinstance(outcome, Reply):
        assert len(outcome.body) <= LIMIT
    # What a server could send is what was read, and what the buffers of the system hold: most of
    # it in those of the sender.
    assert sent < 12_000_000
    assert longest < TURN


@pytest.mark.parametrize("name", [*ENDLESS, *FINITE, *BOMBS])
async def test_a_proxy_that_means_harm_is_an_error_that_costs_little(name: str) -> None:
    outcome, sent, longest = await attacked(name, as_proxy=True)
    assert isinstance(outcome, ExchangeError)
    assert sent < 12_000_000
    assert longest < TURN


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("nothing", "no HTTP")])
async def test_a_2xx_that_means_harm_is_an_answer_all_the_same(name: str) -> None:
    outcome, _, longest = await attacked(name, limit=8192, decoded=False, rest_within=0.2)
    assert longest < TURN
    if isinstance(outcome, ExchangeError):
        assert "interim" in name or name in ("a reason phrase", "blank lines")
    else:
        assert outcome.status in (200, 101, 307)
        assert len(outcome.body) <= 8192


async def raw(content: bytes, **options: Any) -> Reply | ExchangeError:
    async def serve(stream: anyio.abc.SocketStream, _: int) -> None:
        await read_request(stream)
        for start in range(0, len(content), 10_000):
            await stream.send(content[start : start + 10_000])

    async with server(serve) as url:
        return await request(url, **options)


@pytest.mark.parametrize(("interim", "accepted"), [(MOST_INTERIM, True), (MOST_INTERIM + 1, False)])
async def test_a_few_interim_responses_are_skipped(interim: int, accepted: bool) -> None:
    outcome = await raw(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" * interim + OK)
    assert isinstance(outcome, Reply) == accepted


@pytest.mark.parametrize(("size", "accepted"), [(MOST_OVERHEAD - 2000, True), (150_000, False)])
async def test_a_head_has_a_limit(size: int, accepted: bool) -> None:
    headers = b"".join(b"x-%d: %s\r\n" % (n, b"y" * 4000) for n in range(size // 4010))
    outcome = await raw(OK.replace(b"Content", headers + b"Content", 1))
    assert isinstance(outcome, Reply) == accepted


@pytest.mark.parametrize("size", [1, 7, 4096])
async def test_chunks_of_any_size_are_a_body(size: int) -> None:
    body = bytes(range(256)) * 100
    chunks = b"".join(
        b"%x\r\n%s\r\n" % (len(piece), piece)
        for piece in (body[start : start + size] for start in range(0, len(body), size))
    )
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    outcome = await raw(head + chunks + b"0\r\nx: y\r\n\r\n", limit=len(body))
    assert isinstance(outcome, Reply)
    assert outcome.body == body
    assert not outcome.truncated


async def test_bodies_share_the_memory_of_the_process() -> None:
    memory = ResponseMemory(500_000)
    body = b"HTTP/1.1 200 OK\r\nContent-Length: 700000\r\n\r\n" + b"x" * 700_000
    held = anyio.Event()

    async def serve(stream: anyio.abc.SocketStream, number: int) -> None:
        await read_request(stream)
        if number == 1:
            await stream.send(body[:-1])
            held.set()
            await anyio.sleep_forever()
        await stream.send(body)

    async with server(serve) as url, anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: request(url, limit=10**6, memory=memory))
        await held.wait()
        while memory.remaining > 200_000:
            await anyio.lowlevel.checkpoint()
        second = await request(url, limit=10**6, memory=memory)
        tasks.cancel_scope.cancel()
    assert isinstance(second, Reply)
    assert second.truncated

    assert memory.remaining == 500_000
    assert isinstance(third := await raw(body, limit=10**6, memory=memory), Reply)
    assert not third.truncated
