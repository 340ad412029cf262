"""Answers of servers that mean harm, by name: most of them never end.

Each is a sequence of bytes to send after a request was read; the benchmark and tests share them.
"""

import asyncio
import gzip
from collections.abc import AsyncIterator, Iterable
from functools import lru_cache
from itertools import repeat

import brotli  # type: ignore[import-untyped]

OK = b"HTTP/1.1 200 OK\r\n"
_BOMB = 50_000_000
_BLOCK = 64 * 1024
_CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
_TEN_GB = OK + b"content-length: 10000000000\r\n\r\n"


def _filled(unit: bytes) -> Iterable[bytes]:
    return repeat(unit * (_BLOCK // len(unit) + 1))


def _encoded(name: bytes) -> bytes:
    """Return a response of a few KB that becomes `_BOMB` bytes."""
    body = b"\0" * _BOMB
    for one in name.split(b", "):
        body = gzip.compress(body) if one == b"gzip" else brotli.compress(body, quality=2)
    return OK + b"content-encoding: %s\r\ncontent-length: %d\r\n\r\n" % (name, len(body)) + body


ENDLESS: dict[str, tuple[bytes, Iterable[bytes]]] = {
    "interim responses": (b"", _filled(b"HTTP/1.1 100 Continue\r\n\r\n")),
    "interim responses with headers": (
        b"",
        _filled(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\nx: y\r\n\r\n"),
    ),
    "blank lines": (b"", _filled(b"\r\n")),
    "a reason phrase": (b"HTTP/1.1 200 ", _filled(b"x")),
    "a header line": (OK + b"x: ", _filled(b"y")),
    "a header name": (OK, _filled(b"x")),
    "headers": (OK, _filled(b"a:b\r\n")),
    "long headers": (OK, _filled(b"x: " + b"y" * 50_000 + b"\r\n")),
    "cookies": (OK, _filled(b"set-cookie: a=b; path=/; domain=example\r\n")),
    "chunks of one byte": (_CHUNKED, _filled(b"1\r\nx\r\n")),
    "an extension of a chunk": (_CHUNKED + b"1;", _filled(b"a")),
    "extensions of chunks": (_CHUNKED, _filled(b"1" + b";a=b" * 500 + b"\r\nx\r\n")),
    "the size of a chunk": (_CHUNKED, _filled(b"0")),
    "trailers": (_CHUNKED + b"1\r\nx\r\n0\r\n", _filled(b"a:b\r\n")),
    "long trailers": (_CHUNKED + b"1\r\nx\r\n0\r\n", _filled(b"x: " + b"y" * 50_000 + b"\r\n")),
    "a body": (_TEN_GB, _filled(b"x")),
    "a body until the end": (OK + b"\r\n", _filled(b"x")),
    "data after the answer": (OK + b"content-length: 2\r\n\r\nok", _filled(b"x")),
    "answers": (OK + b"content-length: 2\r\n\r\nok", _filled(OK + b"content-length: 0\r\n\r\n")),
    "data after an upgrade": (
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        _filled(b"x"),
    ),
    "members of gzip": (
        OK + b"content-encoding: gzip\r\ncontent-length: 10000000000\r\n\r\n",
        _filled(gzip.compress(b"")),
    ),
    "blocks of deflate": (
        OK + b"content-encoding: deflate\r\ncontent-length: 10000000000\r\n\r\n\x78\x9c",
        _filled(b"\x00\x00\x00\xff\xff"),
    ),
}
FINITE: dict[str, bytes] = {
    "a body that is shorter than it says": OK + b"content-length: 5000\r\n\r\nok",
    "a redirect to itself": b"HTTP/1.1 307 Temporary Redirect\r\nlocation: /\r\ncontent-length: "
    b"0\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00" * 1000,
    "nothing": b"",
}
BOMBS = {"gzip in gzip": b"gzip, gzip", "a gzip bomb": b"gzip", "a brotli bomb": b"br"}
SLOW: dict[str, tuple[bytes, bytes]] = {
    "a head, byte by byte": (OK, b"x"),
    "a body, byte by byte": (_TEN_GB, b"x"),
    "chunks, byte by byte": (_CHUNKED, b"1\r\nx\r\n"),
    "interim responses, one by one": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}
NAMES = [*ENDLESS, *FINITE, *BOMBS, *SLOW]


bomb = lru_cache(_encoded)


async def answer(name: str) -> AsyncIterator[bytes]:
    """Yield what the server called `name` sends; it closes the connection at the end."""
    if name in FINITE or name in BOMBS:
        yield FINITE[name] if name in FINITE else bomb(BOMBS[name])
        return
    head, rest = ENDLESS[name] if name in ENDLESS else (SLOW[name][0], repeat(SLOW[name][1]))
    yield head
    for block in rest:
        yield block
        if name in SLOW:
            await asyncio.sleep(0.02)
