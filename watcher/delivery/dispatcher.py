"""Delivers the pending deliveries of one channel: claim, send, settle.

Each channel has a dispatcher of its own, so that no channel delays another.
"""

import math
from collections.abc import Iterable

import anyio

from watcher.core.channels import ChannelState
from watcher.core.clock import ClockJumpDetector
from watcher.core.cooldown import Cooldown
from watcher.core.deliveries import DueDelivery
from watcher.core.errors import StoreError
from watcher.core.interfaces.channel import Channel, Digesting
from watcher.core.wakeup import Wakeup
from watcher.delivery.channel_health import ChannelHealth
from watcher.delivery.claimed_queue import ClaimedQueue
from watcher.delivery.claims import Claims
from watcher.delivery.context import DeliveryContext
from watcher.delivery.due_again import DueAgain
from watcher.delivery.restoration import restore
from watcher.delivery.send_loop import SendLoop
from watcher.delivery.sender import Sender
from watcher.delivery.settler import RETRY_AFTER, Settler
from watcher.telemetry.liveness import LivenessMonitor
from watcher.telemetry.metrics import Component

MAX_IDLE = 10.0
"""Seconds after which a waiting loop reports that it is alive."""
LAST_SETTLEMENT = 1.0
"""Seconds that storing the last results may take."""


class Dispatcher:
    """Claims deliveries for the senders of one channel and stores how their attempts end."""

    def __init__(self, channel: Channel, context: DeliveryContext) -> None:
        self._context = context
        self._wakeup = Wakeup()
        self._health = ChannelHealth(context, self._wakeup.set)
        self.overflow = self._health.overflow
        self._due_again = DueAgain(context, self._health.record)
        self._cooldown = Cooldown(anyio.current_time)
        self._queue = ClaimedQueue(
            senders=context.settings.concurrency,
            rate=context.settings.rate,
            digesting=channel if isinstance(channel, Digesting) else None,
        )
        self._claims = Claims(context, self._queue)
        self._settler = Settler(
            context.name, context.store, self._release, enough=max(self._queue.limit // 4, 1)
        )
        sender = Sender(
            channel,
            context,
            health=self._health,
            cooldown=self._cooldown,
            queue=self._queue,
            recovered=self._recovered,
        )
        self._send_loop = SendLoop(
            queue=self._queue,
            claims=self._claims,
            sender=sender,
            settler=self._settler,
            may_send=self._may_send,
            release=self._release,
        )
        self._clock_jumps = ClockJumpDetector(context.wall, anyio.current_time)
        self._probe: int | None = None
        self._closing = self._draining = False
        self._ended = anyio.Event()
        self.monitor = LivenessMonitor(anyio.current_time)

    async def run(self) -> None:
        """Deliver until `close` or cancellation; results until then are stored."""
        keep_running, name = self._context.unexpected.keep_running, self._context.name
        await self._restore()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_forward, self._context.outbox, self._wakeup)
                tasks.start_soon(
                    keep_running, Component.DISPATCHER, self._settler.run, name=f"settle {name}"
                )
                for number in range(self._context.settings.concurrency):
                    tasks.start_soon(
                        keep_running,
                        Component.DISPATCHER,
                        self._send_loop.run,
                        name=f"send {name} {number}",
                    )
                await self._claim_until_closed()
                tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(LAST_SETTLEMENT):
                await self._settler.settle_last()
            self._ended.set()

    async def _restore(self) -> None:
        while True:
            self.monitor.beat()
            try:
                if await restore(self._context, self._health, self._cooldown):
                    self.attempt_all()
                return
            except StoreError as error:
                self._settler.store_failed(error)
                await anyio.sleep(RETRY_AFTER)

    async def close(self) -> None:
        """Attempt once what was never attempted, finish what is in flight, and wait for `run`."""
        self._closing = True
        self._wakeup.set()
        await self._ended.wait()

    def state(self) -> ChannelState:
        return self._health.state(waits=self._cooldown.remaining(guesses=False))

    def attempt_all(self) -> None:
        """Attempt all pending deliveries at once, whatever the receiver has answered so far."""
        self._health.attempt_all()
        self._cooldown.clear()
        self._due_again.request(float("inf"), despite_retry_after=True)
        self._wakeup.set()

    async def pause(self, reason: str) -> None:
        """Send nothing until `resume`, even after a restart. Attempts in flight are completed.
        Raises `StoreError`.
        """
        await self._health.pause(reason)

    async def resume(self) -> None:
        """Resume sending; all pending deliveries are due now. Raises `StoreError`."""
        await self._health.resume()
        self.attempt_all()

    async def follow(self, *, attempt: bool) -> None:
        """Take over what another process has stored about the channel: a pause, its end, the end of
        an outage, or other deliveries; with `attempt`, attempt all that is pending. Raises
        `StoreError`.
        """
        if (attempted_before := await self._health.follow()) is not None:
            self._recovered(attempted_before)
        if attempt and not self._health.suspended:
            self.attempt_all()
        self._wakeup.set()

    def take_over(self) -> None:
        """Continue what another process knew of the channel, some of whose queues it served."""
        self._health.take_over()
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

    # Claiming

    async def _claim_until_closed(self) -> None:
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

    async def _round(self) -> float:
        """Do what is due now; return the seconds until the next round if nothing wakes the loop."""
        if self._draining:
            return MAX_IDLE
        self._observe_clock()
        if await self._health.reconcile_suspension():
            self._due_again.request(float("inf"))
        if self._health.suspended:
            return await self._send_probe() if self._health.off else MAX_IDLE
        await self._health.reconcile_outage()
        await self._due_again.apply()
        if self._health.probing:
            return await self._send_probe()
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

    async def _send_probe(self) -> float:
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

    # Sending

    def _may_send(self, delivery: DueDelivery) -> bool:
        """Return whether a claimed delivery may still be sent now."""
        if self._health.silent or self._cooldown_left() or not self._context.trusted():
            return False
        return not self._health.probing or delivery.id == self._probe

    def _release(self, ids: Iterable[int]) -> None:
        self._queue.release(ids)
        self._wakeup.set()

    def _cooldown_left(self) -> float:
        # On shutdown only a `Retry-After` is honoured.
        return self._cooldown.remaining(guesses=not self._closing)

    # Making deliveries due

    def _recovered(self, attempted_before: float) -> None:
        self._due_again.request(attempted_before)
        self._probe = None

    def _observe_clock(self) -> None:
        offset_change = self._clock_jumps.observe()
        if offset_change < 0:
            self._due_again.request(float("inf"))
        if offset_change:
            self._health.record.clock_jumped(offset_change)


async def _forward(source: Wakeup, target: Wakeup) -> None:
    """Set `target` now and whenever `source` is set."""
    while True:
        generation = source.generation
        target.set()
        await source.wait(generation)
