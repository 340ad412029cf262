"""The outbox's half in virtual time, over the real store: order, schedule, outages, alerts, shutdown."""

import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from tests.support.records import request, step
from tests.support.stores import FullDisk, notices, opened
from tests.support.virtual_time import VirtualLoop, attentive, wall
from watcher.channels.slack import channel as slack
from watcher.core.clock import Clock
from watcher.core.deliveries import Delivery, DeliveryState, Message, Receipt
from watcher.core.errors import DeliveryError, DeliveryFailure
from watcher.core.interfaces.channel import Channel
from watcher.core.routing import Routing
from watcher.core.settings import ChannelSettings, RouteSettings
from watcher.core.tasks import Watch
from watcher.core.wakeup import Wakeup
from watcher.delivery.channel_state import HELD_MOST, OFF_AFTER
from watcher.delivery.dispatcher import Dispatcher
from watcher.delivery.notes import PassingNotes
from watcher.telemetry.metrics import Metrics

pytestmark = pytest.mark.anyio

DOWN = DeliveryError(DeliveryFailure.UNAVAILABLE, "HTTP 503", status=503, busy=True)
GONE = DeliveryError(DeliveryFailure.GONE, "HTTP 410: gone", status=410)
OURS = DeliveryError(DeliveryFailure.CONNECT, "its name could not be resolved", ours=True)
POISON = DeliveryError(
    DeliveryFailure.REFUSED, "HTTP 400", status=400, body_refused=True, lasting=True
)
MINUTE = 60.0


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


@dataclass
class ScriptedChannel:
    """Answers as `outcome(message, time)` says: None is a success."""

    outcome: Callable[[Message, float], Exception | None] = lambda message, now: None
    takes: float = 0.0
    attempts: list[tuple[float, str]] = field(default_factory=list)
    delivered: list[tuple[float, str]] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0

    async def send(self, message: Message) -> Receipt:
        now = anyio.current_time()
        self.attempts.append((now, message.event_id))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await anyio.sleep(self.takes)
        finally:
            self.in_flight -= 1
        if (error := self.outcome(message, now)) is not None:
            raise error
        self.delivered.append((anyio.current_time(), message.event_id))
        return Receipt(status=200)


class Harness:
    """A store, and the dispatchers that work on it."""

    def __init__(self, store: Any) -> None:
        self.store = attentive(store)
        self.outbox = Wakeup()
        self.metrics = Metrics(CollectorRegistry(), "test")
        self.watches: dict[str, Watch] = {}

    def dispatcher(
        self,
        channel: Any,
        name: str = "backend",
        *,
        held_most: int = HELD_MOST,
        off_after: float = OFF_AFTER,
        wall: Clock = wall,
        **given: Any,
    ) -> Dispatcher:
        routing = Routing([RouteSettings(channels=("backend", "alerts"))], ["backend", "alerts"])
        return Dispatcher(
            settings=ChannelSettings(name=name, type="scripted", **given),
            channel=channel,
            store=self.store,
            notice=notices(routing),
            metrics=self.metrics.channel(name),
            outbox=self.outbox,
            wall=wall,
            random=Random(7),
            held_most=held_most,
            off_after=off_after,
        )

    async def tell(
        self,
        task_id: str = "task_1",
        status: str = "IN_PROGRESS",
        *channels: str,
        batch: str | None = None,
    ) -> str:
        """Store one transition of a task, which belongs to a batch, and return its event's id."""
        if task_id not in self.watches:
            self.watches[task_id] = (await self.store.add([request(task_id)], wall())).watches[0]
        change = step(self.watches[task_id], status, at=wall(), channels=channels or ("backend",))
        assert change.event is not None
        if batch is not None:
            about: dict[str, Any] = {
                "task_id": task_id,
                "status": status,
                "sequence": change.event.sequence,
            }
            about["additional_data"] = {"batch_id": batch}
            change = replace(
                change, event=replace(change.event, body=json.dumps({"data": about}).encode())
            )
        assert await self.store.record([change]) == [True]
        self.watches[task_id] = change.watch
        self.outbox.set()
        assert change.event is not None
        return change.event.event_id

    async def deliveries(self, channel: str = "backend") -> list[Delivery]:
        found, _ = await self.store.list_deliveries(None, channel, 1000, None)
        return list(reversed(found))

    async def types(self) -> list[str]:
        return [one.type for one in await self.store.events_after(0, 10_000)]


