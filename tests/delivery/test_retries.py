"""When a failed delivery is attempted again."""

from itertools import pairwise

import anyio
import pytest

from tests.delivery.harness import (
    DOWN,
    MINUTE,
    NOT_SENT,
    REJECTED,
    Harness,
    ScriptedChannel,
    running,
)
from tests.support.virtual_time import wall
from watcher.core.deliveries import DeliveryState
from watcher.core.errors import DeliveryError, DeliveryFailure, Disposition
from watcher.delivery.dispatcher import Dispatcher

pytestmark = pytest.mark.anyio


async def test_a_delivery_that_fails_among_others_keeps_its_schedule_and_ends_failed(
    harness: Harness,
) -> None:
    channel = ScriptedChannel(lambda message, now: DOWN if "task_1" in message.event_id else None)
    async with running(harness.dispatcher(channel, attempts=(0.0, 5.0, 300.0, 200.0))):
        event_id = await harness.store_event()
        for number in range(25):
            await harness.store_event(f"other_{number}")
            await anyio.sleep(30)

    times = [at for at, sent in channel.attempts if sent == event_id]
    assert 505 <= times[-1] <= 505 * 1.1 + 10
    states = {delivery.event_id: delivery.state for delivery in await harness.deliveries()}
    assert states.pop(event_id) is DeliveryState.FAILED
    assert [*states.values()] == [DeliveryState.DELIVERED] * 25


async def test_attempts_follow_the_schedule_with_jitter_that_only_adds(harness: Harness) -> None:
    channel = ScriptedChannel(lambda message, now: DOWN)
    attempts = (0.0, 5.0, 30.0, 40.0)
    async with running(harness.dispatcher(channel, attempts=attempts)):
        await harness.store_event()
        await anyio.sleep(3600)

    times = [at for at, _ in channel.attempts]
    delays = [later - earlier for earlier, later in pairwise(times)]
    assert len(delays) == 3
    for delay, wanted in zip(delays, attempts[1:], strict=True):
        assert wanted <= delay <= wanted * 1.1 + 0.01
    (delivery,) = await harness.deliveries()
    assert (delivery.state, delivery.attempts, delivery.last_error) == (
        DeliveryState.FAILED,
        4,
        "HTTP 503",
    )


async def test_probes_use_no_step_of_the_schedule(harness: Harness) -> None:
    channel = ScriptedChannel(lambda message, now: DOWN)
    attempts = (0.0, 5.0, 1800.0, 3600.0)
    async with running(harness.dispatcher(channel, attempts=attempts)):
        await harness.store_event()
        await anyio.sleep(sum(attempts) - 100)

        times = [at for at, _ in channel.attempts]
        assert max(later - earlier for earlier, later in pairwise(times)) <= 60
        assert (await harness.deliveries())[0].state is DeliveryState.PENDING
        await anyio.sleep(sum(attempts) * 0.1 + 200)

    assert (await harness.deliveries())[0].state is DeliveryState.FAILED


async def test_later_events_pass_a_delivery_that_fails_for_longer_than_order_wait(
    harness: Harness,
) -> None:
    stuck = "msg_task_1_1"  # known beforehand: the attempt may be made before it is returned
    channel = ScriptedChannel(lambda message, now: DOWN if message.event_id == stuck else None)
    async with running(harness.dispatcher(channel, order_wait=600.0)):
        assert await harness.store_event() == stuck
        later = await harness.store_event()
        await anyio.sleep(590)
        assert channel.delivered == []
        await anyio.sleep(30)

    assert [event_id for _, event_id in channel.delivered] == [later]


async def test_a_rejected_payload_does_not_block_a_terminal_event(harness: Harness) -> None:
    rejected = "msg_task_1_1"
    channel = ScriptedChannel(
        lambda message, now: REJECTED if message.event_id == rejected else None
    )
    async with running(harness.dispatcher(channel)):
        assert await harness.store_event() == rejected
        terminal = await harness.store_event(status="COMPLETED")
        await anyio.sleep(1)

    assert [event_id for _, event_id in channel.delivered] == [terminal]


async def test_one_failing_delivery_among_others_causes_no_extra_attempts(
    harness: Harness,
) -> None:
    failing = "msg_failing_1"
    channel = ScriptedChannel(lambda message, now: DOWN if message.event_id == failing else None)
    async with running(harness.dispatcher(channel)):
        assert await harness.store_event("failing") == failing
        for number in range(600):
            await harness.store_event(f"task_{number % 20}")
            await anyio.sleep(1)

    assert sum(event_id == failing for _, event_id in channel.attempts) <= 600 / 45 + 6
    assert len(channel.delivered) == 600


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_clock_set_back_ends_a_retry_after(harness: Harness, restarted: bool) -> None:
    limited = DeliveryError(
        DeliveryFailure.UNAVAILABLE,
        "HTTP 503",
        status=503,
        disposition=Disposition.OVERLOADED,
        retry_after=60.0,
    )
    offset = 3600.0
    channel = ScriptedChannel(lambda message, now: limited if now < 1 else None)

    def dispatcher() -> Dispatcher:
        return harness.dispatcher(channel, wall=lambda: wall() + offset)

    first = dispatcher()
    async with running(first):
        await harness.store_event("task_1")
        await anyio.sleep(2)
        if not restarted:
            offset = 0.0
            await anyio.sleep(120)
    if restarted:
        offset = 0.0
        async with running(dispatcher()):
            await anyio.sleep(120)
    assert len(channel.delivered) == 1


