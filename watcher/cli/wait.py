"""`watcher wait`: waits until every task has ended, across restarts of the daemon.

Each connection opens the event stream first and adds the tasks second, so that no change is missed:
the response to adding contains the earlier changes, and the stream the later ones.
"""

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import anyio
import httpx

from watcher.cli.address import Address
from watcher.cli.client import ADD_LIMIT, NOT_CONNECTED, error_of, headers, unreachable
from watcher.core.errors import DaemonError

_READ_TIMEOUT = 45.0  # seconds; three times the interval of the daemon's keep-alive
_RECONNECT_DELAY = 0.5  # seconds

FAILED, PARTIAL, TIMED_OUT, DONE = 1, 3, 124, 0
_UNSUCCESSFUL = frozenset({"FAILED", "CANCELED", "LOST"})


class Tally:
    """The status of each task; None before it is known. `errors` says why tasks ended that did not
    complete, where upstream or the watcher did.
    """

    def __init__(self, task_ids: Sequence[str]) -> None:
        self.statuses: dict[str, str | None] = dict.fromkeys(task_ids)
        self.errors: dict[str, str] = {}
        self._ended: set[str] = set()

    def update(
        self,
        task_id: str,
        status: str | None,
        *,
        terminal: bool,
        lost: bool,
        error: str | None = None,
    ) -> bool:
        """Set a task's status unless it has ended; return whether it has changed."""
        if task_id not in self.statuses or task_id in self._ended:
            return False
        previous = self.statuses[task_id]
        self.statuses[task_id] = "LOST" if lost else status
        if lost or terminal:
            self._ended.add(task_id)
            if error:
                self.errors[task_id] = error
        return self.statuses[task_id] != previous

    def has_ended(self, task_id: str) -> bool:
        return task_id in self._ended

    @property
    def waiting(self) -> list[str]:
        """The tasks that have not ended."""
        return [task_id for task_id in self.statuses if task_id not in self._ended]

    def exit_code(self) -> int:
        """Return the exit code, worst first."""
        statuses = {self.statuses[task_id] for task_id in self._ended}
        if statuses & _UNSUCCESSFUL:
            return FAILED
        if self.waiting:
            return TIMED_OUT
        return PARTIAL if "COMPLETED_WITH_ERRORS" in statuses else DONE


class Waiting:
    """One wait. Calls `on_change` with the ID of a task, its new status, and whether it has
    ended.
    """

    def __init__(
        self,
        *,
        address: Address,
        entries: Sequence[Mapping[str, Any]],
        on_change: Callable[[str, str | None, bool], None],
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.tally = Tally([entry["task_id"] for entry in entries])
        self._address = address
        self._entries = entries
        self._on_change = on_change
        self._last_event_id: str | None = None
        self._connected = False
        self._http = httpx.AsyncClient(
            base_url=address.base_url,
            headers=headers(address.token),
            timeout=httpx.Timeout(10, read=_READ_TIMEOUT),
            trust_env=False,
            transport=transport or address.async_transport(),
        )

    async def run(self, limit: float | None) -> None:
        """Wait until all tasks have ended, or for `limit` seconds.

        Raises `DaemonError` if the daemon cannot be reached at first, or answers an error.
        """
        with anyio.move_on_after(limit):
            async with self._http:
                while self.tally.waiting:
                    try:
                        await self._follow()
                    except NOT_CONNECTED as error:
                        if not self._connected:
                            raise unreachable(self._address, error) from None
                    except DaemonError as error:
                        if not self._connected or error.status != 503:
                            raise
                    if self.tally.waiting:
                        await anyio.sleep(_RECONNECT_DELAY)

    async def _follow(self) -> None:
        resume = {"last-event-id": self._last_event_id} if self._last_event_id else {}
        async with self._http.stream("GET", "/v1/events", headers=resume) as stream:
            if stream.status_code != 200:
                await stream.aread()
                raise error_of(stream)
            await self._add()
            self._connected = True
            if not self.tally.waiting:
                return
            async for event_id, event in frames(lines(stream.aiter_bytes())):
                self._last_event_id = event_id
                with _of_a_watcher():
                    data = event["data"]
                    if "task_id" in data:
                        self._note(data, lost=event["type"] == "task.lost")
                if not self.tally.waiting:
                    return

    async def _add(self) -> None:
        for start in range(0, len(self._entries), ADD_LIMIT):
            response = await self._http.post(
                "/v1/watches", json=list(self._entries[start : start + ADD_LIMIT])
            )
            if not response.is_success:
                raise error_of(response)
            with _of_a_watcher():
                for watch in response.json()["items"]:
                    self._note(watch, lost=watch["lost_at"] is not None)

    def _note(self, shown: Mapping[str, Any], *, lost: bool) -> None:
        """Take over what a watch or an event shows of its task."""
        task_id = shown["task_id"]
        terminal = shown["terminal"]
        error = shown.get("reason" if lost else "error_message")
        if self.tally.update(task_id, shown["status"], terminal=terminal, lost=lost, error=error):
            self._on_change(task_id, self.tally.statuses[task_id], self.tally.has_ended(task_id))


@contextmanager
def _of_a_watcher() -> Iterator[None]:
    """Turn what reading anything else than a watcher's answer raises into a `DaemonError`."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise DaemonError("the answer is not a watcher's; check --url") from None


async def lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """Yield the lines of an event stream, which line feeds alone end.

    Events may hold U+2028 and other characters at which httpx and `str.splitlines` end a line.
    """
    rest = b""
    async for chunk in chunks:
        *ended, rest = (rest + chunk).split(b"\n")
        for line in ended:
            yield line.removesuffix(b"\r").decode("utf-8", "replace")


async def frames(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Yield the id and the decoded data of each Server-Sent Event."""
    fields: dict[str, str] = {}
    async for line in lines:
        if not line and "data" in fields:
            with _of_a_watcher():
                event = json.loads(fields["data"])
            yield fields.get("id", ""), event
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = fields[name] + value if name == "data" and name in fields else value
