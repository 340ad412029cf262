"""The listener over real sockets: clients that are slow, and requests that are too large."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.abc
import pytest
from starlette.types import Receive, Scope, Send

from watcher.api import server
from watcher.api.listener import Limits

pytestmark = pytest.mark.anyio

LIMIT = 0.3


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with what it was sent; at `/long` with a GB."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
        if message["type"] == "http.disconnect":
            return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(16_384 if scope["path"] == "/long" else 0):
        await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def client() -> AsyncIterator[anyio.abc.SocketStream]:
    stopping = anyio.Event()
    listener = server.bind("server", "127.0.0.1", 0)
    port = listener.getsockname()[1]
    async with anyio.create_task_group() as tasks:
        await tasks.start(lambda *, task_status: serve(listener, stopping, task_status))
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            with anyio.fail_after(10):
                yield stream
        stopping.set()


async def serve(
    listener: object, stopping: anyio.Event, task_status: anyio.abc.TaskStatus[None]
) -> None:
    await server.serve(
        app,
        listener,  # type: ignore[arg-type]
        stopping,
        limits=Limits(request_within=LIMIT, read_within=LIMIT),
        task_status=task_status,
    )


async def rest(stream: anyio.abc.SocketStream) -> bytes:
    """Everything that comes until the other side ends or breaks off."""
    received = b""
    try:
        while True:
            received += await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return received


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HT",
        b"POST / HTTP/1.1\r\nhost: x\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nab",
    ],
)
async def test_a_request_that_does_not_come_is_cut_off(sent: bytes) -> None:
    async with client() as stream:
        began = anyio.current_time()
        if sent:
            await stream.send(sent)
        assert b"200" not in await rest(stream)
        assert anyio.current_time() - began < 5


async def test_dripping_does_not_help() -> None:
    async with client() as stream:
        await stream.send(b"GET / HTTP/1.1\r\n")
        with pytest.raises((anyio.BrokenResourceError, anyio.EndOfStream)):
            for number in range(1000):
                await stream.send(b"x-%d: y\r\n" % number)
                with anyio.move_on_after(LIMIT / 20):
                    await stream.receive()


async def test_an_answer_that_no_one_reads_is_cut_off() -> None:
    async with client() as stream:
        await stream.send(b"GET /long HTTP/1.1\r\nhost: x\r\n\r\n")
        assert await stream.receive()
        with anyio.move_on_after(LIMIT * 3):
            await anyio.sleep_forever()
        received = await rest(stream)
    assert len(received) < 100 * 1024 * 1024


async def test_several_requests_on_one_connection_are_answered() -> None:
    async with client() as stream:
        for number in range(3):
            await stream.send(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\n%d" % number)
            received = b""
            while not received.endswith(b"\r\n%d\r\n0\r\n\r\n" % number):
                received += await stream.receive()
            with anyio.move_on_after(LIMIT / 2):
                await anyio.sleep_forever()


async def test_headers_have_a_limit() -> None:
    async with client() as stream:
        await stream.send(b"GET / HTTP/1.1\r\nhost: x\r\nx-long: " + b"x" * 20_000)
        assert b" 431 " in await rest(stream)
