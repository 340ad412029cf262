"""Claiming, sending and settling: in order, within limits, and once."""

from itertools import pairwise
from random import Random

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.delivery.harness import (
    DOWN,
    MINUTE,
    REJECTED,
    Harness,
    ScriptedChannel,
    SlowReader,
    harness_at,
    running,
)
from tests.support.stores import FullDisk
from tests.support.virtual_time import wall
from watcher.core.deliveries import DeliveryState
from watcher.core.errors import DeliveryError, DeliveryFailure, Disposition

pytestmark = pytest.mark.anyio


async def test_a_stored_event_is_delivered_immediately_and_once(harness: Harness) -> None:
    channel = ScriptedChannel()
    async with running(harness.dispatcher(channel)):
        event_id = await harness.store_event()
        await anyio.sleep(3600)

    assert channel.attempts == [(pytest.approx(0, abs=0.1), event_id)]  # type: ignore[comparison-overlap]
    (delivery,) = await harness.deliveries()
    assert (delivery.state, delivery.attempts, delivery.last_status) == (
        DeliveryState.DELIVERED,
        1,
        200,
    )


async def test_events_of_one_task_arrive_in_order_whatever_fails(harness: Harness) -> None:
    random = Random(3)
    channel = ScriptedChannel(
        lambda message, now: DOWN if random.random() < 0.4 else None, duration=0.2
    )
    async with running(harness.dispatcher(channel)):
        sent = [await harness.store_event() for _ in range(12)]
        await anyio.sleep(9 * MINUTE)

    assert [event_id for _, event_id in channel.delivered] == sent


async def test_a_receiver_down_for_forty_minutes_gets_everything_within_a_minute_oldest_first(
    harness: Harness,
) -> None:
    back_at = 40 * MINUTE
    channel = ScriptedChannel(lambda message, now: DOWN if now < back_at else None, duration=0.05)
    async with running(harness.dispatcher(channel, concurrency=1)):
        sent = []
        for number in range(60):
            sent.append(await harness.store_event(f"task_{number}"))
            await anyio.sleep(30)
        await anyio.sleep(back_at + 60 - anyio.current_time())

    assert sorted(event_id for _, event_id in channel.delivered) == sorted(sent)
    first_success, *rest = [event_id for _, event_id in channel.delivered]
    assert rest == [event_id for event_id in sent if event_id != first_success]


async def test_a_slow_channel_delays_no_other(harness: Harness) -> None:
    slow, quick = ScriptedChannel(duration=14.0), ScriptedChannel()
    async with running(
        harness.dispatcher(slow, "alerts", concurrency=1), harness.dispatcher(quick)
    ):
        for number in range(20):
            await harness.store_event(f"task_{number}", "IN_PROGRESS", "backend", "alerts")
        await anyio.sleep(1)
        assert len(quick.delivered) == 20
        assert len(slow.delivered) == 0


async def test_no_more_are_in_flight_than_allowed(harness: Harness) -> None:
    channel = ScriptedChannel(duration=1.0)
    async with running(harness.dispatcher(channel, concurrency=3)):
        for number in range(30):
            await harness.store_event(f"task_{number}")
        await anyio.sleep(60)

    assert channel.max_in_flight == 3
    assert len(channel.delivered) == 30


async def test_a_restart_repeats_only_what_was_in_flight(harness: Harness) -> None:
    channel = ScriptedChannel(duration=10.0)
    async with running(harness.dispatcher(channel, concurrency=2)):
        for number in range(5):
            await harness.store_event(f"task_{number}")
        await anyio.sleep(15)
    repeated = {event_id for _, event_id in channel.attempts} - {
        event_id for _, event_id in channel.delivered
    }
    async with running(harness.dispatcher(channel, concurrency=2)):
        await anyio.sleep(60)

    counts = [sum(sent == event_id for _, sent in channel.attempts) for event_id in repeated]
    assert len(channel.delivered) == 5
    assert len(channel.attempts) == 5 + len(repeated)
    assert counts == [2, 2]


async def test_after_a_restart_with_an_earlier_clock_everything_pending_is_due(
    harness: Harness,
) -> None:
    channel = ScriptedChannel(lambda message, now: DOWN)
    sent = [await harness.store_event(f"task_{number}") for number in range(3)]
    async with running(harness.dispatcher(channel, wall=lambda: wall() + 3600.0)):
        await anyio.sleep(5)
    works = ScriptedChannel()
    async with running(harness.dispatcher(works)):
        await anyio.sleep(1)

    assert [event_id for _, event_id in works.delivered] == sent


