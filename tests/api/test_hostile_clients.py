"""Hostile clients of a listener, over real sockets."""

import asyncio
import errno
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import anyio.abc
import anyio.lowlevel
import h11
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from watcher.api import server, unix_socket
from watcher.api.acceptor import Acceptor
from watcher.api.clients import peer_of
from watcher.api.connections import Connections
from watcher.api.http_protocol import CHUNKS_LIMIT, EVENTS_PER_TURN, HEADERS_LIMIT, Parser
from watcher.api.listener import Limits, Listener
from watcher.api.rejections import Rejections
from watcher.api.turns import Turns

pytestmark = pytest.mark.anyio

PATIENCE = 20.0
CLOSED = (anyio.EndOfStream, anyio.BrokenResourceError)
CHUNKED = b"POST /read HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
GET = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"


class Api:
    """Reads a body at `/read`, never answers at `/never`, and everything else with 401 at once."""

    def __init__(self) -> None:
        self.longest_piece = 0
        self.waiting = anyio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/never":
            self.waiting.set()
            await anyio.sleep_forever()
        status, more = 401, scope["path"] == "/read"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            self.longest_piece = max(self.longest_piece, len(message["body"]))
            status, more = 200, message.get("more_body", False)
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"answer"})


class Site:
    """The listener, and connections to it."""

    def __init__(self, api: Api, port: int, tasks: anyio.abc.TaskGroup) -> None:
        self.api = api
        self._port = port
        self._tasks = tasks

    async def connect(self) -> anyio.abc.SocketStream:
        return await anyio.connect_tcp("127.0.0.1", self._port)

    async def exchange(self, sent: bytes) -> bytes:
        """Send, and return everything until the other side closes the connection."""
        async with await self.connect() as stream:
            return await exchange(stream, sent)


async def exchange(stream: anyio.abc.SocketStream, sent: bytes) -> bytes:
    received = b""
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_send, stream, sent)
            try:
                while True:
                    received += await stream.receive()
            except CLOSED:
                tasks.cancel_scope.cancel()
    return received


async def _send(stream: anyio.abc.SocketStream, sent: bytes) -> None:
    try:
        await stream.send(sent)
    except anyio.BrokenResourceError:
        return


@asynccontextmanager
async def listening(most_connections: int = 64) -> AsyncIterator[Site]:
    stopping = anyio.Event()
    api = Api()
    listener = server.bind("server", "127.0.0.1", 0)
    port = listener.getsockname()[1]

    async def serve(*, task_status: anyio.abc.TaskStatus[None]) -> None:
        await server.serve(
            api,
            listener,
            stopping,
            limits=Limits(most_connections=most_connections),
            task_status=task_status,
        )

    async with anyio.create_task_group() as tasks:
        await tasks.start(serve)
        yield Site(api, port, tasks)
        stopping.set()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"1\r\nx\r\n" * (CHUNKS_LIMIT + 1), 413),
        (b"1;" + b"x" * 1000 + b"\r\ny\r\n" + b"1\r\nx\r\n", 200),
        ((b"1;" + b"x" * 15_000 + b"\r\ny\r\n") * 200, 413),
        (b"ffff\r\n" + b"x" * 0xFFFF + b"\r\n", 200),
        ((b"ffff\r\n" + b"x" * 0xFFFF + b"\r\n") * 40, 413),
        (b"0\r\n" + b"x: y\r\n" * 3000, 431),
        (b"1;" + b"x" * 50_000, 431),
        (b"1" * 30 + b"\r\n", 400),
        (b"-1\r\n", 400),
    ],
)
async def test_framing_counts_against_the_limit(body: bytes, status: int) -> None:
    end = b"0\r\n\r\n" if status == 200 else b""
    async with listening() as site:
        sent = CHUNKED.replace(b"host", b"connection: close\r\nhost") + body + end
        answer = await site.exchange(sent)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert site.api.longest_piece <= 128 * 1024  # a client that is too fast is not read


async def test_a_turn_parses_a_part() -> None:
    parser = Parser()
    parser.receive_data(CHUNKED + b"1\r\nx\r\n" * 1000)
    turns = 0
    while True:
        parser.begin_turn()
        events = 0
        while parser.next_event() is not h11.NEED_DATA:
            events += 1
        assert events <= EVENTS_PER_TURN
        turns += 1
        if not parser.end_turn():
            break
    assert turns == 1 + 1000 // EVENTS_PER_TURN
    assert parser.next_event() is h11.NEED_DATA  # outside of a turn, too


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a:b\r\n" * HEADERS_LIMIT + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a:b\r\n" * HEADERS_LIMIT, 431),
        (b"GET / HTTP/1.1\nhost: x\n" + b"a:b\n" * HEADERS_LIMIT, 431),
        (b"GET /" + b"x" * 20_000, 431),
        (b"GET / HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"\r\n\r\n", 400),
    ],
)
async def test_what_is_not_http_is_answered_and_closed(head: bytes, status: int) -> None:
    async with listening() as site:
        answer = await site.exchange(head)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"connection: close" in answer
    assert b"application/problem+json" in answer
    assert b"x-content-type-options: nosniff" in answer


