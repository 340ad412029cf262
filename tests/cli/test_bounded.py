"""What answers a command may be no daemon: over real sockets."""

import gzip

import anyio.abc
import anyio.to_thread
import httpx
import pytest

from tests.support.raw_server import OK, read_request, server
from watcher.cli import bounded
from watcher.cli.address import Address
from watcher.core.errors import DaemonError

pytestmark = pytest.mark.anyio

BOMB = gzip.compress(b"\0" * 10_000_000)
ANSWERS = {
    "compressed": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    % len(BOMB)
    + BOMB,
    "MiB": b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n",
}


@pytest.mark.parametrize("problem", ANSWERS)
async def test_a_response_that_no_daemon_sends_is_an_error_of_one_line(problem: str) -> None:
    requests = []

    async def serve(stream: anyio.abc.SocketStream, _: int) -> None:
        requests.append(await read_request(stream))
        await stream.send(ANSWERS[problem])
        while problem == "MiB":
            await stream.send(b"x" * 1_000_000)

    def blocking(url: str) -> None:
        with httpx.Client(transport=Address(url=url).transport()) as client:
            client.get(url)

    async with server(serve) as url:
        with pytest.raises(DaemonError, match=problem):
            await anyio.to_thread.run_sync(blocking, url)
        async with httpx.AsyncClient(transport=Address(url=url).async_transport()) as client:
            with pytest.raises(DaemonError, match=problem):
                await client.get(url)
    assert all(b"accept-encoding: identity" in request.lower() for request in requests)


async def test_other_responses_and_the_event_stream_are_read() -> None:
    async def serve(stream: anyio.abc.SocketStream, number: int) -> None:
        await read_request(stream)
        if number == 1:
            await stream.send(OK)
            return
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for _ in range(bounded.LIMIT // 4_000_000 + 1):
            await stream.send(b"x" * 4_000_000)

    async with server(serve) as url:
        async with httpx.AsyncClient(transport=Address(url=url).async_transport()) as client:
            assert (await client.get(url)).content == b"ok"
        async with (
            httpx.AsyncClient(transport=Address(url=url).async_transport()) as client,
            client.stream("GET", url) as stream,
        ):
            total = 0
            async for chunk in stream.aiter_bytes():
                total += len(chunk)
    assert total > bounded.LIMIT


ENDLESS = {
    "interim responses": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a head": (b"HTTP/1.1 200 OK\r\n", b"x"),
    "a body": (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", b"x"),
    "extensions": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"1;a=b\r\nx\r\n",
    ),
}


@pytest.mark.parametrize("answer", ENDLESS)
async def test_a_response_without_end_is_an_error(answer: str) -> None:
    async def serve(stream: anyio.abc.SocketStream, _: int) -> None:
        await read_request(stream)
        begin, rest = ENDLESS[answer]
        await stream.send(begin)
        while True:
            await stream.send(rest)
            await anyio.sleep(0.002)

    def blocking(url: str) -> None:
        transport = bounded.BoundedTransport(encryption=None, uds=None, within=0.1)
        with httpx.Client(transport=transport) as client:
            client.get(url)

    asynchronous = bounded.AsyncBoundedTransport(encryption=None, uds=None, within=0.1)
    async with server(serve) as url:
        with pytest.raises(DaemonError, match="does not end"):
            await anyio.to_thread.run_sync(blocking, url)
        async with httpx.AsyncClient(transport=asynchronous) as client:
            with pytest.raises(DaemonError, match="does not end"):
                await client.get(url)
