"""Results are stored in batches, and kept until they are."""

from collections.abc import Sequence
from typing import Any

import anyio
import pytest

from tests.support.records import settled
from watcher.core.deliveries import AttemptResult, DeliveryState
from watcher.core.errors import StoreError
from watcher.delivery.settler import RETRY_AFTER, SHARED_WITHIN, Settler

pytestmark = pytest.mark.anyio

ENOUGH = 4


class Outbox:
    """Stores results in memory; a write takes `seconds`, and fails while `full`."""

    def __init__(self) -> None:
        self.full = False
        self.seconds = 1.0
        self.batches: list[list[int]] = []

    async def settle(self, results: Sequence[AttemptResult]) -> None:
        await anyio.sleep(self.seconds)
        if self.full:
            raise StoreError("the disk is full")
        self.batches.append([result.delivery_id for result in results])


class Settling:
    def __init__(self) -> None:
        self.outbox = Outbox()
        store: Any = self.outbox
        self.released: list[int] = []
        self.settler = Settler("backend", store, self.released.extend, enough=ENOUGH)

    def add(self, *delivery_ids: int) -> None:
        self.settler.add([settled(number, DeliveryState.DELIVERED) for number in delivery_ids])


@pytest.fixture
def settling() -> Settling:
    return Settling()


async def test_results_that_come_during_a_write_share_the_next_one(settling: Settling) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(settling.settler.run)
        settling.add(1)
        await anyio.sleep(0.5)
        settling.add(2)
        settling.add(3)
        assert settling.released == []
        await anyio.sleep(5)
        tasks.cancel_scope.cancel()
    assert settling.outbox.batches == [[1], [2, 3]]
    assert settling.released == [1, 2, 3]


async def test_results_that_come_soon_after_a_write_share_the_next_one(settling: Settling) -> None:
    settling.outbox.seconds = 0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(settling.settler.run)
        await anyio.sleep(1)
        for number in range(3):
            settling.add(number)
            await anyio.sleep(SHARED_WITHIN / 4)
        assert settling.released == [0]
        await anyio.sleep(SHARED_WITHIN)
        assert settling.outbox.batches == [[0], [1, 2]]
        settling.add(3)
        await anyio.sleep(SHARED_WITHIN / 100)
        assert settling.released == [0, 1, 2]  # the second write was less than the interval ago
        await anyio.sleep(2 * SHARED_WITHIN)
        settling.add(4)
        await anyio.sleep(SHARED_WITHIN / 100)
        assert settling.outbox.batches == [[0], [1, 2], [3], [4]]
        tasks.cancel_scope.cancel()


async def test_enough_results_do_not_wait_for_others(settling: Settling) -> None:
    settling.outbox.seconds = 0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(settling.settler.run)
        await anyio.sleep(1)
        settling.add(0)
        await anyio.sleep(SHARED_WITHIN / 100)
        for number in range(1, ENOUGH + 1):
            settling.add(number)
        await anyio.sleep(SHARED_WITHIN / 100)
        assert settling.released == [0, 1, 2, 3, 4]
        tasks.cancel_scope.cancel()


async def test_a_result_that_cannot_be_stored_is_kept_and_stays_claimed(
    settling: Settling, caplog: pytest.LogCaptureFixture
) -> None:
    settling.outbox.full = True
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(settling.settler.run)
        settling.add(1)
        await anyio.sleep(10 * RETRY_AFTER)
        assert settling.released == []
        settling.outbox.full = False
        await anyio.sleep(2 * RETRY_AFTER + 1)
        tasks.cancel_scope.cancel()
    assert settling.outbox.batches == [[1]]
    assert settling.released == [1]
    assert [record.message for record in caplog.records] == [
        "channel 'backend': the disk is full; will retry"
    ]


async def test_a_failure_after_a_success_is_logged_again(
    settling: Settling, caplog: pytest.LogCaptureFixture
) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(settling.settler.run)
        for number in range(2):
            settling.outbox.full = True
            settling.add(number)
            await anyio.sleep(5)
            settling.outbox.full = False
            await anyio.sleep(5)
        tasks.cancel_scope.cancel()
    assert len(caplog.records) == 2


async def test_the_last_results_are_stored_at_the_end(settling: Settling) -> None:
    await settling.settler.settle_last()
    assert settling.outbox.batches == []
    settling.add(1, 2)
    await settling.settler.settle_last()
    assert settling.outbox.batches == [[1, 2]]


async def test_a_failure_at_the_end_is_logged(
    settling: Settling, caplog: pytest.LogCaptureFixture
) -> None:
    settling.outbox.full = True
    settling.add(1, 2)
    await settling.settler.settle_last()
    assert [record.message for record in caplog.records] == [
        "the disk is full; 2 deliveries will be repeated after the next start"
    ]
