"""Delivers the pending deliveries of one channel: claim, send, settle.

Each channel has a dispatcher of its own, so that no channel delays another.
"""

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
        settings = context.settings
        self._context = context
        self._wakeup = Wakeup()
        self._health = ChannelHealth(context, self._wakeup.set)
        self._cooldown = Cooldown(anyio.current_time)
        self._queue = ClaimedQueue(
            senders=settings.concurrency,
            rate=settings.rate,
            digesting=channel if isinstance(channel, Digesting) else None,
        )
        self._claims = Claims(context, self._queue)
        self._settler = Settler(context.name, context.store, self._release)
        self._sender = Sender(
            channel,
            context,
            health=self._health,
            cooldown=self._cooldown,
            queue=self._queue,
            recovered=self._recovered,
        )
        self._clock_jumps = ClockJumpDetector(context.wall, anyio.current_time)
        self._probe: int | None = None
        self._make_due_before: float | None = None
        self._closing = False
        self._ended = anyio.Event()
        self.monitor = LivenessMonitor(anyio.current_time)

    async def run(self) -> None:
        """Deliver until `close` or cancellation; results until then are stored."""
        keep_running, name = self._context.unexpected.keep_running, self._context.name
        await self._load()
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
                        self._send_claimed,
                        name=f"send {name} {number}",
                    )
                await self._claim_until_closed()
                tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(LAST_SETTLEMENT):
                await self._settler.settle_last()
            self._ended.set()

    async def _load(self) -> None:
        while True:
            try:
                return await self._health.load()
            except StoreError as error:
                self._settler.store_failed(error)
                await anyio.sleep(RETRY_AFTER)

    async def close(self) -> None:
        """Attempt once what was never attempted, finish what is in flight, and wait for `run`."""
        self._closing = True
        self._wakeup.set()
        await self._ended.wait()

    def state(self) -> ChannelState:
        return self._health.state()

    async def pause(self, reason: str) -> None:
        """Send nothing until `resume`, even after a restart. Attempts in flight are completed.
        Raises `StoreError`.
        """
        await self._health.pause(reason)

    async def resume(self) -> None:
        """Resume sending; all pending deliveries are due now. Raises `StoreError`."""
        await self._health.resume()
        self._make_due_before = float("inf")
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
        self._observe_clock()
        if await self._health.reconcile_suspension():
            self._make_due_before = float("inf")
        if self._health.suspended:
            await self._health.trim_pending()
            return await self._send_probe() if self._health.off else MAX_IDLE
        await self._health.reconcile_outage()
        await self._make_due()
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
        return await self._until_next(now)

    async def _send_probe(self) -> float:
        """Claim one delivery as a probe if it is time; return the seconds until it is."""
        off = self._health.off
        due_at = self._claims.attempted_at + self._health.probe_interval()
        cooldown = self._cooldown_left()
        wait = max(due_at - anyio.current_time(), cooldown)
        # Claimed during a cooldown, a probe would be released and claimed again without a pause.
        if cooldown > 0 or (wait > 0 and not self._closing):
            alert_due_at = self._health.alert_due_at()
            if alert_due_at is None:
                return wait
            return min(wait, max(alert_due_at - self._context.wall(), 0.0))
        if not len(self._queue) and not (off and self._closing):
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

    async def _until_next(self, claimed_at: float) -> float:
        """Return the seconds until a delivery or an alert is due."""
        next_due_at = await self._context.store.next_due_at(self._context.name, claimed_at)
        moments = [
            moment for moment in (next_due_at, self._health.alert_due_at()) if moment is not None
        ]
        return max(min(moments) - self._context.wall(), 0.0) if moments else MAX_IDLE

    # Sending

    async def _send_claimed(self) -> None:
        while True:
            batch = await self._queue.take()
            try:
                sendable = [delivery for delivery in batch if self._may_send(delivery)]
                if sendable:
                    self._claims.attempt_begins()
                    if results := await self._sender.attempt(sendable):
                        self._settler.add(results)
                    else:
                        self._release(delivery.id for delivery in sendable)
            except StoreError as error:
                self._settler.store_failed(error)
                await anyio.sleep(RETRY_AFTER)
                self._release(delivery.id for delivery in batch)
                continue
            except Exception:
                self._release(delivery.id for delivery in batch)
                raise  # reported, and run again
            if len(sendable) < len(batch):
                self._release(delivery.id for delivery in batch if delivery not in sendable)

    def _may_send(self, delivery: DueDelivery) -> bool:
        """Return whether a claimed delivery may still be sent now."""
        if self._health.silent or self._cooldown_left():
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
        self._make_due_before, self._probe = attempted_before, None

    def _observe_clock(self) -> None:
        offset_change = self._clock_jumps.observe()
        if offset_change < 0:
            self._make_due_before = float("inf")
        if offset_change:
            self._health.clock_jumped(offset_change)

    async def _make_due(self) -> None:
        """Make pending deliveries due after a recovery or a step back of the wall clock."""
        if self._make_due_before is not None:
            name, now = self._context.name, self._context.wall()
            await self._context.store.make_due(name, self._make_due_before, now)
            self._make_due_before = None


async def _forward(source: Wakeup, target: Wakeup) -> None:
    """Set `target` now and whenever `source` is set."""
    while True:
        generation = source.generation
        target.set()
        await source.wait(generation)