@asynccontextmanager
async def house_at(folder: Path) -> AsyncIterator[Harness]:
    async with opened(folder) as store:
        yield Harness(store)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Harness]:
    async with house_at(tmp_path) as opened:
        yield opened


@asynccontextmanager
async def running(*dispatchers: Dispatcher) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        for dispatcher in dispatchers:
            tasks.start_soon(dispatcher.run)
        yield
        tasks.cancel_scope.cancel()


async def test_a_stored_event_is_delivered_at_once_and_once(house: Harness) -> None:
    channel = ScriptedChannel()
    async with running(house.dispatcher(channel)):
        event_id = await house.tell()
        await anyio.sleep(3600)

    assert channel.attempts == [(pytest.approx(0, abs=0.1), event_id)]  # type: ignore[comparison-overlap]
    (delivery,) = await house.deliveries()
    assert (delivery.state, delivery.attempts, delivery.last_status) == (
        DeliveryState.DELIVERED,
        1,
        200,
    )


async def test_one_that_keeps_failing_among_others_keeps_its_schedule_and_ends_failed(
    house: Harness,
) -> None:
    channel = ScriptedChannel(lambda message, now: DOWN if "task_1" in message.event_id else None)
    async with running(house.dispatcher(channel, attempts=(0.0, 5.0, 300.0, 200.0))):
        event_id = await house.tell()
        for number in range(25):
            await house.tell(f"busy_{number}")
            await anyio.sleep(30)

    times = [at for at, sent in channel.attempts if sent == event_id]
    assert 505 <= times[-1] <= 505 * 1.1 + 10
    (delivery,) = [one for one in await house.deliveries() if one.event_id == event_id]
    assert delivery.state is DeliveryState.FAILED
    assert [one.state for one in await house.deliveries()].count(DeliveryState.DELIVERED) == 25


async def test_attempts_follow_the_schedule_with_jitter_that_only_adds(house: Harness) -> None:
    channel = ScriptedChannel(lambda message, now: DOWN)
    attempts = (0.0, 5.0, 30.0, 40.0)
    async with running(house.dispatcher(channel, attempts=attempts)):
        await house.tell()
        await anyio.sleep(3600)

    times = [at for at, _ in channel.attempts]
    delays = [later - earlier for earlier, later in pairwise(times)]
    assert len(delays) == 3
    for delay, wanted in zip(delays, attempts[1:], strict=True):
        assert wanted <= delay <= wanted * 1.1 + 0.01
    (delivery,) = await house.deliveries()
    assert (delivery.state, delivery.attempts, delivery.last_error) == (
        DeliveryState.FAILED,
        4,
        "HTTP 503",
    )


async def test_early_attempts_use_up_nothing_of_the_schedule(house: Harness) -> None:
    channel = ScriptedChannel(lambda message, now: DOWN)
    attempts = (0.0, 5.0, 1800.0, 3600.0)
    async with running(house.dispatcher(channel, attempts=attempts)):
        await house.tell()
        await anyio.sleep(sum(attempts) - 100)

        times = [at for at, _ in channel.attempts]
        assert max(later - earlier for earlier, later in pairwise(times)) <= 60
        assert (await house.deliveries())[0].state is DeliveryState.PENDING
        await anyio.sleep(sum(attempts) * 0.1 + 200)

    assert (await house.deliveries())[0].state is DeliveryState.FAILED


async def test_events_of_one_task_arrive_in_order_whatever_fails(house: Harness) -> None:
    random = Random(3)
    channel = ScriptedChannel(
        lambda message, now: DOWN if random.random() < 0.4 else None, takes=0.2
    )
    async with running(house.dispatcher(channel)):
        sent = [await house.tell() for _ in range(12)]
        await anyio.sleep(9 * MINUTE)

    assert [event_id for _, event_id in channel.delivered] == sent