async def test_retry_after_is_a_floor_and_pauses_the_whole_channel(harness: Harness) -> None:
    limited = DeliveryError(
        DeliveryFailure.RATE_LIMITED,
        "HTTP 429",
        status=429,
        disposition=Disposition.OVERLOADED,
        retry_after=300.0,
    )
    channel = ScriptedChannel(lambda message, now: limited if now < 1 else None)
    async with running(harness.dispatcher(channel, concurrency=1)):
        await harness.store_event("task_1")
        await anyio.sleep(2)
        await harness.store_event("task_2")
        await anyio.sleep(297)
        assert len(channel.attempts) == 1
        await anyio.sleep(60)

    assert len(channel.delivered) == 2
    assert channel.delivered[0][0] >= 300


async def test_a_clock_that_is_set_back_delays_nothing(harness: Harness) -> None:
    channel = ScriptedChannel()
    offset = 0.0
    dispatcher = harness.dispatcher(channel, wall=lambda: wall() + offset)
    async with running(dispatcher):
        await anyio.sleep(5)
        offset = -7200.0
        await harness.store_event()
        await anyio.sleep(70)

    assert len(channel.delivered) == 1


async def test_an_overloaded_receiver_without_retry_after_slows_the_channel_down(
    harness: Harness,
) -> None:
    channel = ScriptedChannel(lambda message, now: DOWN if now < 3.5 else None, duration=0.01)
    async with running(harness.dispatcher(channel, concurrency=4)):
        for number in range(100):
            await harness.store_event(f"task_{number}")
        await anyio.sleep(30)
    assert len(channel.delivered) == 100
    moments = sorted({round(at) for at, _ in channel.attempts if at < 3.5})
    assert moments == [0, 1, 3]
    assert len([at for at, _ in channel.attempts if at < 3.5]) <= 12


async def test_persistent_failures_use_the_slow_half_of_the_schedule(
    harness: Harness,
) -> None:
    rejected = DeliveryError(
        DeliveryFailure.REJECTED, "HTTP 422", status=422, disposition=Disposition.REJECTED
    )
    channel = ScriptedChannel(
        lambda message, now: rejected if message.event_id == "msg_task_1_1" else None
    )
    async with running(
        harness.dispatcher(channel, attempts=(0.0, 1.0, 2.0, 4.0, 600.0, 1200.0, 2400.0))
    ):
        await harness.store_event("task_1")
        for number in range(200):  # the channel is never idle, so no probe is sent
            await harness.store_event(f"other_{number}")
            await anyio.sleep(30)
    times = [at for at, event_id in channel.attempts if event_id == "msg_task_1_1"]
    gaps = [second - first for first, second in pairwise(times)]
    assert gaps == [pytest.approx(wait, rel=0.11) for wait in (4.0, 600.0, 1200.0, 2400.0)]
    assert (await harness.deliveries())[0].state is DeliveryState.FAILED


async def test_retry_after_on_429_is_honoured_and_costs_no_attempt(
    harness: Harness,
) -> None:
    limited = DeliveryError(
        DeliveryFailure.RATE_LIMITED,
        "HTTP 429",
        status=429,
        disposition=Disposition.OVERLOADED,
        retry_after=20.0,
    )
    channel = ScriptedChannel(lambda message, now: limited if now < 4 * MINUTE else None)
    async with running(harness.dispatcher(channel, attempts=(0.0, 3600.0))):
        await harness.store_event()
        await anyio.sleep(5 * MINUTE)
    assert len(channel.delivered) == 1
    assert all(
        20 <= second - first <= 22.1 for (first, _), (second, _) in pairwise(channel.attempts)
    )


async def test_a_delivery_that_was_not_sent_costs_no_attempt(harness: Harness) -> None:
    channel = ScriptedChannel(lambda message, now: NOT_SENT if now < 60 * MINUTE else None)
    async with running(harness.dispatcher(channel, attempts=(0.0, 1.0))):
        await harness.store_event()
        await anyio.sleep(61 * MINUTE)
    assert len(channel.delivered) == 1
    assert all(second - first >= 5 for (first, _), (second, _) in pairwise(channel.attempts))
    assert await harness.types() == ["task.in_progress", "channel.failing", "channel.recovered"]
