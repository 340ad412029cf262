"""Outages, the circuit breaker and suspensions of a channel, with their events."""

from itertools import count, pairwise
from typing import Any

import anyio
import pytest

from tests.delivery.harness import (
    DOWN,
    GONE,
    MINUTE,
    REJECTED,
    Harness,
    ScriptedChannel,
    running,
)
from tests.support.virtual_time import wall
from watcher.core.deliveries import DeliveryState, Message, Receipt
from watcher.core.outage import Outage
from watcher.delivery.suspension import ChannelSuspension

pytestmark = pytest.mark.anyio


async def test_other_channels_are_notified_once_of_an_outage_and_once_of_its_end(
    harness: Harness,
) -> None:
    back_at = 3600.0
    channel = ScriptedChannel(lambda message, now: DOWN if now < back_at else None)
    alerts = ScriptedChannel()
    async with running(
        harness.dispatcher(channel, alert_after=300.0), harness.dispatcher(alerts, "alerts")
    ):
        await harness.store_event()
        await anyio.sleep(299)
        assert alerts.attempts == []
        await anyio.sleep(12)
        assert len(alerts.delivered) == 1
        await anyio.sleep(back_at)

    assert await harness.types("channel") == [
        "channel.failing",
        "channel.recovered",
    ]
    assert len(alerts.delivered) == 2


async def test_a_restart_neither_repeats_nor_forgets_an_alert(harness: Harness) -> None:
    channel = ScriptedChannel(lambda message, now: DOWN if now < 2000 else None)
    async with running(harness.dispatcher(channel)):
        await harness.store_event()
        await anyio.sleep(200)
    async with running(harness.dispatcher(channel)):
        await anyio.sleep(120)
        assert (await harness.types()).count("channel.failing") == 1
    async with running(harness.dispatcher(channel)):
        await anyio.sleep(3600)

    assert (await harness.types())[1:] == ["channel.failing", "channel.recovered"]


async def test_a_delivery_that_ends_failed_raises_the_alert_at_once(
    harness: Harness,
) -> None:
    channel = ScriptedChannel(lambda message, now: REJECTED)
    async with running(harness.dispatcher(channel, attempts=(0.0, 1.0))):
        await harness.store_event()
        await anyio.sleep(5)

    assert "channel.failing" in await harness.types()


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
async def test_a_clock_jump_during_an_outage_raises_no_early_alert_and_loses_nothing(
    harness: Harness, jump: float
) -> None:
    channel = ScriptedChannel(lambda message, now: DOWN if now < 120 else None)
    offset = 0.0
    dispatcher = harness.dispatcher(channel, wall=lambda: wall() + offset, alert_after=240.0)
    async with running(dispatcher):
        for number in range(30):
            await harness.store_event(f"task_{number}")
        await anyio.sleep(60)
        offset = jump
        await anyio.sleep(130)
    assert len(channel.delivered) == 30
    assert "channel.failing" not in await harness.types()


async def test_a_410_stops_the_channel_and_notifies_the_others(
    harness: Harness,
) -> None:
    gone = True
    channel, alerts = (
        ScriptedChannel(lambda message, now: GONE if gone else None),
        ScriptedChannel(),
    )
    dispatcher = harness.dispatcher(channel, attempts=(0.0, 1.0))
    async with running(dispatcher, harness.dispatcher(alerts, "alerts")):
        await harness.store_event()
        await anyio.sleep(1)
        for number in range(20):
            await harness.store_event(f"later_{number}")
        await anyio.sleep(24 * 60 * MINUTE)
        assert len(channel.attempts) == 1
        assert await harness.types() == [
            "task.in_progress",
            "channel.stopped",
            *["task.in_progress"] * 20,
        ]
        assert len(alerts.delivered) == 1
        assert (dispatcher.state().state, dispatcher.state().reason) == (
            "stopped",
            "HTTP 410: gone",
        )
        assert harness.suspended == {"paused": 0, "stopped": 1, "off": 0}

        gone = False
        await dispatcher.resume()
        await anyio.sleep(1)
    assert len(channel.delivered) == 21
    assert (await harness.types())[-1] == "channel.recovered"
    assert harness.suspended == {"paused": 0, "stopped": 0, "off": 0}


