"""The state machine of a channel: every row of `TRANSITIONS` is walked, in code."""

from collections.abc import Awaitable, Callable
from random import Random

import pytest
from prometheus_client import CollectorRegistry

from tests.delivery.harness import DOWN, GONE, Harness
from tests.support.stores import notices
from tests.support.virtual_time import wall
from watcher.core.routing import Routing
from watcher.core.settings import ChannelSettings
from watcher.delivery.channel_state import SENDS, TRANSITIONS, ChannelHealth, Phase
from watcher.delivery.circuit_breaker import BREAKER_AFTER
from watcher.delivery.context import OFF_AFTER, DeliveryContext
from watcher.telemetry.metrics import Metrics

pytestmark = pytest.mark.anyio


class Channel:
    """The health of one channel, and a wall clock that can be moved."""

    def __init__(self, harness: Harness) -> None:
        self.passed = 0.0
        context = DeliveryContext(
            settings=ChannelSettings(name="backend", type="scripted"),
            store=harness.store,
            system_event=notices(Routing([], [])),
            metrics=Metrics(CollectorRegistry(), "test").channel("backend"),
            outbox=harness.outbox,
            wall=lambda: wall() + self.passed,
            random=Random(1),
        )
        self.health = ChannelHealth(context, lambda: None)
        self.wall = context.wall

    async def fail(self, times: int = 1) -> None:
        for number in range(times):
            self.health.failed(number, DOWN, self.wall())
            self.health.request_failed(DOWN)

    async def fail_ten_times(self) -> None:
        await self.fail(BREAKER_AFTER)

    async def succeed(self) -> None:
        self.health.delivered(self.wall())
        await self.health.reconcile_suspension()

    async def fail_for_three_days(self) -> None:
        self.passed += OFF_AFTER
        await self.health.reconcile_suspension()

    async def answer_410(self) -> None:
        self.health.gone(GONE)
        await self.health.reconcile_suspension()

    async def pause(self) -> None:
        await self.health.pause("maintenance")

    async def resume(self) -> None:
        await self.health.resume()

    async def off(self) -> None:
        await self.fail()
        await self.fail_for_three_days()

    async def nothing(self) -> None:
        pass


Action = Callable[[Channel], Awaitable[None]]

WAY_TO: dict[Phase, Action] = {
    Phase.RUNNING: Channel.nothing,
    Phase.FAILING: Channel.fail,
    Phase.BREAKER_OPEN: Channel.fail_ten_times,
    Phase.OFF: Channel.off,
    Phase.STOPPED: Channel.answer_410,
    Phase.PAUSED: Channel.pause,
}
EVENTS: dict[str, Action] = {
    "an attempt fails": Channel.fail,
    "ten attempts in a row fail": Channel.fail_ten_times,
    "an attempt succeeds": Channel.succeed,
    "a probe succeeds": Channel.succeed,
    "three days without a success": Channel.fail_for_three_days,
    "the receiver answers 410": Channel.answer_410,
    "an operator pauses the channel": Channel.pause,
    "an operator resumes the channel": Channel.resume,
}
ROWS = [(before, row.event, row.after) for row in TRANSITIONS for before in row.before]
BEFORE_SUSPENSION = {
    Phase.OFF: Phase.FAILING,
    Phase.STOPPED: Phase.RUNNING,
    Phase.PAUSED: Phase.RUNNING,
}


@pytest.mark.parametrize(("before", "event", "after"), ROWS)
async def test_each_transition(
    harness: Harness, before: Phase, event: str, after: Phase | None
) -> None:
    channel = Channel(harness)
    await WAY_TO[before](channel)
    assert channel.health.phase is before
    await EVENTS[event](channel)
    assert channel.health.phase is (BEFORE_SUSPENSION[before] if after is None else after)


@pytest.mark.parametrize("phase", Phase)
async def test_the_phase_survives_a_restart_if_it_is_a_suspension(
    harness: Harness, phase: Phase
) -> None:
    channel = Channel(harness)
    await WAY_TO[phase](channel)
    restarted = Channel(harness)
    await restarted.health.load()
    suspended = phase in (Phase.OFF, Phase.STOPPED, Phase.PAUSED)
    assert restarted.health.phase is (phase if suspended else Phase.RUNNING)


def test_every_phase_is_described() -> None:
    assert {*SENDS} == {*Phase}
    assert {phase for row in TRANSITIONS for phase in row.before} == {*Phase}
