"""Claimed deliveries wait here for a sender: in order, within the rate, or as digests."""

from collections.abc import Sequence

import anyio
import pytest

from tests.delivery.records import due_delivery
from watcher.core.deliveries import DueDelivery, Message, Receipt
from watcher.delivery.claimed_queue import CLAIMED_PER_SENDER, CLOCK_SKEW_MARGIN, ClaimedQueue

pytestmark = pytest.mark.anyio


class EveryOther:
    """A channel whose digests combine the first message with every other one after it."""

    digest_most = 50

    def choose(self, waiting: Sequence[Message]) -> Sequence[int]:
        return range(0, len(waiting), 2)

    async def send_digest(self, messages: Sequence[Message]) -> Receipt:
        raise AssertionError("the queue sends nothing")


def claimed_queue(
    count: int, *, rate: float | None = None, digesting: EveryOther | None = None
) -> ClaimedQueue:
    queue = ClaimedQueue(senders=2, rate=rate, digesting=digesting)
    queue.add([due_delivery(number) for number in range(count)])
    return queue


def numbers(batch: Sequence[DueDelivery]) -> list[int]:
    return [delivery.id for delivery in batch]


async def test_deliveries_leave_in_order_and_stay_claimed_until_released() -> None:
    queue = claimed_queue(3)
    assert [numbers(await queue.take()) for _ in range(3)] == [[0], [1], [2]]
    assert queue.ids() == {0, 1, 2}
    queue.release([0, 2])
    assert queue.ids() == {1}
    assert len(queue) == 1


async def test_a_sender_waits_for_a_delivery() -> None:
    queue = claimed_queue(0)
    with anyio.move_on_after(60) as scope:
        await queue.take()
    assert scope.cancelled_caught
    queue.add([due_delivery(7)])
    assert numbers(await queue.take()) == [7]


async def test_the_rate_is_kept_with_a_margin_and_after_idle_time_there_is_no_burst() -> None:
    queue = claimed_queue(4, rate=2.0)
    await queue.take()
    await anyio.sleep(60)
    times = []
    for _ in range(3):
        await queue.take()
        times.append(anyio.current_time())
    gap = CLOCK_SKEW_MARGIN / 2.0
    assert [time - times[0] for time in times] == pytest.approx([0.0, gap, 2 * gap], abs=0.001)


async def test_the_channel_chooses_what_makes_one_digest() -> None:
    queue = claimed_queue(5, digesting=EveryOther())
    assert numbers(await queue.take()) == [0, 2, 4]
    assert numbers(await queue.take()) == [1]
    assert numbers(await queue.take()) == [3]


async def test_deliveries_of_a_rejected_digest_leave_singly_until_they_are_delivered() -> None:
    queue = claimed_queue(4, digesting=EveryOther())
    queue.send_singly([due_delivery(0), due_delivery(2)])
    assert numbers(await queue.take()) == [0]
    assert numbers(await queue.take()) == [1]  # a digest of 1 alone: it skips 2, chooses 1 not 3
    assert numbers(await queue.take()) == [2]
    queue.delivered([due_delivery(0), due_delivery(2)])
    queue.add([due_delivery(0), due_delivery(2)])
    assert numbers(await queue.take()) == [3, 2]


async def test_a_digest_leaves_what_waiting_senders_are_about_to_take() -> None:
    queue = claimed_queue(0, digesting=EveryOther())
    batches: list[list[int]] = []

    async def take() -> None:
        batches.append(numbers(await queue.take()))

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(take)
        await anyio.sleep(1)
        queue.add([due_delivery(number) for number in range(3)])
    assert sorted(batches) == [[0], [1], [2]]


@pytest.mark.parametrize(
    ("digesting", "limit"),
    [(None, 2 * CLAIMED_PER_SENDER), (EveryOther(), 2 * EveryOther.digest_most)],
)
def test_the_limit_has_room_for_every_sender_and_two_digests(
    digesting: EveryOther | None, limit: int
) -> None:
    assert ClaimedQueue(senders=2, rate=None, digesting=digesting).limit == limit
