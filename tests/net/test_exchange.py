"""One exchange over a real socket: whatever the peer sends is a reply or an `ExchangeError`."""

import gzip
import zlib
from random import Random

import anyio
import anyio.abc
import brotli  # type: ignore[import-untyped]
import httpx
import pytest

from tests.support.raw_server import OK, read_request, server
from watcher.net.exchange import ExchangeError, Reply, exchange
from watcher.net.transport import create_transport

pytestmark = pytest.mark.anyio

JSON = b'{"status": "COMPLETED"}'


def response(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def reply_to(
    answer: bytes,
    *,
    limit: int = 1_000_000,
    rest_within: float | None = None,
    decoded: bool = True,
    then: float = 0.0,
) -> Reply:
    """Return the reply of a server that sends `answer` and closes after `then` seconds."""

    async def serve(stream: anyio.abc.SocketStream, _: int) -> None:
        await read_request(stream)
        await stream.send(answer)
        await anyio.sleep(then)

    outcome: Reply | ExchangeError
    async with server(serve) as url, create_transport() as transport:
        try:
            outcome = await exchange(
                transport,
                httpx.Request("GET", url),
                deadline=10.0,
                body_limit=limit,
                decoded=decoded,
                rest_within=rest_within,
            )
        except ExchangeError as error:
            outcome = error
    if isinstance(outcome, ExchangeError):
        raise outcome
    return outcome


COMPRESSED = {
    "gzip": (b"gzip", gzip.compress(JSON)),
    "brotli": (b"br", brotli.compress(JSON)),
    "no encoding": (b"utf-8", JSON),
    "empty": (b"gzip", b""),
}
DAMAGED = {
    "no gzip": (b"gzip", JSON),
    "no deflate": (b"deflate", JSON),
    "no brotli": (b"br", JSON),
    "no zstd": (b"zstd", JSON),
    "gzip cut off": (b"gzip", gzip.compress(JSON)[:-9]),
    "deflate cut off": (b"deflate", zlib.compress(JSON)[:-5]),
    "gzip twice": (b"gzip, gzip", gzip.compress(gzip.compress(JSON))),
    "nine times": (b", ".join([b"gzip"] * 9), gzip.compress(JSON)),
}


@pytest.mark.parametrize("case", COMPRESSED)
async def test_an_unrequested_compression_is_decoded(case: str) -> None:
    encoding, body = COMPRESSED[case]
    reply = await reply_to(response(body, b"Content-Encoding: " + encoding))
    assert reply.body == (JSON if body else b"")
    assert not reply.truncated


@pytest.mark.parametrize("case", DAMAGED)
async def test_a_body_that_is_not_what_its_encoding_says_is_a_protocol_error(case: str) -> None:
    encoding, body = DAMAGED[case]
    with pytest.raises(ExchangeError) as caught:
        await reply_to(response(body, b"Content-Encoding: " + encoding))
    assert caught.value.kind == "protocol"
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("encoding", ["br", "gzip"])
async def test_a_body_that_grows_a_millionfold_is_read_up_to_the_limit(encoding: str) -> None:
    body = b"\0" * 50_000_000
    body = brotli.compress(body, quality=3) if encoding == "br" else gzip.compress(body)
    reply = await reply_to(
        response(body, b"Content-Encoding: " + encoding.encode()), limit=40_000_000
    )
    assert len(reply.body) == 64 * 1024  # enough for an error's text
    assert reply.truncated


@pytest.mark.parametrize("error", [MemoryError, RecursionError, ValueError, httpx.InvalidURL])
async def test_an_unexpected_error_is_one_of_its_exchange(error: type[Exception]) -> None:
    async def handle(request: httpx.Request) -> httpx.Response:
        raise error("sk_secret")

    with pytest.raises(ExchangeError) as caught:
        await exchange(
            httpx.MockTransport(handle),
            httpx.Request("GET", "http://upstream/"),
            deadline=1.0,
            body_limit=100,
        )
    assert caught.value.kind == "protocol"
    assert str(caught.value) == f"unexpected error ({error.__name__})"
    assert isinstance(caught.value.__cause__, error)


PIECES = [
    *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 204\r\n", b"\r\n"),
    *(b"Content-Length: 5\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n"),
    *(b"Content-Encoding: gzip\r\n", b"Content-Encoding: zstd\r\n", b"X: " + b"y" * 9000 + b"\r\n"),
    *(
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        b"\x00",
        b"\xff\xfe",
        b"hello",
        b": \r\n",
        b"Location: \r\n",
    ),
]


async def test_random_responses_end_as_a_reply_or_as_an_exchange_error() -> None:
    random = Random(15)
    answers = [b"".join(random.choices(PIECES, k=random.randint(1, 9))) for _ in range(300)]

    async def serve(stream: anyio.abc.SocketStream, number: int) -> None:
        await read_request(stream)
        await stream.send(answers[number - 1])

    async with server(serve) as url, create_transport() as transport:
        for number in range(len(answers)):
            request = httpx.Request("GET", url, extensions={"watcher.sent_once": True})
            try:
                reply = await exchange(transport, request, deadline=10.0, body_limit=1000)
            except ExchangeError as error:
                assert error.__cause__ is None, answers[number]
            else:
                assert reply.status >= 200


RESTS = {
    "a header of 9 KB": b"X-Long: " + b"y" * 9216 + b"\r\nContent-Length: 2\r\n\r\nok",
    "a header of 70 KB": b"X-Long: " + b"y" * 70_000 + b"\r\nContent-Length: 2\r\n\r\nok",
    "150 headers": b"".join(b"X-%d: y\r\n" % n for n in range(150)) + b"\r\n",
    "a malformed header": b"no colon here\r\nContent-Length: 2\r\n\r\nok",
    "a space before the colon": b"X-Name : y\r\nContent-Length: 2\r\n\r\nok",
    "an empty header name": b": y\r\nContent-Length: 2\r\n\r\nok",
    "a null byte in a header": b"X: a\0b\r\nContent-Length: 2\r\n\r\nok",
    "Content-Length twice": b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "a negative Content-Length": b"Content-Length: -2\r\n\r\nok",
    "an invalid Content-Length": b"Content-Length: two\r\n\r\nok",
    "both framings": b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "an unknown framing": b"Transfer-Encoding: sideways\r\n\r\nok",
    "a body cut off": b"Content-Length: 2000\r\n\r\nok",
    "chunks cut off": b"Transfer-Encoding: chunked\r\n\r\nff\r\nok",
    "a malformed chunk": b"Transfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n",
    "headers cut off": b"Content-Le",
    "nothing": b"",
    "left-over bytes": b"Content-Length: 2\r\n\r\nok and more",
    "a second response": b"Content-Length: 2\r\n\r\nok" + OK,
    "bare line feeds": b"X: y\n\nok",
}


@pytest.mark.parametrize("status", [b"200 OK", b"202", b"204 No Content", b"299 \xff\xfe"])
@pytest.mark.parametrize("rest", RESTS)
async def test_whatever_follows_the_status_line_a_2xx_is_a_reply(rest: str, status: bytes) -> None:
    reply = await reply_to(b"HTTP/1.1 " + status + b"\r\n" + RESTS[rest], rest_within=0.8)
    assert reply.status == int(status[:3])


@pytest.mark.parametrize("rest", RESTS)
async def test_without_that_a_malformed_rest_is_an_error_or_read_leniently(rest: str) -> None:
    try:
        reply = await reply_to(b"HTTP/1.1 200 OK\r\n" + RESTS[rest])
    except ExchangeError as error:
        assert error.kind == "protocol"
    else:
        assert reply.status == 200


@pytest.mark.parametrize("rest", ["a header of 9 KB", "150 headers"])
async def test_large_headers_are_read(rest: str) -> None:
    assert (await reply_to(b"HTTP/1.1 200 OK\r\n" + RESTS[rest])).status == 200


async def test_switching_protocols_is_a_reply_at_once() -> None:
    reply = await reply_to(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nbytes")
    assert reply.status == 101


async def test_a_status_line_after_interim_responses_counts() -> None:
    answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    reply = await reply_to(answer + b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", rest_within=0.8)
    assert reply.status == 200


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 200 OK", b"HTTP/1.1 20", b"HTTP/9.9 200 OK\r\n\r\n", b"200 OK\r\n\r\n"]
)
async def test_an_incomplete_status_line_is_no_reply(answer: bytes) -> None:
    with pytest.raises(ExchangeError) as caught:
        await reply_to(answer, rest_within=0.8)
    assert caught.value.kind == "protocol"


@pytest.mark.parametrize(
    "rest",
    [
        b"",
        b"X-Slow: ",
        b"Content-Length: 100\r\n\r\nok",
        b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
        b"\r\nok",
    ],
)
async def test_a_response_that_stays_open_does_not_take_the_whole_deadline(rest: bytes) -> None:
    began = anyio.current_time()
    reply = await reply_to(b"HTTP/1.1 200 OK\r\n" + rest, rest_within=0.2, then=30.0)
    assert reply.status == 200
    assert reply.truncated
    assert reply.body == (b"ok" if b"ok" in rest else b"")
    assert anyio.current_time() - began < 5


async def test_a_response_byte_by_byte_does_not_take_the_whole_deadline() -> None:
    async def serve(stream: anyio.abc.SocketStream, _: int) -> None:
        await read_request(stream)
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        while True:
            await stream.send(b"x")
            await anyio.sleep(0.05)

    began = anyio.current_time()
    async with server(serve) as url, create_transport() as transport:
        reply = await exchange(
            transport,
            httpx.Request("GET", url),
            deadline=10.0,
            body_limit=1000,
            rest_within=0.2,
        )
    assert reply.status == 200
    assert anyio.current_time() - began < 5


async def test_an_error_status_keeps_what_arrived() -> None:
    headers = b"Retry-After: 7\r\nContent-Length: 99\r\n\r\nbusy"
    reply = await reply_to(b"HTTP/1.1 503 Busy\r\n" + headers, rest_within=0.8)
    assert (reply.status, reply.headers["retry-after"], reply.body) == (503, "7", b"busy")


async def test_after_a_malformed_rest_the_connection_is_not_used_again() -> None:
    connections = []

    async def serve(stream: anyio.abc.SocketStream, number: int) -> None:
        connections.append(number)
        while True:
            await read_request(stream)
            await stream.send(b"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nbody")

    async with server(serve) as url, create_transport() as transport:
        for _ in range(3):
            reply = await exchange(
                transport,
                httpx.Request("GET", url),
                deadline=10.0,
                body_limit=1000,
                rest_within=0.8,
            )
            assert reply.status == 204

    assert connections == [1, 2, 3]
