"""Answers with a 2xx status line, of which the rest is malformed, or never ends."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import anyio
import anyio.abc

from tests.support.raw_server import OK, read_request


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a receiver writes; then it ends the connection, or sends `forever` twice a second, which
    may be nothing.
    """

    written: bytes
    forever: bytes | None = None


def _ok(rest: bytes, forever: bytes | None = None) -> Answer:
    return Answer(written=b"HTTP/1.1 200 OK\r\n" + rest, forever=forever)


_CHUNKED = b"Transfer-Encoding: chunked\r\n"
_TWO = b"Content-Length: 2\r\n"
ANSWERS: Mapping[str, Answer] = {
    # heads
    "nothing": _ok(b""),
    "a head cut off": _ok(b"Content-Le"),
    "a header of 9 KB": _ok(b"X: " + b"y" * 9216 + b"\r\n" + _TWO + b"\r\nok"),
    "a header of 100 KB": _ok(b"X: " + b"y" * 100_000 + b"\r\n\r\n"),
    "150 headers": _ok(b"".join(b"X-%d: y\r\n" % number for number in range(150)) + b"\r\n"),
    "a header without a colon": _ok(b"no colon\r\n" + _TWO + b"\r\nok"),
    "a space before the colon": _ok(b"X : y\r\n" + _TWO + b"\r\nok"),
    "a header without a name": _ok(b": y\r\n" + _TWO + b"\r\nok"),
    "a null byte in a header": _ok(b"X: a\0b\r\n" + _TWO + b"\r\nok"),
    "a header that is not ASCII": _ok(b"X: \xff\xfe\r\n" + _TWO + b"\r\nok"),
    "a folded header": _ok(b"X: a\r\n b\r\n" + _TWO + b"\r\nok"),
    "line feeds alone": Answer(written=b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
    "no headers": _ok(b"\r\nok"),
    # framings
    "Content-Length twice": _ok(_TWO + b"Content-Length: 3\r\n\r\nok"),
    "a negative Content-Length": _ok(b"Content-Length: -2\r\n\r\nok"),
    "a Content-Length in words": _ok(b"Content-Length: two\r\n\r\nok"),
    "a Content-Length that is too large": _ok(b"Content-Length: 2000\r\n\r\nok"),
    "a Content-Length that is too small": _ok(b"Content-Length: 1\r\n\r\nok"),
    "both framings": _ok(_TWO + _CHUNKED + b"\r\n2\r\nok\r\n0\r\n\r\n"),
    "an unknown framing": _ok(b"Transfer-Encoding: sideways\r\n\r\nok"),
    "an invalid chunk size": _ok(_CHUNKED + b"\r\nzz\r\nok\r\n"),
    "chunks cut off": _ok(_CHUNKED + b"\r\nff\r\nok"),
    "a second response": _ok(_TWO + b"\r\nok" + OK),
    "left-over bytes": _ok(_TWO + b"\r\nok and more"),
    "a compression that is none": _ok(b"Content-Encoding: gzip\r\n" + _TWO + b"\r\nok"),
    # status lines
    "HTTP/1.0": Answer(written=b"HTTP/1.0 200 OK\r\n\r\nok"),
    "no reason": Answer(written=b"HTTP/1.1 202\r\n\r\n"),
    "an unknown status": Answer(written=b"HTTP/1.1 299 \xff\r\n\r\n"),
    "204 with a body": Answer(written=b"HTTP/1.1 204 X\r\nContent-Length: 4\r\n\r\nbody"),
    "interim responses before": Answer(
        written=b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + OK
    ),
    # without an end
    "a head that stays open": _ok(b"X: ", forever=b""),
    "a body that stays open": _ok(b"\r\nok", forever=b""),
    "a body at 2 bytes a second": _ok(b"Content-Length: 1000\r\n\r\n", forever=b"x"),
    "chunks without an end": _ok(_CHUNKED + b"\r\n", forever=b"1\r\nx\r\n"),
    "headers without an end": _ok(b"", forever=b"X: y\r\n"),
    "204 that stays open": Answer(written=b"HTTP/1.1 204 X\r\n", forever=b""),
}


class Receivers:
    """Answers each path, the position in `ANSWERS`, in its way; at `/next`, one after the other."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.answered_at: dict[str, float] = {}

    async def serve(self, stream: anyio.abc.SocketStream, _: int) -> None:
        head = await read_request(stream)
        path = head.split(b" ")[1][1:].decode()
        name = [*ANSWERS][self.requests.total() % len(ANSWERS) if path == "next" else int(path)]
        self.requests[name] += 1
        self.answered_at[name] = anyio.current_time()
        answer = ANSWERS[name]
        await stream.send(answer.written)
        while answer.forever is not None:
            await anyio.sleep(0.5)
            await stream.send(answer.forever)
