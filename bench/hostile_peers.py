"""Peers that mean harm, in a process of their own: `python -m bench.hostile_peers PORT_FILE`.

The path begins with the name of one of `tests.support.hostile_answers`; `/healthy` answers 204.
"""

import asyncio
import re
import signal
import sys
from contextlib import suppress
from pathlib import Path

from tests.support.hostile_answers import BOMBS, answer, bomb

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if length := _LENGTH.search(head):
                await reader.readexactly(int(length[1]))
            name = head.split(b" ")[1].split(b"/")[1].decode().replace("_", " ")
            if name == "healthy":
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
                continue
            async for data in answer(name):
                writer.write(data)
                await writer.drain()
            break
    writer.close()


async def main(port_file: Path) -> None:
    """Serve until SIGTERM."""
    for encodings in BOMBS.values():
        bomb(encodings)
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    server = await asyncio.start_server(_serve, "127.0.0.1", 0, backlog=1000)
    port_file.write_text(str(server.sockets[0].getsockname()[1]))
    await stopped.wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
