"""Which deliveries are claimed: due ones, new ones on shutdown, and probes."""

import anyio
import pytest

from tests.delivery.harness import Harness
from tests.support.records import settled
from tests.support.virtual_time import wall
from watcher.core.deliveries import DeliveryState
from watcher.delivery.claimed_queue import ClaimedQueue
from watcher.delivery.claims import PROBE_INTERVAL, Claims

pytestmark = pytest.mark.anyio


class Claiming:
    def __init__(self, harness: Harness) -> None:
        self._harness = harness
        self.queue = ClaimedQueue(senders=8, rate=None, digesting=None)
        self.claims = Claims(harness.context(), self.queue)

    async def store(self, count: int) -> list[int]:
        """Store events of different tasks; return the IDs of their deliveries."""
        first = len(await self._harness.deliveries())
        for number in range(first, first + count):
            await self._harness.store_event(f"task_{number}")
        return [delivery.id for delivery in await self._harness.deliveries()][first:]

    async def fail(self, delivery_id: int, *, at: float, not_before: float | None = None) -> None:
        result = settled(
            delivery_id,
            DeliveryState.PENDING,
            at=at,
            next_attempt_at=wall() + 3600,
            not_before=not_before,
        )
        await self._harness.store.settle([result])


@pytest.fixture
async def claiming(harness: Harness) -> Claiming:
    return Claiming(harness)


async def test_due_deliveries_are_claimed_once_and_within_the_room(claiming: Claiming) -> None:
    ids = await claiming.store(5)
    assert await claiming.claims.due(3, wall())
    assert claiming.queue.ids() == {*ids[:3]}
    assert await claiming.claims.due(3, wall())
    assert claiming.queue.ids() == {*ids}
    assert not await claiming.claims.due(3, wall())


async def test_on_shutdown_only_deliveries_without_an_attempt_are_claimed(
    claiming: Claiming,
) -> None:
    failed, *fresh = await claiming.store(4)
    await claiming.fail(failed, at=wall())
    assert await claiming.claims.never_attempted(2)
    assert await claiming.claims.never_attempted(2)
    assert claiming.queue.ids() == {*fresh}
    assert not await claiming.claims.never_attempted(2)


async def test_the_probe_is_the_delivery_attempted_longest_ago(claiming: Claiming) -> None:
    first, second = await claiming.store(2)
    await claiming.fail(first, at=wall())
    await claiming.fail(second, at=wall() - 60)
    assert await claiming.claims.probe()
    assert claiming.queue.ids() == {second}
    assert await claiming.claims.probe()
    assert claiming.queue.ids() == {first, second}
    assert not await claiming.claims.probe()


async def test_a_probe_is_not_sent_before_its_retry_after(claiming: Claiming) -> None:
    (delivery,) = await claiming.store(1)
    await claiming.fail(delivery, at=wall(), not_before=wall() + 100)
    assert not await claiming.claims.probe()
    await anyio.sleep(100)
    assert await claiming.claims.probe()


async def test_a_probe_is_due_after_a_time_without_attempts(claiming: Claiming) -> None:
    await anyio.sleep(PROBE_INTERVAL - 1)
    assert not claiming.claims.probe_due
    await anyio.sleep(1)
    assert claiming.claims.probe_due
    claiming.claims.attempt_begins()
    assert not claiming.claims.probe_due
