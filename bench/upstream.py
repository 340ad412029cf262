"""A fake upstream as cheap as Python allows, in its own process.

    python -m bench.upstream PORT_FILE [REPORT_FILE [LIMIT [LATENCY [CHANGES_A_SECOND [TASKS
        [QUIET [CONDITIONS [END_WITHIN]]]]]]]]

Every task is IN_PROGRESS, but for those whose ID begins with `ended_`. QUIET seconds after the
first request it begins to change CHANGES_A_SECOND random tasks per second to PROCESSING, and, once
all have changed, back; or it ends all tasks, evenly over END_WITHIN seconds. It enforces LIMIT
requests per route in any 60 seconds, and answers after LATENCY seconds. With CONDITIONS=no it
rejects conditions on the status. On SIGTERM it writes the report: the requests, and when which task
changed.
"""

import asyncio
import itertools
import json
import re
import signal
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, cast

import msgspec

_TASK = (
    b'{"task_id":"%s","task_type":"api_buckets_batches_process","status":"%s","inputs":["batch_0123456789"],"outputs":null,'
    b'"additional_data":{"batch_id":"batch_0123456789","job_id":"raysubmit_0123456789","current_tier":0,"total_tiers":3}}'
)
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_CURSOR = re.compile(rb"cursor=(\d+)")
_QUIET_PERIOD = 45.0
_PAGE = 1000
_REJECTIONS = {
    b"429 Too Many Requests": b"over the limit",
    b"422 Unprocessable Entity": b"filters: operator 'ne' is not supported",
}


class _Part(msgspec.Struct):
    """A condition, or a group of them."""

    field: str = ""
    operator: str = ""
    value: Any = None
    AND: list["_Part"] = []
    OR: list["_Part"] = []


class _Body(msgspec.Struct):
    filters: _Part


_decode = msgspec.json.Decoder(_Body).decode


def named(filters: _Part) -> list[tuple[list[str], str | None]]:
    """Return which tasks filters name, and the status that each list of them must not have."""
    if filters.OR:
        return [found for part in filters.OR for found in named(part)]
    conditions = {(part.field, part.operator): part.value for part in filters.AND}
    return [(conditions["task_id", "in"], conditions.get(("status", "ne")))]


class Upstream:
    """The tasks, and the counters of the report."""

    def __init__(
        self, limit: int, latency: float, quiet: float = 0.0, *, conditions: bool = True
    ) -> None:
        self.limit = limit
        self.latency = latency
        self.quiet = quiet
        self.conditions = conditions
        self.changed: dict[str, bytes] = {}
        self.changes: list[tuple[str, str, float]] = []
        self.requests: Counter[str] = Counter()
        self.rejected = 0
        self.fullest_minute = 0
        self.first_request_at: float | None = None
        self.last_polled: dict[str, float] = {}
        self.longest_gap = 0.0
        self._times: dict[str, deque[float]] = {}

    def get(self, task_id: str) -> tuple[bytes, bytes]:
        """Return the status line and the body for one task."""
        if rejection := self._rejection("GET"):
            return rejection
        self._note([task_id])
        return b"200 OK", self._task(task_id)

    def select(self, filters: _Part, start: int) -> tuple[bytes, bytes]:
        """Return the status line and the body for the tasks that match, from `start` on."""
        if rejection := self._rejection("LIST"):
            return rejection
        lists = named(filters)
        changes = any(status is not None for _, status in lists)
        if changes and not self.conditions:
            return _rejected(b"422 Unprocessable Entity")
        matching: list[str] = []
        for task_ids, status in lists:
            self._note(task_ids)
            if status is None:
                matching += task_ids
            else:
                matching += [one for one in task_ids if self._status(one) != status.encode()]
        shown = b",".join(map(self._task, matching[start : start + _PAGE]))
        end = start + _PAGE
        following = b'"%d"' % end if end < len(matching) else b"null"
        return b"200 OK", b'{"results":[%s],"pagination":{"next_cursor":%s}}' % (shown, following)

    def _status(self, task_id: str) -> bytes:
        status = self.changed.get(task_id)
        if status is None:
            return b"COMPLETED" if task_id.startswith("ended_") else b"IN_PROGRESS"
        return status

    def _task(self, task_id: str) -> bytes:
        return _TASK % (task_id.encode(), self._status(task_id))

    def _rejection(self, route: str) -> tuple[bytes, bytes] | None:
        now = time.time()
        self.first_request_at = self.first_request_at or now
        self.requests[route] += 1
        return None if self._allowed(route, now) else _rejected(b"429 Too Many Requests")

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

    def _note(self, task_ids: Sequence[str]) -> None:
        last, now = self.last_polled, time.time()
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
        numbers = random.sample(range(tasks), tasks)
        await self._quiet()
        for status in itertools.cycle(("PROCESSING", "IN_PROGRESS")):
            for number in numbers:
                await asyncio.sleep(random.expovariate(a_second))
                self._change(f"task_{number}", status)

    async def end(self, within: float, tasks: int) -> None:
        """End all tasks, evenly over `within` seconds."""
        await self._quiet()
        began = time.time()
        for number in range(tasks):
            await asyncio.sleep(max(began + number * within / tasks - time.time(), 0))
            self._change(f"task_{number}", "COMPLETED")

    async def _quiet(self) -> None:
        while self.first_request_at is None or time.time() - self.first_request_at < self.quiet:
            await asyncio.sleep(0.1)

    def _change(self, task_id: str, status: str) -> None:
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


def _rejected(status: bytes) -> tuple[bytes, bytes]:
    body = b'{"success":false,"status":%s,"error":{"message":"%s","type":"Error"}}'
    return status, body % (status[:3], _REJECTIONS[status])


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
        target = head.split(b" ", 2)[1]
        if body:
            cursor = _CURSOR.search(target)
            start = 0 if cursor is None else int(cursor[1])
            status, content = self._upstream.select(_decode(body).filters, start)
        else:
            status, content = self._upstream.get(target.rpartition(b"/")[2].decode())
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
    quiet: float = _QUIET_PERIOD,
    conditions: str = "yes",
    end_within: float = 0,
) -> None:
    """Serve until SIGTERM."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    upstream = Upstream(limit, latency, quiet, conditions=conditions != "no")
    server = await loop.create_server(lambda: Connection(upstream), "127.0.0.1", 0)
    changing = None
    if changes:
        changing = asyncio.create_task(upstream.change(changes, tasks))
    elif end_within:
        changing = asyncio.create_task(upstream.end(end_within, tasks))
    port_file.write_text(str(server.sockets[0].getsockname()[1]))
    await stopped.wait()
    if changing:
        changing.cancel()
    if report is not None:
        report.write_text(upstream.report())


if __name__ == "__main__":
    import uvloop

    arguments = sys.argv[2:]
    types = (Path, int, float, float, int, float, str, float)
    uvloop.run(
        main(
            Path(sys.argv[1]),
            *(convert(text) for convert, text in zip(types, arguments, strict=False)),
        )
    )