async def test_garbage_costs_no_line_each_and_no_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kinds = [
        b"\x16\x03\x01\x02",
        b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade, close\r\n\r\n",
        CHUNKED + b"nonsense\r\n",
        GET + b"garbage\r\n\r\n",
        b"CONNECT x:1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    ]
    with caplog.at_level(logging.DEBUG, "watcher"):
        async with listening() as site:
            for sent in kinds * 5:
                await site.exchange(sent)
    (record,) = [record for record in caplog.records if record.name.startswith("watcher")]
    assert "closed 1 connections" in record.message
    assert not any(record.exc_info for record in caplog.records)


async def test_an_early_answer_closes_the_connection() -> None:
    """… which reads the rest of the body no more, and still delivers the answer."""
    request = b"POST /none HTTP/1.1\r\nhost: x\r\ncontent-length: 900000\r\n\r\n"
    async with listening() as site:
        for body in (b"", b"x" * 899_999):
            answer = await site.exchange(request + body)
            assert answer.startswith(b"HTTP/1.1 401")
            assert b"connection: close" in answer
            assert answer.endswith(b"answer\r\n0\r\n\r\n")
        answer = await site.exchange(request.replace(b"900000", b"3") + b"abc" + b"GET\r\n\r\n")
        assert b"connection: close" not in answer.partition(b"\r\n\r\n")[0]


async def test_silent_connections_give_way_to_the_next_one() -> None:
    async with listening(most_connections=8) as site:
        silent = [await site.connect() for _ in range(40)]
        for number, stream in enumerate(silent[20:30]):
            await stream.send(b"GET / HT" if number % 2 else CHUNKED)
        async with await site.connect() as stream:
            await stream.send(GET)
            assert (await stream.receive()).startswith(b"HTTP/1.1 401")
        with anyio.fail_after(PATIENCE), pytest.raises(CLOSED):
            await silent[0].receive()
        for stream in silent:
            await stream.aclose()


async def test_one_that_was_not_read_yet_gives_way_after_those_with_half_a_request() -> None:
    async with listening(most_connections=8) as site, AsyncExitStack() as streams:
        for _ in range(8):
            half = await streams.enter_async_context(await site.connect())
            await half.send(b"GET / HT")
        await site.exchange(GET.replace(b"host", b"connection: close\r\nhost"))
        fresh = await streams.enter_async_context(await site.connect())
        for _ in range(5):
            await streams.enter_async_context(await site.connect())
        await site.exchange(GET.replace(b"host", b"connection: close\r\nhost"))
        await fresh.send(GET)
        assert (await fresh.receive()).startswith(b"HTTP/1.1 401")


async def test_stopping_ends_every_connection_and_logs_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with AsyncExitStack() as streams:
        async with listening() as site:
            open_ones = [await streams.enter_async_context(await site.connect()) for _ in range(4)]
            never, *others = open_ones
            await never.send(GET.replace(b"healthz", b"never"))
            for stream, sent in zip(others, (b"", b"GET / HT", CHUNKED), strict=True):
                await stream.send(sent)
            await site.api.waiting.wait()
        for stream in open_ones:
            with anyio.fail_after(PATIENCE), pytest.raises(CLOSED):
                await stream.receive()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_pipelined_requests_are_answered_in_turns() -> None:
    async with listening() as site, await site.connect() as stream:
        last = GET.replace(b"host", b"connection: close\r\nhost")
        answers = await exchange(stream, GET * 30 + last)
    assert answers.count(b"HTTP/1.1 401") == 31


async def test_the_peer_of_a_unix_socket_is_its_user(tmp_path: Path) -> None:
    peers: list[str] = []

    async def api(scope: Scope, receive: Receive, send: Send) -> None:
        peers.append(peer_of(scope))
        await Api()(scope, receive, send)

    stopping = anyio.Event()
    with unix_socket.bound("server", tmp_path / "api.sock", 8) as listener:
        async with anyio.create_task_group() as tasks:
            await tasks.start(server.serve, api, listener, stopping)
            async with await anyio.connect_unix(tmp_path / "api.sock") as stream:
                await stream.send(GET)
                assert await stream.receive()
            stopping.set()
    assert peers == [f"uid {os.getuid()}, pid {os.getpid()}"]


class NoFiles:
    """A socket of a process that can open no more files, and then can."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._theirs.send(b"x")
        self.attempts = 0

    def fileno(self) -> int:
        return self._ours.fileno()

    def accept(self) -> object:
        self.attempts += 1
        raise OSError(errno.EMFILE, "made up")

    def close(self) -> None:
        self._ours.close()
        self._theirs.close()


async def test_without_files_accepting_pauses(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "watcher")
    files = NoFiles()
    turns = Turns(asyncio.get_running_loop())
    rejections = Rejections("server", anyio.current_time)
    shared = Listener(
        config=uvicorn.Config(Api()),
        state=ServerState(),
        turns=turns,
        connections=Connections(turns.clock),
        rejections=rejections,
        limits=Limits(),
        tls=lambda: None,
        buffer=memoryview(bytearray(1)),
    )
    acceptor = Acceptor(shared, files)  # type: ignore[arg-type]
    acceptor.start()
    for _ in range(200):
        await anyio.lowlevel.checkpoint()
    acceptor.close()
    files.close()
    assert files.attempts == 1
    assert len(caplog.records) == 1
