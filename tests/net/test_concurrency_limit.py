"""Requests under way: one more each round that goes well, a tenth fewer for each that does not."""

import anyio
import pytest

from watcher.net.concurrency_limit import Concurrency

pytestmark = pytest.mark.anyio


async def test_it_grows_by_one_a_round_up_to_its_most() -> None:
    concurrency = Concurrency(slow_after=5.0)
    before = concurrency.limit
    for _ in range(before + 1):
        concurrency.answered(0.1)
    assert concurrency.limit == before + 1
    for _ in range(10_000):
        concurrency.answered(0.1)
    assert concurrency.limit == 32


async def test_errors_and_slow_answers_shrink_it_by_a_tenth_down_to_one() -> None:
    concurrency = Concurrency(slow_after=5.0)
    for _ in range(10_000):
        concurrency.answered(0.1)
    concurrency.failed()
    assert concurrency.limit == 28
    concurrency.answered(5.1)
    assert concurrency.limit == 25
    for _ in range(100):
        concurrency.failed()
    assert concurrency.limit == 1


async def test_no_more_than_its_limit_are_under_way() -> None:
    concurrency = Concurrency(slow_after=5.0)
    running = most = 0

    async def request() -> None:
        nonlocal running, most
        await concurrency.acquire()
        running += 1
        most = max(most, running)
        await anyio.lowlevel.checkpoint()
        running -= 1
        concurrency.release()

    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(request)
    assert most == concurrency.limit


async def test_one_that_is_cancelled_while_waiting_takes_no_place() -> None:
    concurrency = Concurrency(slow_after=5.0)
    for _ in range(concurrency.limit):
        await concurrency.acquire()
    with anyio.move_on_after(0):
        await concurrency.acquire()
    concurrency.release()
    await concurrency.acquire()
