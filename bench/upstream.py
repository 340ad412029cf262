"""A fake upstream as cheap as Python allows, in its own process.

    python -m bench.upstream PORT_FILE [REPORT_FILE [LIMIT [LATENCY [CHANGES_A_SECOND [TASKS]]]]]

Every task is IN_PROGRESS. Some time after the first request it changes CHANGES_A_SECOND random
tasks per second to PROCESSING or back. It enforces LIMIT requests per route in any 60 seconds, and
answers after LATENCY seconds. On SIGTERM it writes the report: the requests, and when which task
changed.
"""

import asyncio
import json
import re
import signal
import sys
import time
from collections import Counter, deque
from pathlib import Path
from random import Random
from typing import cast

import msgspec

_TASK = (
    b'{"task_id":"%s","task_type":"api_buckets_batches_process","status":"%s","inputs":["batch_0123456789"],"outputs":null,'
    b'"additional_data":{"batch_id":"batch_0123456789","job_id":"raysubmit_0123456789","current_tier":0,"total_tiers":3}}'
)
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_QUIET_PERIOD = 45.0
"""Seconds from the first request to the first change."""


class _Condition(msgspec.Struct):
    value: list[str]


class _Filters(msgspec.Struct):
    AND: list[_Condition]


class _Body(msgspec.Struct):
    filters: _Filters


_decode = msgspec.json.Decoder(_Body).decode


class Upstream:
    """The tasks, and the counters of the report."""

    def __init__(self, limit: int, latency: float) -> None:
        self.limit = limit
        self.latency = latency
        self.changed: dict[str, bytes] = {}
        self.changes: list[tuple[str, str, float]] = []
        self.requests: Counter[str] = Counter()
        self.rejected = 0
        self.fullest_minute = 0
        self.first_request_at: float | None = None
        self.last_polled: dict[str, float] = {}
        self.longest_gap = 0.0
        self._times: dict[str, deque[float]] = {}

    def answer(self, route: str, task_ids: list[str]) -> tuple[bytes, bytes]:
        """Return the status line and the body."""
        now = time.time()
        self.first_request_at = self.first_request_at or now
        self.requests[route] += 1
        if not self._allowed(route, now):
            return (
                b"429 Too Many Requests",
                b'{"success":false,"status":429,"error":{"message":"over the limit"}}',
            )
        self._note(task_ids, now)
        tasks = [
            _TASK % (task_id.encode(), self.changed.get(task_id, b"IN_PROGRESS"))
            for task_id in task_ids
        ]
        if route == "GET":
            return b"200 OK", tasks[0]
        return b"200 OK", b'{"results":[%s],"pagination":{"next_cursor":null}}' % b",".join(tasks)

    def _allowed(self, route: str, now: float) -> bool:
        times = self._times.setdefault(route, deque())
        while times and now - times[0] >= 60:
            times.popleft()
        if self.limit and len(times) >= self.limit:
            self.rejected += 1
            return False
        times.append(now)
        self.fullest_minute = max(self.fullest_minute, len(times))
        return True

    def _note(self, task_ids: list[str], now: float) -> None:
        last = self.last_polled
        # Within the first minute every task is polled for the first time.
        settled = self.first_request_at is not None and now - self.first_request_at > 60
        for task_id in task_ids:
            if (
                settled
                and (before := last.get(task_id)) is not None
                and now - before > self.longest_gap
            ):
                self.longest_gap = now - before
            last[task_id] = now

    async def change(self, a_second: float, tasks: int) -> None:
        """Change `a_second` random tasks per second, for ever."""
        random = Random(7)
        while self.first_request_at is None or time.time() - self.first_request_at < _QUIET_PERIOD:
            await asyncio.sleep(0.1)
        while True:
            await asyncio.sleep(random.expovariate(a_second))
            task_id = f"task_{random.randrange(tasks)}"
            status = "IN_PROGRESS" if self.changed.get(task_id) == b"PROCESSING" else "PROCESSING"
            self.changed[task_id] = status.encode()
            self.changes.append((task_id, status, time.time()))

    def report(self) -> str:
        """Return the counters as JSON."""
        return json.dumps(
            {
                "requests": dict(self.requests),
                "rejected": self.rejected,
                "fullest_minute": self.fullest_minute,
                "first_request_at": self.first_request_at,
                "longest_gap": self.longest_gap,
                "changes": self.changes,
            }
        )


class Connection(asyncio.Protocol):
    """Parses only the parts of HTTP that the benchmarks use."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._buffer[:end])
            length = _LENGTH.search(head) if head.startswith(b"POST") else None
            size = end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < size:
                return
            body = bytes(self._buffer[end + 4 : size])
            del self._buffer[:size]
            if self._upstream.latency:
                asyncio.get_running_loop().call_later(
                    self._upstream.latency, self._answer, head, body
                )
            else:
                self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        if body:
            status, content = self._upstream.answer("LIST", _decode(body).filters.AND[0].value)
        else:
            task_id = head.split(b" ", 2)[1].rpartition(b"/")[2].decode()
            status, content = self._upstream.answer("GET", [task_id])
        if self._transport.is_closing():
            return
        self._transport.write(
            b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(content), content)
        )


async def main(
    port_file: Path,
    report: Path | None = None,
    limit: int = 0,
    latency: float = 0,
    changes: float = 0,
    tasks: int = 0,
) -> None:
    """Serve until SIGTERM."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    upstream = Upstream(limit, latency)
    server = await loop.create_server(lambda: Connection(upstream), "127.0.0.1", 0)
    changing = asyncio.create_task(upstream.change(changes, tasks)) if changes else None
    port_file.write_text(str(server.sockets[0].getsockname()[1]))
    await stopped.wait()
    if changing:
        changing.cancel()
    if report is not None:
        report.write_text(upstream.report())


if __name__ == "__main__":
    import uvloop

    arguments = sys.argv[2:]
    types = (Path, int, float, float, int)
    uvloop.run(
        main(
            Path(sys.argv[1]),
            *(convert(text) for convert, text in zip(types, arguments, strict=False)),
        )
    )