async def test_later_events_pass_one_that_is_refused_for_longer_than_order_wait(
    house: Harness,
) -> None:
    stuck = ""
    channel = ScriptedChannel(lambda message, now: DOWN if message.event_id == stuck else None)
    async with running(house.dispatcher(channel, order_wait=600.0)):
        stuck = await house.tell()
        later = await house.tell()
        await anyio.sleep(590)
        assert channel.delivered == []
        await anyio.sleep(30)

    assert [event_id for _, event_id in channel.delivered] == [later]


async def test_a_terminal_event_behind_a_poisoned_one_is_not_held_back(house: Harness) -> None:
    poisoned = ""
    channel = ScriptedChannel(lambda message, now: POISON if message.event_id == poisoned else None)
    async with running(house.dispatcher(channel)):
        poisoned = await house.tell()
        terminal = await house.tell(status="COMPLETED")
        await anyio.sleep(1)

    assert [event_id for _, event_id in channel.delivered] == [terminal]


async def test_a_receiver_down_for_forty_minutes_gets_everything_within_a_minute_oldest_first(
    house: Harness,
) -> None:
    back_at = 40 * MINUTE
    channel = ScriptedChannel(lambda message, now: DOWN if now < back_at else None, takes=0.05)
    async with running(house.dispatcher(channel, concurrency=1)):
        sent = []
        for number in range(60):
            sent.append(await house.tell(f"task_{number}"))
            await anyio.sleep(30)
        await anyio.sleep(back_at + 60 - anyio.current_time())

    assert sorted(event_id for _, event_id in channel.delivered) == sorted(sent)
    first_success, *rest = [event_id for _, event_id in channel.delivered]
    assert rest == [event_id for event_id in sent if event_id != first_success]


async def test_one_poisoned_delivery_among_healthy_ones_causes_no_storm(house: Harness) -> None:
    poisoned = ""
    channel = ScriptedChannel(lambda message, now: DOWN if message.event_id == poisoned else None)
    async with running(house.dispatcher(channel)):
        poisoned = await house.tell("poisoned")
        for number in range(600):
            await house.tell(f"task_{number % 20}")
            await anyio.sleep(1)

    assert sum(event_id == poisoned for _, event_id in channel.attempts) <= 600 / 45 + 6
    assert len(channel.delivered) == 600


async def test_retry_after_is_a_floor_and_pauses_the_whole_channel(house: Harness) -> None:
    busy = DeliveryError(
        DeliveryFailure.RATE_LIMITED, "HTTP 429", status=429, busy=True, retry_after=300.0
    )
    channel = ScriptedChannel(lambda message, now: busy if now < 1 else None)
    async with running(house.dispatcher(channel, concurrency=1)):
        await house.tell("task_1")
        await anyio.sleep(2)
        await house.tell("task_2")
        await anyio.sleep(297)
        assert len(channel.attempts) == 1
        await anyio.sleep(60)

    assert len(channel.delivered) == 2
    assert channel.delivered[0][0] >= 300


async def test_a_slow_channel_delays_no_other(house: Harness) -> None:
    slow, quick = ScriptedChannel(takes=14.0), ScriptedChannel()
    async with running(house.dispatcher(slow, "alerts", concurrency=1), house.dispatcher(quick)):
        for number in range(20):
            await house.tell(f"task_{number}", "IN_PROGRESS", "backend", "alerts")
        await anyio.sleep(1)
        assert len(quick.delivered) == 20
        assert len(slow.delivered) == 0


async def test_no_more_are_in_flight_than_allowed(house: Harness) -> None:
    channel = ScriptedChannel(takes=1.0)
    async with running(house.dispatcher(channel, concurrency=3)):
        for number in range(30):
            await house.tell(f"task_{number}")
        await anyio.sleep(60)

    assert channel.most_in_flight == 3
    assert len(channel.delivered) == 30


async def test_the_others_hear_once_that_a_channel_refuses_and_once_that_it_recovers(
    house: Harness,
) -> None:
    back_at = 3600.0
    channel = ScriptedChannel(lambda message, now: DOWN if now < back_at else None)
    alerts = ScriptedChannel()
    async with running(
        house.dispatcher(channel, alert_after=300.0), house.dispatcher(alerts, "alerts")
    ):
        await house.tell()
        await anyio.sleep(299)
        assert alerts.attempts == []
        await anyio.sleep(12)
        assert len(alerts.delivered) == 1
        await anyio.sleep(back_at)

    assert [kind for kind in await house.types() if kind.startswith("channel")] == [
        "channel.failing",
        "channel.recovered",
    ]
    assert len(alerts.delivered) == 2


