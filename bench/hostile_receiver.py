"""Receivers that mean harm, in a process of their own.

    python -m bench.hostile_receiver PORT_FILE

By path: `/trickle` answers one byte a second without an end, `/flood` sends 10 GB as fast as it
can, `/bomb` ten MB of gzip that unpack to 10 GB.
"""

import asyncio
import gzip
import signal
import sys
from contextlib import suppress
from pathlib import Path

_TEN_GB = 10 * 1024**3
_MEMBER = gzip.compress(b"\0" * 64 * 1024 * 1024, 9)
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n"


async def _trickle(writer: asyncio.StreamWriter) -> None:
    writer.write(_HEAD + b"content-length: 100000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(1)


async def _flood(writer: asyncio.StreamWriter) -> None:
    writer.write(_HEAD + b"content-length: %d\r\n\r\n" % _TEN_GB)
    chunk = b"x" * 1024 * 1024
    while True:
        writer.write(chunk)
        await writer.drain()


async def _bomb(writer: asyncio.StreamWriter) -> None:
    writer.write(_HEAD + b"content-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n")
    for _ in range(160):
        writer.write(b"%x\r\n%s\r\n" % (len(_MEMBER), _MEMBER))
        await writer.drain()
    writer.write(b"0\r\n\r\n")
    await writer.drain()


_ANSWERS = {b"/trickle": _trickle, b"/flood": _flood, b"/bomb": _bomb}


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
        head = await reader.readuntil(b"\r\n\r\n")
        await _ANSWERS[head.split(b" ")[1]](writer)
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
