"""The state machine of a channel: the code does what each row of `TRANSITIONS` says."""

from collections.abc import Awaitable, Callable

import pytest

from tests.delivery.harness import DOWN, GONE, REJECTED, Harness
from tests.support.virtual_time import wall
from watcher.delivery.channel_health import ChannelHealth
from watcher.delivery.circuit_breaker import BREAKER_AFTER, REJECTED_AFTER
from watcher.delivery.context import OFF_AFTER
from watcher.delivery.phases import SENDS, TRANSITIONS, Phase, PhaseTransition

pytestmark = pytest.mark.anyio

ALERT_AFTER = 300.0


class Channel:
    """The health of one channel, and a wall clock that can be moved."""

    def __init__(self, harness: Harness) -> None:
        self._passed = 0.0
        self._harness = harness
        context = harness.context(wall=self.wall, alert_after=ALERT_AFTER)
        self.health = ChannelHealth(context, lambda: None)

    def wall(self) -> float:
        return wall() + self._passed

    async def notifications(self) -> list[str]:
        """The types of the events about the channel, with those due within `ALERT_AFTER`."""
        self._passed += ALERT_AFTER
        if not self.health.suspended:
            await self.health.reconcile_outage()
        return await self._harness.types("channel.")

    async def fail(self, times: int = 1) -> None:
        for number in range(times):
            self.health.failed(number, DOWN, self.wall())
            self.health.request_failed(DOWN)

    async def fail_ten_times(self) -> None:
        await self.fail(BREAKER_AFTER)

    async def be_rejected_five_times(self) -> None:
        for number in range(REJECTED_AFTER):
            self.health.request_rejected([number], REJECTED, self.wall())
            self.health.request_failed(REJECTED)

    async def change_settings(self) -> None:
        await self.health.settings_changed()

    async def succeed(self) -> None:
        self.health.delivered(self.wall())
        await self.health.reconcile_suspension()

    async def fail_for_three_days(self) -> None:
        self._passed += OFF_AFTER
        await self.health.reconcile_suspension()

    async def answer_410(self) -> None:
        self.health.gone(GONE)
        await self.health.reconcile_suspension()

    async def pause(self) -> None:
        await self.health.pause("maintenance")

    async def resume(self) -> None:
        await self.health.resume()

    async def turn_off(self) -> None:
        await self.fail()
        await self.fail_for_three_days()

    async def nothing(self) -> None:
        pass


Action = Callable[[Channel], Awaitable[None]]

ENTER: dict[Phase, Action] = {
    Phase.RUNNING: Channel.nothing,
    Phase.FAILING: Channel.fail,
    Phase.BREAKER_OPEN: Channel.fail_ten_times,
    Phase.OFF: Channel.turn_off,
    Phase.STOPPED: Channel.answer_410,
    Phase.PAUSED: Channel.pause,
}
TRIGGERS: dict[str, Action] = {
    "an attempt fails": Channel.fail,
    "ten attempts in a row fail": Channel.fail_ten_times,
    "five deliveries in a row are rejected": Channel.be_rejected_five_times,
    "its settings change": Channel.change_settings,
    "an attempt succeeds": Channel.succeed,
    "a probe succeeds": Channel.succeed,
    "three days without a success": Channel.fail_for_three_days,
    "the receiver answers 410": Channel.answer_410,
    "an operator pauses the channel": Channel.pause,
    "an operator resumes the channel": Channel.resume,
}
BEFORE_SUSPENSION = {
    Phase.OFF: Phase.FAILING,
    Phase.STOPPED: Phase.RUNNING,
    Phase.PAUSED: Phase.RUNNING,
}
SUSPENDED = (Phase.OFF, Phase.STOPPED, Phase.PAUSED)


@pytest.mark.parametrize(
    ("before", "transition"),
    [(before, transition) for transition in TRANSITIONS for before in transition.before],
)
async def test_each_transition(
    harness: Harness, before: Phase, transition: PhaseTransition
) -> None:
    channel = Channel(harness)
    await ENTER[before](channel)
    assert channel.health.phase is before
    earlier = await channel.notifications()
    await TRIGGERS[transition.trigger](channel)
    after = BEFORE_SUSPENSION[before] if transition.after is None else transition.after
    assert channel.health.phase is after
    expected = [] if transition.notification is None else [transition.notification]
    assert await channel.notifications() == earlier + expected


@pytest.mark.parametrize("phase", SUSPENDED)
async def test_a_success_of_an_attempt_in_flight_ends_no_stop_and_no_pause(
    harness: Harness, phase: Phase
) -> None:
    channel = Channel(harness)
    await ENTER[phase](channel)
    await channel.succeed()
    assert channel.health.phase is (Phase.RUNNING if phase is Phase.OFF else phase)


@pytest.mark.parametrize("phase", Phase)
async def test_only_suspensions_survive_a_restart(harness: Harness, phase: Phase) -> None:
    channel = Channel(harness)
    await ENTER[phase](channel)
    restarted = Channel(harness)
    await restarted.health.load()
    assert restarted.health.phase is (phase if phase in SUSPENDED else Phase.RUNNING)


async def test_an_outage_that_is_stored_survives_a_restart(harness: Harness) -> None:
    channel = Channel(harness)
    await channel.fail()
    await channel.notifications()
    restarted = Channel(harness)
    await restarted.health.load()
    assert restarted.health.phase is Phase.FAILING


@pytest.mark.parametrize(
    ("phase", "silent", "probing"),
    [
        (Phase.RUNNING, False, False),
        (Phase.FAILING, False, False),
        (Phase.BREAKER_OPEN, False, True),
        (Phase.OFF, False, True),
        (Phase.STOPPED, True, False),
        (Phase.PAUSED, True, False),
    ],
)
async def test_what_a_phase_allows(
    harness: Harness, phase: Phase, silent: bool, probing: bool
) -> None:
    channel = Channel(harness)
    await ENTER[phase](channel)
    assert (channel.health.silent, channel.health.probing) == (silent, probing)


async def test_a_410_silences_the_channel_before_it_is_stored(harness: Harness) -> None:
    channel = Channel(harness)
    channel.health.gone(GONE)
    assert channel.health.silent
    assert not channel.health.suspended


def test_the_table_covers_every_phase() -> None:
    assert {*SENDS} == {*Phase}
    assert {phase for transition in TRANSITIONS for phase in transition.before} == {*Phase}
    assert {transition.trigger for transition in TRANSITIONS} == {*TRIGGERS}