async def test_a_restart_neither_repeats_nor_forgets_an_alert(house: Harness) -> None:
    channel = ScriptedChannel(lambda message, now: DOWN if now < 2000 else None)
    async with running(house.dispatcher(channel)):
        await house.tell()
        await anyio.sleep(200)
    async with running(house.dispatcher(channel)):
        await anyio.sleep(120)
        assert (await house.types()).count("channel.failing") == 1
    async with running(house.dispatcher(channel)):
        await anyio.sleep(3600)

    assert (await house.types())[1:] == ["channel.failing", "channel.recovered"]


async def test_a_delivery_that_ends_failed_is_alerted_of_before_the_time_is_over(
    house: Harness,
) -> None:
    channel = ScriptedChannel(lambda message, now: POISON)
    async with running(house.dispatcher(channel, attempts=(0.0, 1.0))):
        await house.tell()
        await anyio.sleep(5)

    assert "channel.failing" in await house.types()


async def test_a_restart_repeats_only_what_was_in_flight(house: Harness) -> None:
    channel = ScriptedChannel(takes=10.0)
    async with running(house.dispatcher(channel, concurrency=2)):
        for number in range(5):
            await house.tell(f"task_{number}")
        await anyio.sleep(15)
    repeated = {event_id for _, event_id in channel.attempts} - {
        event_id for _, event_id in channel.delivered
    }
    async with running(house.dispatcher(channel, concurrency=2)):
        await anyio.sleep(60)

    counts = [sum(sent == event_id for _, sent in channel.attempts) for event_id in repeated]
    assert len(channel.delivered) == 5
    assert len(channel.attempts) == 5 + len(repeated)
    assert counts == [2, 2]


