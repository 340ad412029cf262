"""A receiver that rejects everything, one that demands long pauses, and changed settings."""

import json
from itertools import pairwise

import anyio
import pytest

from tests.delivery.harness import (
    GONE,
    MINUTE,
    REJECTED,
    Harness,
    ScriptedChannel,
    running,
)
from watcher.core.deliveries import DeliveryState, Message
from watcher.core.errors import DeliveryError, DeliveryFailure, Disposition

pytestmark = pytest.mark.anyio

HOUR = 60 * MINUTE
FORBIDDEN = DeliveryError(
    DeliveryFailure.REJECTED,
    "HTTP 403: no",
    status=403,
    disposition=Disposition.PERSISTENT,
)
STATUSES = ("QUEUED", "IN_PROGRESS", "FAILED")


def paused(seconds: float) -> DeliveryError:
    return DeliveryError(
        DeliveryFailure.RATE_LIMITED,
        "HTTP 429",
        status=429,
        disposition=Disposition.OVERLOADED,
        retry_after=seconds,
    )


class Repairable(ScriptedChannel):
    """Fails with `error` until it is repaired."""

    def __init__(self, error: DeliveryError) -> None:
        super().__init__(lambda message, now: self.error)
        self.error: DeliveryError | None = error


async def store_events(harness: Harness, tasks: int) -> dict[str, list[str]]:
    """Store three events of each task; return the IDs by task, in order."""
    return {
        f"task_{number}": [
            await harness.store_event(f"task_{number}", status) for status in STATUSES
        ]
        for number in range(tasks)
    }


def assert_in_order(channel: ScriptedChannel, events: dict[str, list[str]]) -> None:
    delivered = [event_id for _, event_id in channel.delivered]
    assert len(delivered) == len(set(delivered)) == sum(map(len, events.values()))
    for of_task in events.values():
        assert [one for one in delivered if one in of_task] == of_task


@pytest.mark.parametrize("error", [REJECTED, FORBIDDEN])
@pytest.mark.parametrize("demanded", [True, False])
async def test_deliveries_wait_behind_one_probe_a_minute_and_go_out_in_order(
    harness: Harness, error: DeliveryError, demanded: bool
) -> None:
    channel, alerts = Repairable(error), ScriptedChannel()
    dispatcher = harness.dispatcher(channel)
    async with running(dispatcher, harness.dispatcher(alerts, "alerts")):
        events = await store_events(harness, 334)  # 1,002 events
        await anyio.sleep(HOUR)
        assert len(channel.attempts) <= 80
        assert (await harness.types()).count("channel.failing") == 1
        channel.error = None
        repaired_at = anyio.current_time()
        if demanded:
            dispatcher.attempt_all()
        await anyio.sleep(2 * MINUTE)

    assert_in_order(channel, events)
    assert max(at for at, _ in channel.delivered) - repaired_at <= (30 if demanded else 90)
    assert (await harness.types("channel")) == ["channel.failing", "channel.recovered"]


async def test_the_alert_has_the_status_and_the_first_line(harness: Harness) -> None:
    async with running(harness.dispatcher(Repairable(REJECTED))):
        await store_events(harness, 3)
        await anyio.sleep(10 * MINUTE)

    events = await harness.store.events_after(0, 1000)
    (failing,) = [json.loads(one.body)["data"] for one in events if one.type == "channel.failing"]
    assert (failing["reason"], failing["status"], failing["error"]) == ("refused", 400, "HTTP 400")


async def test_one_rejected_event_among_accepted_ones_is_no_outage(harness: Harness) -> None:
    def outcome(message: Message, now: float) -> Exception | None:
        return REJECTED if message.event_id == "msg_task_3_1" else None

    channel = ScriptedChannel(outcome)
    async with running(dispatcher := harness.dispatcher(channel)):
        for number in range(10):
            await harness.store_event(f"task_{number}")
            await anyio.sleep(1)
        await anyio.sleep(HOUR)
        assert dispatcher.state().state == "running"

    assert "channel.failing" not in await harness.types()


