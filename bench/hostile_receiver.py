"""Receivers that mean harm or are broken, in a process of their own.

    python -m bench.hostile_receiver PORT_FILE

The path of a request names what it meets; `KINDS` has them all.
"""

import asyncio
import gzip
import re
import signal
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]

_TEN_GB = 10 * 1024**3
_MEMBER = gzip.compress(b"\0" * 64 * 1024 * 1024, 9)
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_OK = b"HTTP/1.1 200 OK\r\n"
_PAGE = b"<html>" + b"x" * 1024 * 1024


async def _again(
    writer: asyncio.StreamWriter, chunk: bytes, every: float = 0.0, times: int = 2**62
) -> None:
    for _ in range(times):
        writer.write(chunk)
        await writer.drain()
        await asyncio.sleep(every)


async def _trickle(writer: asyncio.StreamWriter) -> None:
    """One byte a second."""
    writer.write(_OK + b"content-length: 100000\r\n\r\n")
    await _again(writer, b"x", every=1.0)


async def _flood(writer: asyncio.StreamWriter) -> None:
    """10 GB as fast as it can."""
    writer.write(_OK + b"content-length: %d\r\n\r\n" % _TEN_GB)
    await _again(writer, b"x" * 1024 * 1024)


async def _bomb(writer: asyncio.StreamWriter) -> None:
    """Ten MB of gzip that unpack to 10 GB."""
    writer.write(_OK + b"content-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n")
    await _again(writer, b"%x\r\n%s\r\n" % (len(_MEMBER), _MEMBER), times=160)
    writer.write(b"0\r\n\r\n")
    await writer.drain()


async def _headers(writer: asyncio.StreamWriter) -> None:
    """A head without an end."""
    writer.write(_OK)
    await _again(writer, b"x-header: y\r\n" * 100, every=0.01)


async def _interim(writer: asyncio.StreamWriter) -> None:
    """Interim responses without an end."""
    await _again(writer, b"HTTP/1.1 100 Continue\r\n\r\n", every=0.1)


async def _chunks(writer: asyncio.StreamWriter) -> None:
    """Chunks without an end."""
    writer.write(_OK + b"transfer-encoding: chunked\r\n\r\n")
    await _again(writer, b"2\r\nok\r\n", every=0.1)


async def _open(writer: asyncio.StreamWriter) -> None:
    """A response that ends with its connection, which stays open."""
    writer.write(_OK + b"\r\nok")
    await asyncio.sleep(3600)


async def _hang(writer: asyncio.StreamWriter) -> None:
    """No response at all."""
    await asyncio.sleep(3600)


async def _late(writer: asyncio.StreamWriter) -> None:
    """A response just before the deadline."""
    await asyncio.sleep(14)
    writer.write(_OK + b"content-length: 0\r\n\r\n")


async def _reset(writer: asyncio.StreamWriter) -> None:
    """A reset after half a status line."""
    writer.write(b"HTTP/1.1 2")
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def _close(writer: asyncio.StreamWriter) -> None:
    """A connection that is closed."""


def _bytes(answer: bytes) -> Answer:
    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    return write


def _status(status: int, *headers: bytes, body: bytes = b"no") -> Answer:
    length = b"content-length: %d" % len(body)
    head = b"".join(line + b"\r\n" for line in (*headers, length))
    return _bytes(b"HTTP/1.1 %d X\r\n%s\r\n%s" % (status, head, body))


KINDS: Mapping[str, Answer] = {
    "trickle": _trickle,
    "flood": _flood,
    "bomb": _bomb,
    "endless headers": _headers,
    "endless interim": _interim,
    "endless chunks": _chunks,
    "open": _open,
    "hang": _hang,
    "late": _late,
    "reset": _reset,
    "close": _close,
    "not http": _bytes(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "two lengths": _bytes(_OK + b"content-length: 2\r\ncontent-length: 3\r\n\r\nok"),
    "204 with a body": _bytes(b"HTTP/1.1 204 X\r\ncontent-length: 4\r\n\r\nbody"),
    "400": _status(400),
    "404 with a page": _status(404, b"content-type: text/html", body=_PAGE),
    "410": _status(410),
    "413": _status(413),
    "429 for a day": _status(429, b"retry-after: 86400"),
    "503": _status(503),
}
"""Twenty ways to misbehave."""
_PATHS = {b"/" + name.replace(" ", "-").encode(): answer for name, answer in KINDS.items()}


def path_of(kind: str) -> str:
    return "/" + kind.replace(" ", "-")


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
        head = await reader.readuntil(b"\r\n\r\n")
        if length := _LENGTH.search(head):
            await reader.readexactly(int(length[1]))
        await _PATHS[head.split(b" ")[1]](writer)
    writer.close()


async def main(port_file: Path) -> None:
    """Serve until SIGTERM."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    server = await asyncio.start_server(_serve, "127.0.0.1", 0)
    port_file.write_text(str(server.sockets[0].getsockname()[1]))
    await stopped.wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
