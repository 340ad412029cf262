"""Clients that mean harm: eight kinds, each of them against both listeners, in their own process.

    python -m bench.hostile_clients API_PORT TELEMETRY_PORT

They attack until SIGTERM, each as fast as it can, and connect again whenever they are cut off.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import Awaitable, Callable
from typing import cast

Client = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

IDLE_CONNECTIONS = 1100
_CHUNKED = (
    b"POST %s HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
_GET = b"GET %s HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
_PATHS = (b"/v1/watches", b"/metrics")
_PAUSE = 0.05


async def _chunks(path: bytes, chunk: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(_CHUNKED % path)
    while True:
        writer.write(chunk)
        await writer.drain()


async def one_byte_chunks(path: bytes, _: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
    """Send a body of which every byte is a chunk."""
    await _chunks(path, b"1\r\n \r\n" * 2000, to)


async def endless_body(path: bytes, _: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
    """Send a body without end."""
    await _chunks(path, b"8000\r\n" + b" " * 0x8000 + b"\r\n", to)


async def slow_body(path: bytes, _: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
    """Send almost as much as the limit, and then hardly anything."""
    to.write(_CHUNKED % path + (b"8000\r\n" + b" " * 0x8000 + b"\r\n") * 31)
    while True:
        await asyncio.sleep(_PAUSE)
        to.write(b"1\r\n \r\n")
        await to.drain()


async def garbage(_: bytes, answers: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
    """Send what is not HTTP."""
    to.write(os.urandom(300))
    await answers.read()


async def pipelined(path: bytes, answers: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
    """Send requests without waiting for their answers, which are read."""
    reading = asyncio.ensure_future(answers.read(-1))
    try:
        while not reading.done():
            to.write(_GET % path * 100)
            await to.drain()
    finally:
        reading.cancel()


async def no_reader(path: bytes, _: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
    """Send requests, and read no answer."""
    cast(asyncio.Transport, to.transport).pause_reading()
    while True:
        to.write(_GET % path)
        await to.drain()


async def drip(_: bytes, __: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
    """Send a header byte by byte."""
    to.write(b"GET / HTTP/1.1\r\n")
    while True:
        to.write(b"x")
        await asyncio.sleep(0)
        await to.drain()


KINDS: dict[str, Client] = {
    "one-byte": one_byte_chunks,
    "endless": endless_body,
    "slow": slow_body,
    "garbage": garbage,
    "pipelined": pipelined,
    "unread": no_reader,
    "drip": drip,
}


async def attack(port: int, path: bytes, client: Client) -> None:
    """Connect and attack, again and again."""
    while True:
        # uvloop raises a RuntimeError for what is written to a connection that was cut off.
        with contextlib.suppress(OSError, RuntimeError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                await client(path, reader, writer)
            finally:
                writer.transport.abort()
        await asyncio.sleep(0)


async def half_open(port: int) -> None:
    """Keep many connections open that have sent nothing, or half of a request."""
    held: list[asyncio.StreamWriter] = []
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            if len(held) % 2:
                writer.write(b"POST /v1/watches HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-le")
            held.append(writer)
        if len(held) > IDLE_CONNECTIONS:
            held.pop(0).transport.abort()
            await asyncio.sleep(0.01)


async def main(ports: list[int], only: str | None) -> None:
    """Attack the API and the telemetry listener."""
    async with asyncio.TaskGroup() as tasks:
        for port, path in zip(ports, _PATHS, strict=True):
            for kind, client in KINDS.items():
                if only in (None, kind):
                    tasks.create_task(attack(port, path, client))
            if only in (None, "half-open"):
                tasks.create_task(half_open(port))


if __name__ == "__main__":
    import uvloop

    from watcher.daemon.open_files import raise_limit

    raise_limit()
    uvloop.run(
        main([int(port) for port in sys.argv[1:3]], sys.argv[3] if len(sys.argv) > 3 else None)
    )
