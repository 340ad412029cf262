"""`watcher wait` against a scripted API: when tasks have ended, and what a disconnection does."""

import json
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.virtual_time import VirtualLoop
from watcher.cli.address import Address
from watcher.cli.wait import Tally, Waiting, frames
from watcher.core.errors import DaemonError
from watcher.core.tasks import TERMINAL_STATUSES

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


def sse(number: int, task_id: str, status: str | None, kind: str = "task.changed") -> bytes:
    data = {"task_id": task_id, "status": status, "terminal": status in TERMINAL_STATUSES}
    body = json.dumps({"type": kind, "data": data})
    return f"id: {number}\nevent: {kind}\ndata: {body}\n\n".encode()


class FakeApi(httpx.AsyncBaseTransport):
    """Answers each POST with the statuses of `watches`, and each GET with the next of `streams`,
    whose exceptions it raises.
    """

    def __init__(self, watches: dict[str, str | None], *streams: list[Any]) -> None:
        self.watches = watches
        self.streams = list(streams)
        self.reopened: set[str] = set()
        self.resumed: list[str | None] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            entries = json.loads(request.content)
            items = [
                {
                    "task_id": entry["task_id"],
                    "status": self.watches.get(entry["task_id"]),
                    "terminal": self.watches.get(entry["task_id"]) in TERMINAL_STATUSES
                    and entry["task_id"] not in self.reopened,
                    "lost_at": None,
                }
                for entry in entries
            ]
            return httpx.Response(201, json={"items": items})
        self.resumed.append(request.headers.get("last-event-id"))
        if not self.streams:
            raise httpx.ConnectError("no daemon")
        parts = self.streams.pop(0)

        async def stream() -> AsyncIterator[bytes]:
            for part in parts:
                await anyio.sleep(1)
                if isinstance(part, Exception):
                    raise part
                yield part
            await anyio.sleep(3600)

        return httpx.Response(200, content=stream())


def waiting(api: FakeApi, *task_ids: str) -> Waiting:
    entries = [{"task_id": task_id} for task_id in task_ids]
    return Waiting(
        address=Address(url="http://daemon"),
        entries=entries,
        on_change=lambda task_id, status, ended: None,
        transport=api,
    )


async def test_ended_tasks_need_no_event() -> None:
    wait = waiting(FakeApi({"a": "COMPLETED"}, []), "a")
    await wait.run(None)
    assert wait.tally.exit_code() == 0
    assert anyio.current_time() < 1


async def test_a_reopened_task_has_not_ended() -> None:
    api = FakeApi({"a": "FAILED"}, [sse(1, "a", "COMPLETED")])
    api.reopened = {"a"}
    wait = waiting(api, "a")
    await wait.run(0.5)
    assert (wait.tally.waiting, wait.tally.exit_code()) == (["a"], 124)
    wait = waiting(api, "a")
    api.streams = [[sse(1, "a", "COMPLETED")]]
    await wait.run(None)
    assert wait.tally.exit_code() == 0


async def test_the_worst_end_decides_the_exit_code() -> None:
    parts = [
        sse(1, "a", "COMPLETED"),
        b": still here\n\n",
        sse(2, "b", "COMPLETED_WITH_ERRORS"),
        sse(3, "x", "FAILED"),
    ]
    wait = waiting(FakeApi({}, parts), "a", "b")
    await wait.run(None)
    assert wait.tally.exit_code() == 3


async def test_a_lost_task_is_a_failure() -> None:
    wait = waiting(FakeApi({}, [sse(1, "a", "IN_PROGRESS", "task.lost")]), "a")
    await wait.run(None)
    assert (wait.tally.exit_code(), wait.tally.statuses) == (1, {"a": "LOST"})


async def test_a_disconnected_stream_is_resumed_after_its_last_event() -> None:
    api = FakeApi(
        {}, [sse(7, "a", "IN_PROGRESS"), httpx.ReadError("gone")], [sse(8, "a", "COMPLETED")]
    )
    wait = waiting(api, "a")
    await wait.run(None)
    assert api.resumed == [None, "7"]
    assert wait.tally.exit_code() == 0


async def test_an_unreachable_daemon_is_an_error_at_first_and_awaited_later() -> None:
    with pytest.raises(DaemonError, match="cannot connect to the watcher"):
        await waiting(FakeApi({}), "a").run(None)
    wait = waiting(FakeApi({}, [sse(1, "a", "IN_PROGRESS"), httpx.ReadError("gone")]), "a")
    await wait.run(60)
    assert wait.tally.exit_code() == 124
    assert anyio.current_time() == pytest.approx(60, abs=1)


async def test_frames_of_server_sent_events() -> None:
    async def lines() -> AsyncIterator[str]:
        for line in (
            ": hello",
            "",
            "id: 1",
            "data: {",
            'data: "a": 1}',
            "",
            "id: 2",
            "",
            'data: {"b": 2}',
            "id: 3",
            "",
        ):
            yield line

    assert [frame async for frame in frames(lines())] == [("1", {"a": 1}), ("3", {"b": 2})]


@given(
    st.dictionaries(
        st.text(max_size=3),
        st.sampled_from(["COMPLETED", "FAILED", "PENDING", "CANCELED", None, "SKIPPED"]),
    )
)
def test_the_exit_code_is_the_worst(statuses: dict[str, str | None]) -> None:
    tally = Tally(list(statuses))
    for task_id, status in statuses.items():
        tally.update(task_id, status, terminal=status in TERMINAL_STATUSES, lost=False)
    if {"FAILED", "CANCELED"} & set(statuses.values()):
        assert tally.exit_code() == 1
    elif {"PENDING", None} & set(statuses.values()):
        assert tally.exit_code() == 124
    else:
        assert tally.exit_code() == 0