async def test_what_could_not_be_settled_is_kept_and_not_sent_again(
    house: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    channel = ScriptedChannel()
    disk = FullDisk(house.store)
    house.store = disk
    await house.tell()
    disk.full = True
    async with running(house.dispatcher(channel)):
        await anyio.sleep(100)
        assert len(channel.attempts) == 1
        disk.full = False
        await anyio.sleep(5)

    assert (await house.deliveries())[0].state is DeliveryState.DELIVERED
    assert sum("disk is full" in record.message for record in caplog.records) == 1


async def test_closing_tries_once_what_was_never_tried_and_finishes_what_is_in_flight(
    house: Harness,
) -> None:
    channel = ScriptedChannel(
        lambda message, now: DOWN if "task_0" in message.event_id else None, takes=2.0
    )
    dispatcher = house.dispatcher(channel, concurrency=1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(dispatcher.run)
        for number in range(3):
            await house.tell(f"task_{number}")
        await anyio.sleep(1)
        await dispatcher.close()

    assert len(channel.attempts) == 3
    states = [one.state for one in await house.deliveries()]
    assert states == [DeliveryState.PENDING, DeliveryState.DELIVERED, DeliveryState.DELIVERED]


async def test_closing_tries_what_was_never_tried_even_behind_many_that_were(
    house: Harness,
) -> None:
    channel = ScriptedChannel(lambda message, now: DOWN)
    dispatcher = house.dispatcher(channel, concurrency=1, attempts=(0.0, 100.0, 100.0))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(dispatcher.run)
        for number in range(40):
            await house.tell(f"task_{number}")
        await anyio.sleep(99)
        channel.takes = 0.5
        await anyio.sleep(30)
        untried = await house.tell("task_new")
        await dispatcher.close()

    assert channel.attempts[-1][1] == untried


async def test_a_retry_is_on_time_while_another_delivery_hangs(house: Harness) -> None:
    channel = ScriptedChannel(
        lambda message, now: DOWN if "task_2" in message.event_id and now < 5 else None
    )
    async with running(house.dispatcher(channel, concurrency=2)):
        channel.takes = 14.0
        await house.tell("task_1")
        await anyio.sleep(0.1)
        channel.takes = 0.0
        second = await house.tell("task_2")
        await anyio.sleep(10)

    times = [at for at, sent in channel.attempts if sent == second]
    assert times[1] - times[0] <= 5.6


async def test_an_unexpected_error_is_tried_again(house: Harness) -> None:
    channel = ScriptedChannel(lambda message, now: KeyError("bug") if now < 1 else None)
    async with running(house.dispatcher(channel)):
        await house.tell()
        await anyio.sleep(10)

    assert len(channel.delivered) == 1


async def test_a_clock_set_back_holds_nothing_up(house: Harness) -> None:
    channel = ScriptedChannel()
    slip = 0.0
    dispatcher = house.dispatcher(channel, wall=lambda: wall() + slip)
    async with running(dispatcher):
        await anyio.sleep(5)
        slip = -7200.0
        await house.tell()
        await anyio.sleep(70)

    assert len(channel.delivered) == 1


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
async def test_a_clock_that_jumps_while_a_channel_fails_alarms_nobody_early_and_loses_nothing(
    house: Harness, jump: float
) -> None:
    channel = ScriptedChannel(lambda message, now: DOWN if now < 120 else None)
    slip = 0.0
    dispatcher = house.dispatcher(channel, wall=lambda: wall() + slip, alert_after=240.0)
    async with running(dispatcher):
        for number in range(30):
            await house.tell(f"task_{number}")
        await anyio.sleep(60)
        slip = jump
        await anyio.sleep(130)
    assert len(channel.delivered) == 30
    assert "channel.failing" not in await house.types()


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    outcomes=st.lists(st.sampled_from(["ok", "down", "poison"]), max_size=40),
    seed=st.integers(0, 1000),
)
async def test_every_delivery_ends_and_none_is_sent_after_it_did(
    outcomes: list[str], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    remaining = iter(outcomes)
    errors = {"ok": None, "down": DOWN, "poison": POISON}
    channel = ScriptedChannel(lambda message, now: errors[next(remaining, "ok")], takes=0.1)
    async with house_at(tmp_path_factory.mktemp("outbox")) as house:
        async with running(house.dispatcher(channel, attempts=(0.0, 1.0, 2.0), concurrency=2)):
            sent = [await house.tell(f"task_{number % 3}") for number in range(9)]
            await anyio.sleep(3600)
        found = await house.deliveries()

    delivered = [event_id for _, event_id in channel.delivered]
    assert len(delivered) == len(set(delivered))
    assert len(found) == len(sent)
    assert {one.state for one in found} <= {DeliveryState.DELIVERED, DeliveryState.FAILED}


class SlowReader:
    """The store, whose reads of the outbox come back a while after what they saw."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def due(self, *arguments: Any) -> Any:
        found = await self._store.due(*arguments)
        await anyio.sleep(0.3)
        return found


async def test_what_is_settled_while_the_outbox_is_read_is_not_sent_again(house: Harness) -> None:
    house.store = SlowReader(house.store)
    channel = ScriptedChannel(takes=0.2)
    dispatcher = house.dispatcher(channel, concurrency=4)
    async with running(dispatcher):
        for number in range(100):
            await house.tell(f"task_{number}")
            await anyio.sleep(0.07)
        await anyio.sleep(60)

    assert len(channel.attempts) == len({event_id for _, event_id in channel.attempts}) == 100


async def test_a_receiver_that_is_gone_stops_the_channel_and_the_others_hear_of_it(
    house: Harness,
) -> None:
    gone = True
    channel, alerts = (
        ScriptedChannel(lambda message, now: GONE if gone else None),
        ScriptedChannel(),
    )
    dispatcher = house.dispatcher(channel, attempts=(0.0, 1.0))
    async with running(dispatcher, house.dispatcher(alerts, "alerts")):
        await house.tell()
        await anyio.sleep(1)
        for number in range(20):
            await house.tell(f"later_{number}")
        await anyio.sleep(24 * 60 * MINUTE)
        assert len(channel.attempts) == 1
        assert await house.types() == [
            "task.in_progress",
            "channel.stopped",
            *["task.in_progress"] * 20,
        ]
        assert len(alerts.delivered) == 1
        assert (dispatcher.state().state, dispatcher.state().reason) == (
            "stopped",
            "HTTP 410: gone",
        )
        assert held(house) == {"paused": 0, "stopped": 1, "off": 0}

        gone = False
        await dispatcher.resume()
        await anyio.sleep(1)
    assert len(channel.delivered) == 21
    assert (await house.types())[-1] == "channel.recovered"
    assert held(house) == {"paused": 0, "stopped": 0, "off": 0}


async def test_a_stopped_channel_stays_so_over_a_restart(house: Harness) -> None:
    async with running(house.dispatcher(ScriptedChannel(lambda message, now: GONE))):
        await house.tell()
        await anyio.sleep(MINUTE)
    again = ScriptedChannel()
    dispatcher = house.dispatcher(again)
    async with running(dispatcher):
        await anyio.sleep(60 * MINUTE)
        assert again.attempts == []
        await dispatcher.resume()
        await anyio.sleep(1)
    assert len(again.delivered) == 1


async def test_a_paused_channel_keeps_what_comes_and_sends_it_in_order_when_resumed(
    house: Harness,
) -> None:
    channel = ScriptedChannel()
    dispatcher = house.dispatcher(channel)
    async with running(dispatcher):
        await dispatcher.pause("the receiver moves")
        ids = [await house.tell("task_1", status) for status in ("QUEUED", "IN_PROGRESS", "FAILED")]
        await anyio.sleep(60 * MINUTE)
        assert channel.attempts == []
        assert dispatcher.state().state == "paused"
        assert held(house) == {"paused": 1, "stopped": 0, "off": 0}
        assert "channel.failing" not in await house.types()
        await dispatcher.resume()
        await anyio.sleep(1)
    assert [event_id for _, event_id in channel.delivered] == ids


async def test_a_paused_channel_lets_the_daemon_end(house: Harness) -> None:
    dispatcher = house.dispatcher(ScriptedChannel())
    async with running(dispatcher):
        await dispatcher.pause("for a while")
        await house.tell()
        await anyio.sleep(1)
        with anyio.fail_after(5):
            await dispatcher.close()


async def test_a_dead_receiver_is_probed_with_one_delivery_at_a_time_and_nothing_uses_up_its_attempts(
    house: Harness,
) -> None:
    back_at = 4 * 60 * MINUTE
    channel = ScriptedChannel(lambda message, now: DOWN if now < back_at else None, takes=0.1)
    async with running(house.dispatcher(channel, attempts=(0.0, 1.0, 1.0, 1.0))):
        for number in range(200):
            await house.tell(f"task_{number}")
        await anyio.sleep(MINUTE)
        assert breaker(house) == 1
        channel.most_in_flight = 0
        await anyio.sleep_until(back_at - 1)
        assert channel.most_in_flight == 1
        assert len(channel.attempts) < 40 + back_at / 30
        await anyio.sleep(MINUTE)
        assert breaker(house) == 0
    assert len(channel.delivered) == 200
    assert [one.state for one in await house.deliveries()] == [DeliveryState.DELIVERED] * 200
    gaps = [
        second - first for (first, _), (second, _) in pairwise(channel.attempts) if second < back_at
    ]
    assert max(gaps) <= 60


async def test_a_busy_receiver_that_names_no_time_slows_the_whole_channel_down(
    house: Harness,
) -> None:
    channel = ScriptedChannel(lambda message, now: DOWN if now < 3.5 else None, takes=0.01)
    async with running(house.dispatcher(channel, concurrency=4)):
        for number in range(100):
            await house.tell(f"task_{number}")
        await anyio.sleep(30)
    assert len(channel.delivered) == 100
    moments = sorted({round(at) for at, _ in channel.attempts if at < 3.5})
    assert moments == [0, 1, 3]
    assert len([at for at, _ in channel.attempts if at < 3.5]) <= 12


async def test_what_a_little_while_does_not_change_goes_on_along_the_slow_end_of_the_schedule(
    house: Harness,
) -> None:
    refused = DeliveryError(
        DeliveryFailure.REFUSED, "HTTP 422", status=422, body_refused=True, lasting=True
    )
    channel = ScriptedChannel(
        lambda message, now: refused if message.event_id == "msg_task_1_1" else None
    )
    async with running(
        house.dispatcher(channel, attempts=(0.0, 1.0, 2.0, 4.0, 600.0, 1200.0, 2400.0))
    ):
        await house.tell("task_1")
        for number in range(200):  # the channel is never idle, so nothing is tried early
            await house.tell(f"other_{number}")
            await anyio.sleep(30)
    times = [at for at, event_id in channel.attempts if event_id == "msg_task_1_1"]
    gaps = [second - first for first, second in pairwise(times)]
    assert gaps == [pytest.approx(wait, rel=0.11) for wait in (4.0, 600.0, 1200.0, 2400.0)]
    assert (await house.deliveries())[0].state is DeliveryState.FAILED


async def test_a_channel_that_fails_for_days_is_switched_off_and_comes_back_by_itself(
    house: Harness,
) -> None:
    off_after, hour = 6 * 60 * MINUTE, 60 * MINUTE
    back_at = off_after * 2
    channel = ScriptedChannel(lambda message, now: DOWN if now < back_at else None)
    alerts = ScriptedChannel()
    async with running(
        house.dispatcher(channel, off_after=off_after), house.dispatcher(alerts, "alerts")
    ):
        ids = [await house.tell("task_1", status) for status in ("QUEUED", "IN_PROGRESS", "FAILED")]
        others = [await house.tell(f"task_{number}") for number in range(2, 30)]
        await anyio.sleep(off_after + MINUTE)
        assert held(house) == {"paused": 0, "stopped": 0, "off": 1}
    again = house.dispatcher(channel, off_after=off_after)
    async with running(again, house.dispatcher(alerts, "alerts")):
        await anyio.sleep(2 * MINUTE)
        assert again.state().state == "off"
        attempts = len(channel.attempts)
        await anyio.sleep(hour)
        assert hour / 60 <= len(channel.attempts) - attempts <= hour / 45 + 1
        others.append(await house.tell("late"))
        await anyio.sleep_until(back_at + 2 * MINUTE)
        assert again.state().state == "running"
    assert [event_id for _, event_id in channel.delivered if event_id in ids] == ids
    assert sorted(event_id for _, event_id in channel.delivered) == sorted(ids + others)
    told = [kind for kind in await house.types() if kind.startswith("channel")]
    assert told == ["channel.failing", "channel.stopped", "channel.recovered"]
    assert held(house) == {"paused": 0, "stopped": 0, "off": 0}


async def test_a_poisoned_delivery_keeps_no_channel_off(house: Harness) -> None:
    off_after = 60 * MINUTE
    back_at = 2 * off_after
    channel = ScriptedChannel(
        lambda message, now: (
            DOWN if now < back_at else POISON if message.event_id == "msg_task_1_1" else None
        )
    )
    async with running(dispatcher := house.dispatcher(channel, off_after=off_after)):
        for number in range(1, 6):
            await house.tell(f"task_{number}")
        await anyio.sleep_until(back_at + 10 * MINUTE)
        assert dispatcher.state().state == "running"
    assert len(channel.delivered) == 4


async def test_what_waits_for_a_channel_that_is_held_is_bounded_and_what_gives_way_is_seen(
    house: Harness,
) -> None:
    channel = ScriptedChannel()
    dispatcher = house.dispatcher(channel, held_most=10)
    async with running(dispatcher):
        await dispatcher.pause("for long")
        ids = [await house.tell(f"task_{number}") for number in range(25)]
        await anyio.sleep(2 * MINUTE)
        states = [one.state for one in await house.deliveries()]
        assert states == [DeliveryState.FAILED] * 15 + [DeliveryState.PENDING] * 10
        assert (await house.deliveries())[
            0
        ].last_error == "more than 10 waited while the channel was paused"
        await dispatcher.resume()
        await anyio.sleep(1)
        for one in await house.deliveries():
            await house.store.retry(one.id, wall())
        await anyio.sleep(MINUTE)
    assert {event_id for _, event_id in channel.delivered} == set(ids)


async def test_a_receiver_that_says_when_it_has_room_again_is_asked_then_and_it_costs_no_attempt(
    house: Harness,
) -> None:
    full = DeliveryError(
        DeliveryFailure.RATE_LIMITED, "HTTP 429", status=429, busy=True, retry_after=20.0
    )
    channel = ScriptedChannel(lambda message, now: full if now < 4 * MINUTE else None)
    async with running(house.dispatcher(channel, attempts=(0.0, 3600.0))):
        await house.tell()
        await anyio.sleep(5 * MINUTE)
    assert len(channel.delivered) == 1
    assert all(
        20 <= second - first <= 22.1 for (first, _), (second, _) in pairwise(channel.attempts)
    )


async def test_a_rate_is_kept_to(house: Harness) -> None:
    channel = ScriptedChannel(takes=0.01)
    async with running(house.dispatcher(channel, rate=4)):
        for number in range(20):
            await house.tell(f"task_{number}")
        await anyio.sleep(10)
    times = [at for at, _ in channel.attempts]
    assert len(times) == 20
    assert all(0.25 <= second - first <= 0.27 for first, second in pairwise(times))


async def test_what_never_left_this_machine_costs_no_attempt(house: Harness) -> None:
    channel = ScriptedChannel(lambda message, now: OURS if now < 60 * MINUTE else None)
    async with running(house.dispatcher(channel, attempts=(0.0, 1.0))):
        await house.tell()
        await anyio.sleep(61 * MINUTE)
    assert len(channel.delivered) == 1
    assert all(second - first >= 5 for (first, _), (second, _) in pairwise(channel.attempts))
    assert await house.types() == ["task.in_progress", "channel.failing", "channel.recovered"]


class Slack:
    """Slack as it is: one message a second, what comes sooner is refused; the answers numbered `fails` are errors."""

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
            settings, transport=httpx.MockTransport(self), notes=PassingNotes(), wall=wall
        )

    def told(self) -> list[str]:
        return [found for _, text in self.texts for found in re.findall(r"t_\d+_e", text)]


@pytest.mark.parametrize("fails", [(), (3, 5)])
async def test_a_storm_becomes_a_few_messages_that_name_every_task(
    house: Harness, fails: tuple[int, ...]
) -> None:
    receiver = Slack(*fails)
    async with running(house.dispatcher(receiver.channel(), rate=1, concurrency=1)):
        for number in range(1000):
            await house.tell(f"t_{number}_e", "FAILED")
            await anyio.sleep(0.01)
        await anyio.sleep(50)
    assert receiver.requests <= 15
    assert {*receiver.told()} == {f"t_{number}_e" for number in range(1000)}
    assert receiver.texts[-1][0] <= 60
    assert [one.state for one in await house.deliveries()] == [DeliveryState.DELIVERED] * 1000


async def test_a_few_failures_are_told_singly(house: Harness) -> None:
    receiver = Slack()
    async with running(house.dispatcher(receiver.channel(), rate=1, concurrency=1)):
        for number in range(5):
            await house.tell(f"t_{number}_e", "FAILED")
        await anyio.sleep(20)
    assert len(receiver.texts) == 5


async def test_where_a_digest_is_refused_for_its_body_each_event_goes_alone(house: Harness) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(400 if b"events" in request.content else 200, text="invalid_blocks")

    settings = slack.Settings(name="backend", url="https://hooks.slack.example/x")
    channel = slack.create(
        settings, transport=httpx.MockTransport(answer), notes=PassingNotes(), wall=wall
    )
    async with running(house.dispatcher(channel, attempts=(0.0, 1.0))):
        for number in range(8):
            await house.tell(f"t_{number}_e", "FAILED")
        await anyio.sleep(5 * MINUTE)
    assert [one.state for one in await house.deliveries()] == [DeliveryState.DELIVERED] * 8


def breaker(house: Harness) -> float | None:
    return house.metrics.registry.get_sample_value(
        "watcher_channel_breaker_open", {"channel": "backend"}
    )


def held(house: Harness) -> dict[str, float | None]:
    def value(kind: str) -> float | None:
        labels = {"channel": "backend", "kind": kind}
        return house.metrics.registry.get_sample_value("watcher_channel_held", labels)

    return {kind: value(kind) for kind in ("paused", "stopped", "off")}
