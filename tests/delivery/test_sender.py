"""One attempt, as one result for each delivery in the batch."""

from collections.abc import Sequence

import anyio
import pytest

from tests.delivery.harness import DOWN, GONE, NOT_SENT, REJECTED, Harness
from tests.delivery.records import due_delivery
from watcher.core.cooldown import Cooldown
from watcher.core.deliveries import DeliveryState, Message, Receipt
from watcher.core.errors import DeliveryError, DeliveryFailure, Disposition
from watcher.delivery.channel_health import ChannelHealth
from watcher.delivery.claimed_queue import ClaimedQueue
from watcher.delivery.sender import Sender

pytestmark = pytest.mark.anyio

LIMITED = DeliveryError(
    DeliveryFailure.RATE_LIMITED,
    "HTTP 429",
    status=429,
    disposition=Disposition.OVERLOADED,
    retry_after=90.0,
)


class Digests:
    """A channel that combines everything, and raises `error` if it is set."""

    digest_most = 50

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.sent: list[list[str]] = []

    def choose(self, waiting: Sequence[Message]) -> Sequence[int]:
        return range(len(waiting))

    async def send_digest(self, messages: Sequence[Message]) -> Receipt:
        await anyio.sleep(2)
        self.sent.append([message.event_id for message in messages])
        if self.error is not None:
            raise self.error
        return Receipt(status=200, response="ok")

    async def send(self, message: Message) -> Receipt:
        return await self.send_digest([message])


class Sending:
    def __init__(self, harness: Harness) -> None:
        context = harness.context()
        self.channel = Digests()
        self.health = ChannelHealth(context, lambda: None)
        self.cooldown = Cooldown(anyio.current_time)
        self.queue = ClaimedQueue(senders=1, rate=None, digesting=self.channel)
        self.recovered: list[float] = []
        self.sender = Sender(
            self.channel,
            context,
            health=self.health,
            cooldown=self.cooldown,
            queue=self.queue,
            recovered=self.recovered.append,
        )

    async def states(self, *numbers: int) -> list[DeliveryState]:
        results = await self.sender.attempt([due_delivery(number) for number in numbers])
        assert [result.delivery_id for result in results] == [*numbers]
        assert [result.duration for result in results] == pytest.approx(
            [2.0] * len(numbers), abs=0.01
        )
        return [result.state for result in results]


@pytest.fixture
async def sending(harness: Harness) -> Sending:
    return Sending(harness)


async def test_a_batch_is_sent_as_one_digest_and_a_single_delivery_as_a_message(
    sending: Sending,
) -> None:
    assert await sending.states(1, 2, 3) == [DeliveryState.DELIVERED] * 3
    assert await sending.states(4) == [DeliveryState.DELIVERED]
    assert sending.channel.sent == [["msg_1", "msg_2", "msg_3"], ["msg_4"]]


async def test_a_rejected_digest_costs_no_attempt_and_its_events_are_sent_singly(
    sending: Sending,
) -> None:
    sending.channel.error = REJECTED
    batch = [due_delivery(1, scheduled=1), due_delivery(2, scheduled=3)]
    results = await sending.sender.attempt(batch)
    assert [result.scheduled for result in results] == [1, 3]
    assert [result.last_error for result in results] == ["HTTP 400"] * 2

    sending.queue.add(batch)
    assert await sending.queue.take() == batch[:1]
    assert await sending.queue.take() == batch[1:]


@pytest.mark.parametrize(
    ("error", "failing", "silent", "cooldown"),
    [
        (REJECTED, True, False, 0.0),
        (NOT_SENT, True, False, 0.0),
        (DOWN, True, False, 1.0),
        (LIMITED, True, False, 90.0),
        (GONE, True, True, 0.0),
    ],
)
async def test_what_a_failure_means_for_the_channel(
    sending: Sending, error: DeliveryError, failing: bool, silent: bool, cooldown: float
) -> None:
    sending.channel.error = error
    assert await sending.states(1) == [DeliveryState.PENDING]
    assert sending.health.failing is failing
    assert sending.health.silent is silent
    assert sending.cooldown.remaining() == pytest.approx(cooldown)


async def test_a_rejection_among_accepted_deliveries_concerns_itself_alone(
    sending: Sending,
) -> None:
    assert await sending.states(1) == [DeliveryState.DELIVERED]
    sending.channel.error = REJECTED
    assert await sending.states(2) == [DeliveryState.PENDING]
    assert not sending.health.failing
    assert await sending.states(3) == [DeliveryState.PENDING]
    assert sending.health.failing


async def test_an_unexpected_error_is_logged_once_and_retried(
    sending: Sending, caplog: pytest.LogCaptureFixture
) -> None:
    sending.channel.error = KeyError("secret")
    for number in range(3):
        (result,) = await sending.sender.attempt([due_delivery(number)])
        assert (result.state, result.last_error) == (DeliveryState.PENDING, "unexpected KeyError")
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


async def test_a_success_after_a_failure_ends_the_outage(sending: Sending) -> None:
    sending.channel.error = DOWN
    await sending.states(1, 2)
    sending.channel.error = None
    await anyio.sleep(60)
    await sending.states(1)
    await sending.states(2)
    assert not sending.health.failing
    assert len(sending.recovered) == 1