async def test_of_a_long_retry_after_one_hour_is_honoured_and_then_one_probe_is_sent(
    harness: Harness,
) -> None:
    channel = Repairable(paused(86400.0))
    async with running(dispatcher := harness.dispatcher(channel, concurrency=1)):
        events = await store_events(harness, 20)
        await anyio.sleep(10 * HOUR + MINUTE)
        state = dispatcher.state()
        gaps = [later - earlier for (earlier, _), (later, _) in pairwise(channel.attempts)]
        assert 9 <= len(channel.attempts) <= 12
        assert all(HOUR <= gap <= 1.2 * HOUR for gap in gaps)
        assert state.reason is not None
        assert state.reason.startswith("waiting until 20")
        assert "HTTP 429" in state.reason
        channel.error = None
        dispatcher.attempt_all()
        await anyio.sleep(1)

    assert_in_order(channel, events)


async def test_what_another_process_has_queued_or_removed_waits_for_the_retry_after(
    harness: Harness,
) -> None:
    channel = Repairable(paused(1800.0))
    async with running(dispatcher := harness.dispatcher(channel)):
        events = await store_events(harness, 3)
        await anyio.sleep(MINUTE)
        channel.error = None
        await dispatcher.follow(attempt=False)
        await anyio.sleep(MINUTE)
        assert channel.delivered == []
        await dispatcher.follow(attempt=True)
        await anyio.sleep(1)

    assert_in_order(channel, events)


async def test_resume_overrides_a_retry_after(harness: Harness) -> None:
    channel = Repairable(paused(1800.0))
    async with running(dispatcher := harness.dispatcher(channel)):
        events = await store_events(harness, 3)
        await anyio.sleep(MINUTE)
        channel.error = None
        await dispatcher.resume()
        await anyio.sleep(1)

    assert_in_order(channel, events)


@pytest.mark.parametrize("error", [GONE, paused(3000.0), REJECTED])
async def test_changed_settings_end_what_the_receiver_demanded(
    harness: Harness, error: DeliveryError
) -> None:
    channel = Repairable(error)
    async with running(harness.dispatcher(channel)):
        events = await store_events(harness, 4)
        await anyio.sleep(MINUTE)
    again = ScriptedChannel()
    async with running(harness.dispatcher(again)):
        await anyio.sleep(1)
        assert len(again.delivered) == 0 or error is REJECTED
    if error is REJECTED:
        return
    async with running(harness.dispatcher(again, timeout=3.0)):
        await anyio.sleep(1)

    assert_in_order(again, events)


async def test_changed_settings_do_not_end_a_pause(harness: Harness) -> None:
    channel = ScriptedChannel()
    async with running(dispatcher := harness.dispatcher(channel)):
        await dispatcher.pause("we move")
        await store_events(harness, 1)
    async with running(harness.dispatcher(channel, timeout=3.0)):
        await anyio.sleep(HOUR)

    assert channel.attempts == []


async def test_what_is_too_large_in_every_form_fails_at_once_and_is_announced(
    harness: Harness,
) -> None:
    error = DeliveryError(
        DeliveryFailure.TOO_LARGE,
        "HTTP 413 (the smallest form of the event has 900 bytes)",
        status=413,
        disposition=Disposition.TOO_LARGE,
    )
    channel, alerts = Repairable(error), ScriptedChannel()
    async with running(harness.dispatcher(channel), harness.dispatcher(alerts, "alerts")):
        await harness.store_event()
        await anyio.sleep(1)
        assert await harness.states() == [DeliveryState.FAILED]

    events = await harness.store.events_after(0, 10)
    (failing,) = [json.loads(one.body)["data"] for one in events if one.type == "channel.failing"]
    assert "900 bytes" in failing["error"]
    assert len(channel.attempts) == 1


async def test_of_one_task_the_oldest_event_is_the_probe_and_the_first_to_be_accepted(
    harness: Harness,
) -> None:
    """The first rejections let later events pass: they may concern one event each."""
    channel = Repairable(REJECTED)
    async with running(harness.dispatcher(channel)):
        events = {"task_1": [await harness.store_event("task_1") for _ in range(7)]}
        await anyio.sleep(5 * MINUTE)
        probes = [event_id for at, event_id in channel.attempts if at > MINUTE]
        assert set(probes) == {events["task_1"][0]}
        channel.error = None
        await anyio.sleep(2 * MINUTE)

    assert_in_order(channel, events)