@pytest.mark.parametrize("counts", [True, False])
async def test_a_stop_is_counted_where_it_is_announced(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, counts: bool
) -> None:
    suspend = harness.store.suspend

    async def announced(*arguments: Any) -> bool:
        return await suspend(*arguments) and counts

    monkeypatch.setattr(harness.store, "suspend", announced, raising=False)
    async with running(harness.dispatcher(ScriptedChannel(lambda message, now: GONE))):
        await harness.store_event()
        await anyio.sleep(1)
    value = harness.metrics.registry.get_sample_value(
        "watcher_events_total", {"type": "channel.stopped"}
    )
    assert value == (1 if counts else 0)


async def test_several_410s_in_flight_stop_the_channel_once(harness: Harness) -> None:
    alerts, numbers = ScriptedChannel(), count()

    class OneAfterTheOther(ScriptedChannel):
        async def send(self, message: Message) -> Receipt:
            await anyio.sleep(5.0 + next(numbers))
            return await super().send(message)

    channel = OneAfterTheOther(lambda message, now: GONE)
    dispatcher = harness.dispatcher(channel)
    async with running(dispatcher, harness.dispatcher(alerts, "alerts")):
        for number in range(5):
            await harness.store_event(f"task_{number}")
        await anyio.sleep(MINUTE)
        assert len(channel.attempts) == 5
        assert await harness.types("channel.") == ["channel.stopped"]
        assert len(alerts.delivered) == 1


async def test_a_pause_of_another_process_is_followed_and_so_is_its_end(harness: Harness) -> None:
    channel = ScriptedChannel()
    dispatcher = harness.dispatcher(channel)
    async with running(dispatcher):
        other = ChannelSuspension(harness.context())
        await other.pause("maintenance")
        await dispatcher.follow(attempt=False)
        await harness.store_event()
        await anyio.sleep(MINUTE)
        assert (dispatcher.state().state, channel.attempts) == ("paused", [])

        await other.lift()
        await dispatcher.follow(attempt=True)
        await anyio.sleep(1)
        assert dispatcher.state().state == "running"
    assert len(channel.delivered) == 1


async def test_an_outage_whose_end_another_process_announces_is_over(harness: Harness) -> None:
    channel = ScriptedChannel(lambda message, now: DOWN if now < 1000 else None)
    dispatcher = harness.dispatcher(channel)
    async with running(dispatcher):
        for number in range(5):
            await harness.store_event(f"task_{number}")
        await anyio.sleep(995)
        assert await harness.types("channel") == ["channel.failing"]
        await dispatcher.follow(attempt=False)
        assert dispatcher.state().state == "failing", "it is not over yet"
        await harness.store.record_outage(None, None, recovered="channel backend")
        await anyio.sleep(6)
        assert (channel.delivered, dispatcher.state().state) == ([], "failing")
        await dispatcher.follow(attempt=False)
        await anyio.sleep(3)  # a probe is due in 22 s
        assert (len(channel.delivered), dispatcher.state().state) == (5, "running")
    assert await harness.types("channel") == ["channel.failing"]


async def test_an_outage_of_queues_that_are_taken_over_is_continued(harness: Harness) -> None:
    channel = ScriptedChannel()
    dispatcher = harness.dispatcher(channel)
    async with running(dispatcher):
        outage = Outage(subject="channel backend", since=wall() - 60, alerted_at=wall())
        await harness.store.record_outage(None, outage)
        dispatcher.take_over()
        await anyio.sleep(1)
        assert dispatcher.state().since == outage.since
        await harness.store_event()
        await anyio.sleep(1)
    assert (await harness.types("channel"), len(channel.delivered)) == (["channel.recovered"], 1)
    assert await harness.store.outage("channel backend") is None


async def test_a_410_that_was_in_flight_does_not_end_a_pause(harness: Harness) -> None:
    channel = ScriptedChannel(lambda message, now: GONE, duration=5.0)
    dispatcher = harness.dispatcher(channel)
    async with running(dispatcher):
        await harness.store_event()
        await anyio.sleep(1)
        await dispatcher.pause("maintenance")
        await anyio.sleep(MINUTE)
        assert (dispatcher.state().state, dispatcher.state().reason) == ("paused", "maintenance")


async def test_a_stopped_channel_stays_stopped_across_a_restart(harness: Harness) -> None:
    async with running(harness.dispatcher(ScriptedChannel(lambda message, now: GONE))):
        await harness.store_event()
        await anyio.sleep(MINUTE)
    again = ScriptedChannel()
    dispatcher = harness.dispatcher(again)
    async with running(dispatcher):
        await anyio.sleep(60 * MINUTE)
        assert again.attempts == []
        await dispatcher.resume()
        await anyio.sleep(1)
    assert len(again.delivered) == 1


