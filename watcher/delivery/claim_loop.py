"""The loop that claims what a channel may attempt now: due deliveries, or one as a probe."""

import math

import anyio

from watcher.core.clock import ClockJumpDetector
from watcher.core.cooldown import Cooldown
from watcher.core.deliveries import DueDelivery
from watcher.core.errors import StoreError
from watcher.core.wakeup import Wakeup
from watcher.delivery.channel_health import ChannelHealth
from watcher.delivery.claimed_queue import ClaimedQueue
from watcher.delivery.claims import Claims
from watcher.delivery.context import DeliveryContext
from watcher.delivery.due_again import DueAgain
from watcher.delivery.settler import RETRY_AFTER, Settler
from watcher.telemetry.liveness import LivenessMonitor
from watcher.telemetry.metrics import Component

MAX_IDLE = 10.0
"""Seconds after which a waiting loop reports that it is alive."""


class ClaimLoop:
    """Claims for the senders of one channel, as its health, cooldown and `drain` allow.

    `wakeup` is set whenever there may be something else to claim. `settler` learns of errors of the
    store.
    """

    def __init__(
        self,
        context: DeliveryContext,
        *,
        queue: ClaimedQueue,
        claims: Claims,
        health: ChannelHealth,
        cooldown: Cooldown,
        due_again: DueAgain,
        settler: Settler,
        wakeup: Wakeup,
    ) -> None:
        self._context = context
        self._queue = queue
        self._claims = claims
        self._health = health
        self._cooldown = cooldown
        self._due_again = due_again
        self._settler = settler
        self._wakeup = wakeup
        self._clock_jumps = ClockJumpDetector(context.wall, anyio.current_time)
        self._probe: int | None = None
        self._closing = self._draining = False
        self.monitor = LivenessMonitor(anyio.current_time)

    async def run(self) -> None:
        """Claim until `close` was called and nothing is claimed any more."""
        while True:
            self.monitor.beat()
            generation = self._wakeup.generation
            try:
                pause = await self._round()
            except StoreError as error:
                self._settler.store_failed(error)
                pause = RETRY_AFTER
            except Exception as error:
                self._context.unexpected.report(Component.DISPATCHER, error)
                pause = RETRY_AFTER
            if self._closing and not len(self._queue):
                return
            if pause > 0:
                with anyio.move_on_after(min(pause, MAX_IDLE)):
                    await self._wakeup.wait(generation)

    def close(self) -> None:
        """Claim only what was never attempted, then end."""
        self._closing = True
        self._wakeup.set()

    async def drain(self) -> None:
        """Claim nothing until `claim_again`; return once nothing is claimed."""
        self._draining = True
        while len(self._queue):
            generation = self._wakeup.generation
            with anyio.move_on_after(MAX_IDLE):
                await self._wakeup.wait(generation)

    def claim_again(self) -> None:
        """End `drain`."""
        self._draining = False
        self._wakeup.set()

    def recovered(self) -> None:
        """Note a success: what is claimed need not be a probe."""
        self._probe = None

    def may_send(self, delivery: DueDelivery) -> bool:
        """Return whether a claimed delivery may still be sent now."""
        if self._health.silent or self._cooldown_left() or not self._context.trusted():
            return False
        return not self._health.probing or delivery.id == self._probe

    # One round

    async def _round(self) -> float:
        """Do what is due now; return the seconds until the next round if nothing wakes the loop."""
        if self._draining:
            return MAX_IDLE
        self._observe_clock()
        if await self._health.reconcile_suspension():
            self._due_again.request(float("inf"))
        if self._health.suspended:
            return await self._claim_probe() if self._health.off else MAX_IDLE
        await self._health.reconcile_outage()
        await self._due_again.apply()
        if self._health.probing:
            return await self._claim_probe()
        room = self._queue.limit - len(self._queue)
        cooldown = self._cooldown_left()
        # More is claimed once half of the limit is free: each claim reads all claimed rows again.
        if cooldown > 0 or room < self._queue.limit / 2:
            return cooldown or MAX_IDLE
        now = self._context.wall()
        if await self._claim(room, now) or self._closing:
            return MAX_IDLE  # a settled delivery wakes the loop up
        if await self._context.store.unblock_expired(self._context.name, now):
            return 0.0
        return await self._claims.seconds_until_next(now, self._health.alert_due_at())

    def _observe_clock(self) -> None:
        offset_change = self._clock_jumps.observe()
        if offset_change < 0:
            self._due_again.request(float("inf"))
        if offset_change:
            self._health.record.clock_jumped(offset_change)

    async def _claim_probe(self) -> float:
        """Claim one delivery as a probe if it is time; return the seconds until it is."""
        off = self._health.off
        due_at = self._claims.attempted_at + self._health.probe_interval()
        cooldown = self._cooldown_left()
        wait = max(due_at - anyio.current_time(), cooldown)
        # Claimed during a cooldown, a probe would be released and claimed again without a pause.
        if cooldown > 0 or (wait > 0 and not self._closing):
            alert_due_at = self._health.alert_due_at() or math.inf
            return min(wait, max(alert_due_at - self._context.wall(), 0.0))
        if not len(self._queue) and not (off and self._closing):
            await self._due_again.give_places_back()
            if off:
                await self._claims.probe()
            else:
                await self._claim(1, self._context.wall())
            self._probe = next(iter(self._queue.ids()), None)
        return MAX_IDLE

    async def _claim(self, room: int, now: float) -> bool:
        """Claim up to `room` deliveries, or a probe; return whether there were any."""
        if self._closing:
            claimed = await self._claims.never_attempted(room)
        else:
            claimed = await self._claims.due(room, now)
        if claimed or self._closing or not self._claims.probe_due:
            return claimed
        return await self._claims.probe()

    def _cooldown_left(self) -> float:
        # On shutdown only a `Retry-After` is honoured.
        return self._cooldown.remaining(guesses=not self._closing)
