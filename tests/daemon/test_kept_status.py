"""Who waits for the status, and how old it may be."""

from collections.abc import AsyncIterator
from typing import Any, cast

import anyio
import pytest

from tests.support.virtual_time import VirtualLoop
from watcher.core.errors import StoreError
from watcher.core.status import Status
from watcher.daemon.kept_status import OVERDUE, KeptStatus

pytestmark = pytest.mark.anyio

SLOW, QUICK = 0.25, 0.01
"""Seconds that a read takes."""


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


class Reads:
    """The times at which statuses were read; each status is its number, from 1."""

    def __init__(self) -> None:
        self.took = SLOW
        self.began: list[float] = []
        self.error: Exception | None = None
        self.kept = KeptStatus(self.read)

    async def read(self) -> Status:
        self.began.append(anyio.current_time())
        await anyio.sleep(self.took)
        if self.error is not None:
            raise self.error
        return cast(Status, len(self.began))

    async def shown(self) -> tuple[int, float]:
        """What a page shows, and how long it waits."""
        began = anyio.current_time()
        return cast(int, await self.kept.shown()), anyio.current_time() - began

    async def latest(self) -> tuple[int, float]:
        """What a program gets, and how long it waits."""
        began = anyio.current_time()
        return cast(int, await self.kept.latest()), anyio.current_time() - began


@pytest.fixture
async def reads() -> AsyncIterator[Reads]:
    reads = Reads()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reads.kept.refresh)
        yield reads
        tasks.cancel_scope.cancel()


def about(number: int, seconds: float) -> Any:
    return number, pytest.approx(seconds)


LATEST_FOR = 50 * SLOW


async def test_the_first_request_waits_for_the_first_status(reads: Reads) -> None:
    assert await reads.shown() == about(1, SLOW)
    assert await reads.shown() == (1, 0)


async def test_a_page_that_is_loaded_again_and_again_never_waits(reads: Reads) -> None:
    await reads.shown()
    waits, seen = [], []
    for _ in range(100):
        await anyio.sleep(1)
        number, waited = await reads.shown()
        seen.append(number)
        waits.append(waited)
    assert not any(waits)
    assert seen == sorted(seen)
    assert len(reads.began) == 8, "2 % of the time"


async def test_a_page_shows_the_last_status_while_one_read_runs(reads: Reads) -> None:
    await reads.shown()
    await anyio.sleep(LATEST_FOR)
    assert [await reads.shown() for _ in range(5)] == [(1, 0)] * 5
    await anyio.sleep(SLOW - 0.01)
    assert await reads.shown() == (1, 0)
    await anyio.sleep(0.02)
    assert await reads.shown() == (2, 0)
    assert len(reads.began) == 2


async def test_a_status_that_is_too_old_is_not_shown(reads: Reads) -> None:
    await reads.shown()
    await anyio.sleep(LATEST_FOR + OVERDUE)
    assert await reads.shown() == about(2, SLOW)


async def test_nothing_is_read_without_a_request(reads: Reads) -> None:
    await anyio.sleep(100)
    assert reads.began == []
    await reads.shown()
    await anyio.sleep(LATEST_FOR)
    await reads.shown()
    await anyio.sleep(10_000)
    assert len(reads.began) == 2


async def test_programs_wait_for_the_latest_status(reads: Reads) -> None:
    await reads.latest()
    await anyio.sleep(LATEST_FOR - 0.1)
    assert await reads.latest() == (1, 0)
    await anyio.sleep(0.1)
    assert await reads.latest() == about(2, SLOW)


async def test_programs_share_the_read_that_runs_for_a_page(reads: Reads) -> None:
    await reads.shown()
    await anyio.sleep(LATEST_FOR)
    await reads.shown()
    await anyio.sleep(0.1)
    assert await reads.latest() == about(2, SLOW - 0.1)


async def test_pages_wait_for_a_quick_read(reads: Reads) -> None:
    reads.took = QUICK
    await reads.shown()
    await anyio.sleep(0.9)
    assert await reads.shown() == (1, 0)
    await anyio.sleep(0.2)
    assert await reads.shown() == about(2, QUICK)


async def test_after_an_action_its_effect_is_shown(reads: Reads) -> None:
    await reads.shown()
    reads.kept.forget()
    assert await reads.shown() == about(2, SLOW)


async def test_what_was_done_during_a_read_is_read_again(reads: Reads) -> None:
    await reads.shown()
    await anyio.sleep(LATEST_FOR)
    await reads.shown()
    await anyio.sleep(0.1)
    reads.kept.forget()
    assert await reads.shown() == about(3, 2 * SLOW - 0.1)


async def test_the_request_after_an_error_gets_it(reads: Reads) -> None:
    await reads.shown()
    reads.error = StoreError("gone")
    await anyio.sleep(LATEST_FOR)
    assert await reads.shown() == (1, 0)
    await anyio.sleep(1)
    with pytest.raises(StoreError):
        await reads.shown()
    reads.error = None
    assert await reads.shown() == about(4, SLOW)


async def test_it_says_from_when_on_something_may_be_missing(reads: Reads) -> None:
    assert reads.kept.read_at < 0
    await anyio.sleep(5)
    await reads.shown()
    assert reads.kept.read_at == 5