async def test_a_paused_channel_sends_pending_deliveries_in_order_when_resumed(
    harness: Harness,
) -> None:
    channel = ScriptedChannel()
    dispatcher = harness.dispatcher(channel)
    async with running(dispatcher):
        await dispatcher.pause("the receiver moves")
        ids = [
            await harness.store_event("task_1", status)
            for status in ("QUEUED", "IN_PROGRESS", "FAILED")
        ]
        await anyio.sleep(60 * MINUTE)
        assert channel.attempts == []
        assert dispatcher.state().state == "paused"
        assert harness.suspended == {"paused": 1, "stopped": 0, "off": 0}
        assert "channel.failing" not in await harness.types()
        await dispatcher.resume()
        await anyio.sleep(1)
    assert [event_id for _, event_id in channel.delivered] == ids


async def test_a_paused_channel_does_not_delay_shutdown(harness: Harness) -> None:
    dispatcher = harness.dispatcher(ScriptedChannel())
    async with running(dispatcher):
        await dispatcher.pause("for a while")
        await harness.store_event()
        await anyio.sleep(1)
        with anyio.fail_after(5):
            await dispatcher.close()


async def test_an_open_breaker_sends_one_probe_at_a_time_and_uses_no_attempts(
    harness: Harness,
) -> None:
    back_at = 4 * 60 * MINUTE
    channel = ScriptedChannel(lambda message, now: DOWN if now < back_at else None, duration=0.1)
    async with running(harness.dispatcher(channel, attempts=(0.0, 1.0, 1.0, 1.0))):
        for number in range(200):
            await harness.store_event(f"task_{number}")
        await anyio.sleep(MINUTE)
        assert harness.breaker_open == 1
        channel.max_in_flight = 0
        await anyio.sleep_until(back_at - 1)
        assert channel.max_in_flight == 1
        assert len(channel.attempts) < 40 + back_at / 30
        await anyio.sleep(MINUTE)
        assert harness.breaker_open == 0
    assert len(channel.delivered) == 200
    assert await harness.states() == [DeliveryState.DELIVERED] * 200
    gaps = [
        second - first for (first, _), (second, _) in pairwise(channel.attempts) if second < back_at
    ]
    assert max(gaps) <= 60


async def test_a_channel_that_fails_for_days_is_off_and_recovers_by_itself(
    harness: Harness,
) -> None:
    off_after, hour = 6 * 60 * MINUTE, 60 * MINUTE
    back_at = off_after * 2
    channel = ScriptedChannel(lambda message, now: DOWN if now < back_at else None)
    alerts = ScriptedChannel()
    async with running(
        harness.dispatcher(channel, off_after=off_after), harness.dispatcher(alerts, "alerts")
    ):
        ids = [
            await harness.store_event("task_1", status)
            for status in ("QUEUED", "IN_PROGRESS", "FAILED")
        ]
        others = [await harness.store_event(f"task_{number}") for number in range(2, 30)]
        await anyio.sleep(off_after + MINUTE)
        assert harness.suspended == {"paused": 0, "stopped": 0, "off": 1}
    again = harness.dispatcher(channel, off_after=off_after)
    async with running(again, harness.dispatcher(alerts, "alerts")):
        await anyio.sleep(2 * MINUTE)
        assert again.state().state == "off"
        attempts = len(channel.attempts)
        await anyio.sleep(hour)
        assert hour / 60 <= len(channel.attempts) - attempts <= hour / 45 + 1
        others.append(await harness.store_event("late"))
        await anyio.sleep_until(back_at + 2 * MINUTE)
        assert again.state().state == "running"
    assert [event_id for _, event_id in channel.delivered if event_id in ids] == ids
    assert sorted(event_id for _, event_id in channel.delivered) == sorted(ids + others)
    sent = await harness.types("channel")
    assert sent == ["channel.failing", "channel.stopped", "channel.recovered"]
    assert harness.suspended == {"paused": 0, "stopped": 0, "off": 0}


async def test_a_rejected_delivery_does_not_keep_a_channel_off(harness: Harness) -> None:
    off_after = 60 * MINUTE
    back_at = 2 * off_after
    channel = ScriptedChannel(
        lambda message, now: (
            DOWN if now < back_at else REJECTED if message.event_id == "msg_task_1_1" else None
        )
    )
    async with running(dispatcher := harness.dispatcher(channel, off_after=off_after)):
        for number in range(1, 6):
            await harness.store_event(f"task_{number}")
        await anyio.sleep_until(back_at + 10 * MINUTE)
        assert dispatcher.state().state == "running"
    assert len(channel.delivered) == 4
