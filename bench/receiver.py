"""A receiver as cheap as Python allows, in a process of its own: answers every POST, and says when
each webhook came.

    python -m bench.receiver PORT_FILE TIMES_FILE

Writes its port to one file and, on SIGTERM, `event_id unix_seconds task_id status` of each request
to the other.
"""

import asyncio
import re
import signal
import sys
import time
from pathlib import Path
from typing import cast

import msgspec

_ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_EVENT_ID = re.compile(rb"webhook-id: *(\S+)", re.IGNORECASE)


class Connection(asyncio.Protocol):
    """Parses no more of HTTP than where a request ends. Answers after `latency` seconds."""

    def __init__(self, times: list[tuple[bytes, float, bytes]], latency: float = 0.0) -> None:
        self._times = times
        self._latency = latency
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            length = _LENGTH.search(head)
            size = end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < size:
                return
            body, self._buffer = self._buffer[end + 4 : size], self._buffer[size:]
            if found := _EVENT_ID.search(head):
                self._times.append((found[1], time.time(), body))
            if self._latency:
                asyncio.get_running_loop().call_later(self._latency, self._answer)
            else:
                self._answer()

    def _answer(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(_ANSWER)


async def main(port_file: Path, times_file: Path) -> None:
    """Serve until SIGTERM."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    times: list[tuple[bytes, float, bytes]] = []
    server = await loop.create_server(lambda: Connection(times), "127.0.0.1", 0)
    port_file.write_text(str(server.sockets[0].getsockname()[1]))
    await stopped.wait()
    times_file.write_text("\n".join(_line(*one) for one in times))


def _line(event_id: bytes, at: float, body: bytes) -> str:
    about = msgspec.json.decode(body).get("data", {})
    return f"{event_id.decode()} {at:.6f} {about.get('task_id', '-')} {about.get('status', '-')}"


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