async def test_a_result_that_could_not_be_stored_is_kept_and_not_sent_again(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    channel = ScriptedChannel()
    disk = FullDisk(harness.store)
    harness.store = disk
    await harness.store_event()
    disk.full = True
    async with running(harness.dispatcher(channel)):
        await anyio.sleep(100)
        assert len(channel.attempts) == 1
        disk.full = False
        await anyio.sleep(5)

    assert (await harness.deliveries())[0].state is DeliveryState.DELIVERED
    assert sum("disk is full" in record.message for record in caplog.records) == 1


async def test_closing_attempts_new_deliveries_once_and_finishes_those_in_flight(
    harness: Harness,
) -> None:
    channel = ScriptedChannel(
        lambda message, now: DOWN if "task_0" in message.event_id else None, duration=2.0
    )
    dispatcher = harness.dispatcher(channel, concurrency=1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(dispatcher.run)
        for number in range(3):
            await harness.store_event(f"task_{number}")
        await anyio.sleep(1)
        await dispatcher.close()

    assert len(channel.attempts) == 3
    assert await harness.states() == [
        DeliveryState.PENDING,
        DeliveryState.DELIVERED,
        DeliveryState.DELIVERED,
    ]


async def test_closing_attempts_new_deliveries_behind_many_old_ones(
    harness: Harness,
) -> None:
    channel = ScriptedChannel(lambda message, now: DOWN)
    dispatcher = harness.dispatcher(channel, concurrency=1, attempts=(0.0, 100.0, 100.0))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(dispatcher.run)
        for number in range(40):
            await harness.store_event(f"task_{number}")
        await anyio.sleep(99)
        channel.duration = 0.5
        await anyio.sleep(30)
        new = await harness.store_event("task_new")
        await dispatcher.close()

    assert channel.attempts[-1][1] == new


async def test_closing_does_not_wait_for_the_retry_after_of_an_open_breaker(
    harness: Harness,
) -> None:
    busy = DeliveryError(
        DeliveryFailure.RATE_LIMITED,
        "HTTP 429",
        status=429,
        disposition=Disposition.OVERLOADED,
        retry_after=300.0,
    )
    channel = ScriptedChannel(lambda message, now: busy if now >= 1 else DOWN)
    dispatcher = harness.dispatcher(channel, concurrency=16)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(dispatcher.run)
        for number in range(16):
            await harness.store_event(f"task_{number}")
        await anyio.sleep(120)
        assert harness.breaker_open
        await harness.store_event("task_new")
        attempts, began = len(channel.attempts), anyio.current_time()
        with anyio.fail_after(1):
            await dispatcher.close()

    assert (len(channel.attempts), anyio.current_time()) == (attempts, began)


async def test_a_retry_is_on_time_while_another_delivery_hangs(harness: Harness) -> None:
    channel = ScriptedChannel(
        lambda message, now: DOWN if "task_2" in message.event_id and now < 5 else None
    )
    async with running(harness.dispatcher(channel, concurrency=2)):
        channel.duration = 14.0
        await harness.store_event("task_1")
        await anyio.sleep(0.1)
        channel.duration = 0.0
        second = await harness.store_event("task_2")
        await anyio.sleep(10)

    times = [at for at, sent in channel.attempts if sent == second]
    assert times[1] - times[0] <= 5.6


async def test_an_unexpected_error_is_retried(harness: Harness) -> None:
    channel = ScriptedChannel(lambda message, now: KeyError("bug") if now < 1 else None)
    async with running(harness.dispatcher(channel)):
        await harness.store_event()
        await anyio.sleep(10)

    assert len(channel.delivered) == 1


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    outcomes=st.lists(st.sampled_from(["ok", "down", "rejected"]), max_size=40),
    seed=st.integers(0, 1000),
)
async def test_every_delivery_ends_and_none_is_sent_after_its_end(
    outcomes: list[str], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    remaining = iter(outcomes)
    errors = {"ok": None, "down": DOWN, "rejected": REJECTED}
    channel = ScriptedChannel(lambda message, now: errors[next(remaining, "ok")], duration=0.1)
    async with harness_at(tmp_path_factory.mktemp("outbox")) as harness:
        async with running(harness.dispatcher(channel, attempts=(0.0, 1.0, 2.0), concurrency=2)):
            sent = [await harness.store_event(f"task_{number % 3}") for number in range(9)]
            await anyio.sleep(3600)
        states = await harness.states()

    delivered = [event_id for _, event_id in channel.delivered]
    assert len(delivered) == len(set(delivered))
    assert len(states) == len(sent)
    assert {*states} <= {DeliveryState.DELIVERED, DeliveryState.FAILED}


async def test_a_delivery_settled_during_a_claim_is_not_sent_again(harness: Harness) -> None:
    harness.store = SlowReader(harness.store)
    channel = ScriptedChannel(duration=0.2)
    dispatcher = harness.dispatcher(channel, concurrency=4)
    async with running(dispatcher):
        for number in range(100):
            await harness.store_event(f"task_{number}")
            await anyio.sleep(0.07)
        await anyio.sleep(60)

    assert len(channel.attempts) == len({event_id for _, event_id in channel.attempts}) == 100


async def test_the_rate_is_honoured(harness: Harness) -> None:
    channel = ScriptedChannel(duration=0.01)
    async with running(harness.dispatcher(channel, rate=4)):
        for number in range(20):
            await harness.store_event(f"task_{number}")
        await anyio.sleep(10)
    times = [at for at, _ in channel.attempts]
    assert len(times) == 20
    assert all(0.25 <= second - first <= 0.27 for first, second in pairwise(times))
