"""The limit on concurrent requests: it grows by one a round and shrinks by a tenth per error."""

import anyio
import pytest

from watcher.net.concurrency_limit import ConcurrencyLimit

pytestmark = pytest.mark.anyio


async def test_it_grows_by_one_a_round_up_to_its_maximum() -> None:
    limit = ConcurrencyLimit(slow_after=5.0)
    initial = limit.limit
    for _ in range(initial + 1):
        limit.answered(0.1)
    assert limit.limit == initial + 1
    for _ in range(10_000):
        limit.answered(0.1)
    assert limit.limit == 32


async def test_errors_and_slow_responses_shrink_it_by_a_tenth_down_to_one() -> None:
    limit = ConcurrencyLimit(slow_after=5.0)
    for _ in range(10_000):
        limit.answered(0.1)
    limit.failed()
    assert limit.limit == 28
    limit.answered(5.1)
    assert limit.limit == 25
    for _ in range(100):
        limit.failed()
    assert limit.limit == 1


async def test_concurrent_requests_never_exceed_the_limit() -> None:
    limit = ConcurrencyLimit(slow_after=5.0)
    running = highest = 0

    async def request() -> None:
        nonlocal running, highest
        await limit.acquire()
        running += 1
        highest = max(highest, running)
        await anyio.lowlevel.checkpoint()
        running -= 1
        limit.release()

    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(request)
    assert highest == limit.limit


async def test_a_request_cancelled_while_waiting_occupies_no_slot() -> None:
    limit = ConcurrencyLimit(slow_after=5.0)
    for _ in range(limit.limit):
        await limit.acquire()
    with anyio.move_on_after(0):
        await limit.acquire()
    limit.release()
    await limit.acquire()
