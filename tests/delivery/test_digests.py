"""A channel that combines events sends a few digests instead of many messages."""

import json
import re

import anyio
import httpx
import pytest

from tests.delivery.harness import MINUTE, Harness, running
from tests.support.virtual_time import wall
from watcher.channels.slack import channel as slack
from watcher.core.deliveries import DeliveryState
from watcher.core.interfaces.channel import Channel
from watcher.delivery.notes import InMemoryNotes

pytestmark = pytest.mark.anyio


class Slack:
    """Accepts one message a second and rejects earlier ones, as Slack does. The responses to the
    requests numbered `fails` are errors.
    """

    def __init__(self, *fails: int) -> None:
        self.fails = fails
        self.requests = 0
        self.texts: list[tuple[float, str]] = []
        self._free_at = -1.0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        now = anyio.current_time()
        self.requests += 1
        if now < self._free_at - 0.001:
            return httpx.Response(429, headers={"retry-after": "1"})
        self._free_at = now + 1
        if self.requests in self.fails:
            return httpx.Response(500)
        self.texts.append((now, json.dumps(json.loads(request.content), ensure_ascii=False)))
        return httpx.Response(200, text="ok")

    def channel(self) -> Channel:
        settings = slack.Settings(name="backend", url="https://hooks.slack.example/x")
        return slack.create(
            settings, transport=httpx.MockTransport(self), notes=InMemoryNotes(), wall=wall
        )

    def counted(self) -> int:
        """Return how many tasks the digests count."""
        found = [re.search(r"❌ ([\d,]+) tasks? failed", text) for _, text in self.texts]
        return sum(int(one[1].replace(",", "")) if one else 1 for one in found)


@pytest.mark.parametrize("fails", [(), (3, 5)])
async def test_many_events_become_a_few_digests_that_count_every_task(
    harness: Harness, fails: tuple[int, ...]
) -> None:
    receiver = Slack(*fails)
    async with running(harness.dispatcher(receiver.channel(), rate=1, concurrency=1)):
        for number in range(1000):
            await harness.store_event(f"t_{number}_e", "FAILED")
            await anyio.sleep(0.01)
        await anyio.sleep(50)
    assert receiver.requests <= 15
    assert receiver.counted() == 1000
    assert receiver.texts[-1][0] <= 60
    assert await harness.states() == [DeliveryState.DELIVERED] * 1000


async def test_a_few_failures_are_sent_singly(harness: Harness) -> None:
    receiver = Slack()
    async with running(harness.dispatcher(receiver.channel(), rate=1, concurrency=1)):
        for number in range(5):
            await harness.store_event(f"t_{number}_e", "FAILED")
        await anyio.sleep(20)
    assert len(receiver.texts) == 5


async def test_after_a_rejected_digest_each_event_is_sent_alone(harness: Harness) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if b"8 tasks" in request.content:
            return httpx.Response(400, text="invalid_blocks")
        return httpx.Response(200, text="ok")

    settings = slack.Settings(name="backend", url="https://hooks.slack.example/x")
    channel = slack.create(
        settings, transport=httpx.MockTransport(answer), notes=InMemoryNotes(), wall=wall
    )
    async with running(harness.dispatcher(channel, attempts=(0.0, 1.0))):
        for number in range(8):
            await harness.store_event(f"t_{number}_e", "FAILED")
        await anyio.sleep(5 * MINUTE)
    assert await harness.states() == [DeliveryState.DELIVERED] * 8
