"""Large bodies are read when they are sent, within a limit over all channels."""

import json
from collections.abc import Sequence

import anyio
import pytest

from tests.delivery.harness import Harness, ScriptedChannel, running
from watcher.core.deliveries import SMALL_BODY, DeliveryState, Message, Receipt
from watcher.core.errors import StoreError
from watcher.delivery.body_memory import BodyMemory

pytestmark = pytest.mark.anyio

LARGE = 100_000


@pytest.mark.parametrize("size", [1, SMALL_BODY - 500, SMALL_BODY + 1, LARGE])
async def test_a_body_of_any_size_arrives_whole(harness: Harness, size: int) -> None:
    channel = ScriptedChannel()
    async with running(harness.dispatcher(channel)):
        await harness.store_event(size=size)
        await anyio.sleep(1)

    assert len(channel.sizes) == 1
    assert channel.sizes[0] > size


async def test_a_claim_holds_no_large_body(harness: Harness) -> None:
    await harness.store_event("small", size=10)
    await harness.store_event("large", size=LARGE)
    small, large = await harness.store.due("backend", float("inf"), 10)
    assert (small.body is None, large.body) == (False, None)
    assert large.body_size > LARGE
    assert len(await harness.store.body(large.id)) == large.body_size


async def test_the_bodies_in_flight_are_limited_over_all_channels(harness: Harness) -> None:
    harness.bodies = BodyMemory(2 * LARGE + 10_000)
    channels = {name: ScriptedChannel(duration=10.0) for name in ("backend", "alerts")}
    for number in range(6):
        await harness.store_event(f"task_{number}", "IN_PROGRESS", *channels, size=LARGE)
    async with running(*(harness.dispatcher(one, name) for name, one in channels.items())):
        await anyio.sleep(5)
        assert sum(one.in_flight for one in channels.values()) == 2
        await anyio.sleep(120)

    assert [len(one.delivered) for one in channels.values()] == [6, 6]


async def test_a_body_above_the_limit_is_sent_alone(harness: Harness) -> None:
    harness.bodies = BodyMemory(10)
    channel = ScriptedChannel(duration=1.0)
    async with running(harness.dispatcher(channel)):
        for number in range(3):
            await harness.store_event(f"task_{number}", size=LARGE)
        await anyio.sleep(10)

    assert (channel.max_in_flight, len(channel.delivered)) == (1, 3)


async def test_a_delivery_that_was_removed_is_not_sent(harness: Harness) -> None:
    harness.bodies = BodyMemory(10)
    channel = ScriptedChannel(duration=5.0)
    async with running(harness.dispatcher(channel)):
        for number in range(2):
            await harness.store_event(f"task_{number}", size=LARGE)
        await anyio.sleep(1)
        await harness.store.purge("backend", DeliveryState.PENDING, float("inf"))
        await anyio.sleep(20)
        await harness.store_event("task_3", size=LARGE)
        await anyio.sleep(10)

    assert len(channel.attempts) == 2


class FailingReads:
    """The store; `body` fails while `fails` is set."""

    def __init__(self, store: object) -> None:
        self._store = store
        self.fails = True

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def body(self, delivery_id: int) -> bytes | None:
        if self.fails:
            raise StoreError("disk I/O error")
        found: bytes | None = await self.__getattr__("body")(delivery_id)  # type: ignore[operator]
        return found


async def test_a_body_that_cannot_be_read_is_tried_again(harness: Harness) -> None:
    store = harness.store = FailingReads(harness.store)
    channel = ScriptedChannel()
    async with running(harness.dispatcher(channel)):
        await harness.store_event(size=LARGE)
        await anyio.sleep(10)
        assert channel.attempts == []
        store.fails = False
        await anyio.sleep(60)

    assert len(channel.delivered) == 1


class Combining(ScriptedChannel):
    """Combines all that waits, if that is more than one event."""

    digest_most = 100

    def choose(self, waiting: Sequence[Message]) -> Sequence[int]:
        return range(len(waiting))

    async def send_digest(self, messages: Sequence[Message]) -> Receipt:
        self.sizes += [len(message.body) for message in messages]
        for message in messages:
            assert json.loads(message.body)["data"]["additional_data"] == {"batch_id": "b"}
        return Receipt(status=200)


async def test_a_digest_gets_summaries_and_a_single_event_is_whole(harness: Harness) -> None:
    channel = Combining()
    for number in range(10):
        await harness.store_event(f"task_{number}", batch="b", size=LARGE)
    async with running(harness.dispatcher(channel, concurrency=1)):
        await anyio.sleep(1)
        assert len(channel.sizes) == 10
        assert max(channel.sizes) < 1000
        await harness.store_event("task_10", batch="b", size=LARGE)
        await anyio.sleep(1)

    assert channel.sizes[-1] > LARGE
