"""What is sent, and when its connection is used again: the same as with a session of aiohttp."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp
import anyio
import anyio.abc
import httpx
import pytest
from pydantic import SecretStr

from tests.support.raw_server import OK, server
from watcher.core.settings import ConnectionSettings
from watcher.net.exchange import ExchangeError, exchange
from watcher.net.transport import SENT_ONCE, create_transport

pytestmark = pytest.mark.anyio

LARGE = 8 * 1024 * 1024
"""Bytes that no buffer between two sockets holds."""


async def read_head(stream: anyio.abc.SocketStream) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        received += await stream.receive()
    return received


def lines_of(head: bytes) -> Sequence[bytes]:
    first, *headers = head.partition(b"\r\n\r\n")[0].split(b"\r\n")
    return [first, *sorted(headers)]


@asynccontextmanager
async def heads() -> AsyncIterator[tuple[str, list[Sequence[bytes]]]]:
    """Serve, and collect the heads of the requests."""
    seen: list[Sequence[bytes]] = []

    async def serve(stream: anyio.abc.SocketStream, _: int) -> None:
        while True:
            seen.append(lines_of(await read_head(stream)))
            await stream.send(OK)

    async with server(serve) as url:
        yield url, seen


async def send(url: str, **request: object) -> int:
    async with create_transport() as transport:
        made = httpx.Request(url=url, **request)  # type: ignore[arg-type]
        return (await exchange(transport, made, deadline=5.0, body_limit=100)).status


@pytest.mark.parametrize(
    ("method", "body", "expected"),
    [
        ("GET", b"", []),
        ("DELETE", b"", [b"Content-Length: 0"]),
        ("POST", b"", [b"Content-Length: 0"]),
        ("POST", b"{}", [b"Content-Length: 2"]),
        ("DELETE", b"{}", [b"Content-Length: 2"]),
    ],
)
async def test_the_length_is_sent_where_a_body_may_be(
    method: str, body: bytes, expected: list[bytes]
) -> None:
    async with heads() as (url, seen):
        await send(f"{url}a%2Fb?x=%20", method=method, content=body)
        host = b"Host: " + httpx.URL(url).netloc
    assert seen == [[b"%s /a%%2Fb?x=%%20 HTTP/1.1" % method.encode(), *expected, host]]


async def test_the_framing_is_that_of_the_body_whatever_the_headers_say() -> None:
    wrong = {"content-length": "9", "transfer-encoding": "chunked", "host": "other", "x": "1"}
    async with heads() as (url, seen):
        await send(url, method="POST", headers=wrong, stream=httpx.ByteStream(b"{}"))
        host = b"Host: " + httpx.URL(url).netloc
    assert seen == [[b"POST / HTTP/1.1", b"Content-Length: 2", host, b"x: 1"]]


async def test_a_request_on_a_connection_of_its_own_says_that_it_closes() -> None:
    async with heads() as (url, seen):
        await send(url, method="GET", extensions={SENT_ONCE: True})
    assert b"Connection: close" in seen[0]


@pytest.mark.parametrize("value", [b"a\r\nx-more: 1", b"a\nb", b"a\rb", b"a\0b"])
async def test_a_header_cannot_contain_another_line(value: bytes) -> None:
    async with heads() as (url, seen):
        with pytest.raises(ExchangeError) as caught:
            await send(url, method="POST", headers=[(b"x-secret", value)], content=b"{}")
    assert caught.value.kind == "protocol"
    assert "x-more" not in str(caught.value)
    assert seen == []


@pytest.mark.parametrize("size", [1, 64 * 1024, 64 * 1024 + 1, LARGE])
async def test_a_body_of_any_size_arrives_whole(size: int) -> None:
    received = []

    async def serve(stream: anyio.abc.SocketStream, _: int) -> None:
        body = (await read_head(stream)).partition(b"\r\n\r\n")[2]
        while len(body) < size:
            body += await stream.receive()
        received.append(body)
        await stream.send(OK)

    async with server(serve) as url:
        assert await send(url, method="POST", content=b"x" * size) == 200
    assert received == [b"x" * size]


async def test_a_connection_with_the_rest_of_a_request_is_not_used_again() -> None:
    connections = []

    async def serve(stream: anyio.abc.SocketStream, number: int) -> None:
        connections.append(number)
        await read_head(stream)
        await stream.send(OK)  # the rest of the body is never read
        await anyio.sleep_forever()

    async with server(serve) as url, create_transport() as transport:
        for _ in range(2):
            request = httpx.Request("POST", url, content=b"x" * LARGE)
            reply = await exchange(transport, request, deadline=5.0, body_limit=100)
            assert (reply.status, reply.body) == (200, b"ok")
    assert connections == [1, 2]


async def test_a_head_request_ends_with_the_head_of_its_response() -> None:
    connections = []

    async def serve(stream: anyio.abc.SocketStream, number: int) -> None:
        while True:
            await read_head(stream)
            connections.append(number)
            await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")

    async with server(serve) as url, create_transport() as transport:
        for _ in range(2):
            request = httpx.Request("HEAD", url)
            reply = await exchange(transport, request, deadline=5.0, body_limit=100)
            assert (reply.status, reply.body) == (200, b"")
    assert connections == [1, 1]


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http://:80/", "/path"])
async def test_a_url_without_a_server_is_an_error_of_the_request(url: str) -> None:
    with pytest.raises(ExchangeError) as caught:
        await send(url, method="GET")
    assert caught.value.kind in ("protocol", "connect")


async def test_only_what_has_credentials_or_a_proxy_needs_a_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sessions = []
    original = aiohttp.ClientSession.request

    def counted(self: aiohttp.ClientSession, method: str, url: object, **options: object) -> object:
        sessions.append(str(url))
        return original(self, method, url, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(aiohttp.ClientSession, "request", counted)
    async with heads() as (url, seen):
        await send(url, method="GET")
        assert sessions == []
        await send(url.replace("//", "//me:hidden@"), method="GET")
        reached = ConnectionSettings(proxy=SecretStr(url))
        async with create_transport(reached=reached) as transport:
            request = httpx.Request("GET", "http://upstream.example/")
            await exchange(transport, request, deadline=5.0, body_limit=100)
    assert len(sessions) == 2
    assert any(line.startswith(b"Authorization: Basic ") for line in seen[1])
    assert seen[2][0] == b"GET http://upstream.example/ HTTP/1.1"
