"""claim -> send -> settle: the half of the house behind the store. One for each channel, so none delays another.

What is claimed is held in memory alone: the store is this process's by its lock, so a claim needs no lease there, and
after `kill -9` whatever was in flight is simply due again.
"""

import logging
from collections import deque
from collections.abc import Sequence
from random import Random

import anyio

from watcher.core.backoff import lengthened
from watcher.core.channels import ChannelState
from watcher.core.clock import Clock
from watcher.core.cooldown import Cooldown
from watcher.core.deliveries import AttemptResult, DeliveryState, DueDelivery, Message, Receipt
from watcher.core.errors import DeliveryError, DeliveryFailure, StoreError
from watcher.core.events import SystemEventFactory
from watcher.core.interfaces.channel import Channel, Digesting
from watcher.core.interfaces.store import Store
from watcher.core.settings import ChannelSettings
from watcher.core.wakeup import Wakeup
from watcher.delivery.channel_state import EARLY_EVERY, HELD_MOST, OFF_AFTER, ChannelHealth
from watcher.telemetry.liveness import LivenessMonitor
from watcher.telemetry.metrics import ChannelMetrics

logger = logging.getLogger(__name__)

_FREE_RETRY = 5.0
_FREE_RETRY_AT_LEAST = 1.0
_GUARD = 1.05  # the receiver's clock and ours, and the way to it, differ a little

_NAP = 10.0  # no wait is longer, so that the loop beats its pulse
_CLAIMED_AHEAD = 8  # deliveries claimed for each sender, so that none waits for the store
_CLOCK_SLIP = 60.0
_LAST_SETTLEMENT = 1.0


class Dispatcher:
    """Delivers what waits for one channel, in order for each task, on the channel's schedule."""

    def __init__(
        self,
        *,
        settings: ChannelSettings,
        channel: Channel,
        store: Store,
        notice: SystemEventFactory,
        metrics: ChannelMetrics,
        outbox: Wakeup,
        wall: Clock,
        random: Random,
        held_most: int = HELD_MOST,
        off_after: float = OFF_AFTER,
    ) -> None:
        self._settings = settings
        self._name = settings.name
        self._channel = channel
        self._digesting = channel if isinstance(channel, Digesting) else None
        self._alone: set[int] = set()
        self._store = store
        self._metrics = metrics
        self._outbox = outbox
        self._wall = wall
        self._random = random
        self._held: set[int] = set()
        self._queue: deque[DueDelivery] = deque()
        self._queued = anyio.Semaphore(0)
        self._results: list[AttemptResult] = []
        self._finished = Wakeup()
        self._stir = Wakeup()
        self._health = ChannelHealth(
            settings=settings,
            store=store,
            notice=notice,
            metrics=metrics,
            stir=self._stir.set,
            tell=outbox.set,
            wall=wall,
            held_most=held_most,
            off_after=off_after,
        )
        self._pause = Cooldown(anyio.current_time)
        self._turn = anyio.Lock()
        self._free_at = 0.0
        self._probe: int | None = None
        self._most_held = settings.concurrency * _CLAIMED_AHEAD
        if self._digesting is not None:
            self._most_held = max(self._most_held, 2 * self._digesting.digest_most)
        self._tried_at = anyio.current_time()
        self._slip = wall() - anyio.current_time()
        self._hasten_before: float | None = None
        self._settles = True
        self._closing = False
        self._done = anyio.Event()
        self.pulse = LivenessMonitor(anyio.current_time)

    async def run(self) -> None:
        """Deliver until `close`, or until cancelled; what finished by then is stored."""
        await self._health.load()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._listen, name=f"outbox to {self._name}")
                tasks.start_soon(self._settle_results, name=f"settle {self._name}")
                for number in range(self._settings.concurrency):
                    tasks.start_soon(self._send_queued, name=f"send {self._name} {number}")
                await self._keep_claiming()
                tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(_LAST_SETTLEMENT):
                await self._settle_last()
            self._done.set()

    async def close(self) -> None:
        """Try once what was never tried, finish what is in flight, and return when `run` has ended."""
        self._closing = True
        self._stir.set()
        await self._done.wait()

    # Holding

    def state(self) -> ChannelState:
        """Return how the channel does."""
        return self._health.state()

    async def pause(self, reason: str) -> None:
        """Send nothing until `resume`, over restarts too; what is in flight is finished. Raises `StoreError`."""
        await self._health.pause(reason)

    async def resume(self) -> None:
        """Send again, and at once what has waited. Raises `StoreError`."""
        await self._health.release()
        self._hasten_before = float("inf")
        self._stir.set()

    # Claiming

    async def _listen(self) -> None:
        while True:
            seen = self._outbox.generation
            self._stir.set()
            await self._outbox.wait(seen)

    async def _keep_claiming(self) -> None:
        while True:
            self.pulse.beat()
            seen = self._stir.generation
            try:
                pause = await self._round()
            except StoreError as error:
                self._refused_by_store(error)
                pause = 1.0
            if self._closing and not self._held:
                return
            if pause > 0:
                with anyio.move_on_after(min(pause, _NAP)):
                    await self._stir.wait(seen)

    async def _round(self) -> float:
        """Do what is due now; return the seconds until something else is, unless something stirs before."""
        self._note_clock()
        if await self._health.tend_hold():
            self._hasten_before = float("inf")
        if self._health.held:
            await self._health.bound_queue()
            return await self._try_one() if self._health.off else _NAP
        await self._health.tend_trouble()
        await self._hasten()
        most = self._most_held
        room = most - len(self._held)
        if self._health.probing:
            return await self._try_one()
        paused_for = self._paused_for()
        # While half of what may be held is, the senders have enough; each look reads again what is held.
        if paused_for > 0 or room < most / 2:
            return paused_for or _NAP
        now = self._wall()
        if await self._claim(room, now):
            return _NAP  # the next stir is when one of them is settled
        if self._closing:
            return _NAP
        if await self._store.unblock_expired(self._name, now):
            return 0.0
        return await self._until_next(now)

    async def _try_one(self) -> float:
        """Probe with one delivery when it is time; returns the seconds until it is."""
        off = self._health.off
        wait = max(
            self._tried_at + self._health.probe_interval() - anyio.current_time(),
            self._paused_for(),
        )
        if wait > 0 and not self._closing:
            alert_due_at = self._health.alert_due_at()
            return (
                wait if alert_due_at is None else min(wait, max(alert_due_at - self._wall(), 0.0))
            )
        if not self._held and not (off and self._closing):
            if off:
                self._queue_up(await self._one_early())
            else:
                await self._claim(1, self._wall())
            self._probe = next(iter(self._held), None)
        return _NAP  # the next stir is when it is settled

    async def _claim(self, room: int, now: float) -> bool:
        # What is settled while we read may be read as it was before; whoever was held when it began is left out.
        held = frozenset(self._held)
        if self._closing:
            due = [
                one
                for one in await self._store.due_for_probe(self._name, room + len(self._held))
                if not one.attempts
            ]
        else:
            due = list(await self._store.due(self._name, now, room + len(self._held)))
        fresh = [one for one in due if one.id not in held][:room]
        if not fresh and not self._closing and anyio.current_time() - self._tried_at >= EARLY_EVERY:
            fresh = await self._one_early()
        self._queue_up(fresh)
        return bool(fresh)

    def _queue_up(self, claimed: Sequence[DueDelivery]) -> None:
        for delivery in claimed:
            self._held.add(delivery.id)
            self._queue.append(delivery)
            self._queued.release()

    async def _one_early(self) -> list[DueDelivery]:
        self._tried_at = anyio.current_time()
        now = self._wall()
        held = frozenset(self._held)
        waiting = await self._store.due_for_probe(self._name, len(held) + 16)
        return [
            one
            for one in waiting
            if one.id not in held and (one.not_before is None or one.not_before <= now)
        ][:1]

    async def _until_next(self, looked_at: float) -> float:
        # What was due when we looked is held: a stir tells when that ends.
        moments = [
            await self._store.next_due_at(self._name, looked_at),
            self._health.alert_due_at(),
        ]
        to_come = [moment for moment in moments if moment is not None]
        return max(min(to_come) - self._wall(), 0.0) if to_come else _NAP

    # Sending

    async def _send_queued(self) -> None:
        while True:
            batch = await self._take()
            if sent := [delivery for delivery in batch if self._may_send(delivery)]:
                self._results += await self._attempt(sent)
                self._finished.set()
            if len(sent) < len(batch):
                self._held.difference_update(one.id for one in batch if one not in sent)
                self._stir.set()

    async def _take(self) -> list[DueDelivery]:
        if self._settings.rate is None:
            await self._queued.acquire()
            return self._next_batch()
        async with (
            self._turn
        ):  # who waits for its time has claimed nothing that another could tell along
            await self._queued.acquire()
            await self._pace(self._settings.rate)
            return self._next_batch()

    def _next_batch(self) -> list[DueDelivery]:
        """Take one delivery from the queue, or those that the channel wants to tell in one message."""
        if self._digesting is None or self._queue[0].id in self._alone:
            return [self._queue.popleft()]
        together = [one for one in self._queue if one.id not in self._alone]
        chosen = [
            together[number]
            for number in self._digesting.choose([_message(one) for one in together])
        ]
        taken = chosen[:1]
        for delivery in chosen[1:]:
            try:
                self._queued.acquire_nowait()
            except anyio.WouldBlock:
                break  # another sender has its word on what is left
            taken.append(delivery)
        ids = {delivery.id for delivery in taken}
        self._queue = deque(delivery for delivery in self._queue if delivery.id not in ids)
        return taken

    def _may_send(self, delivery: DueDelivery) -> bool:
        """Return whether what was claimed may still go, after all that has happened since."""
        if self._health.silent or self._paused_for():
            return False
        return not self._health.probing or delivery.id == self._probe

    async def _pace(self, rate: float) -> None:
        begin = max(anyio.current_time(), self._free_at)
        self._free_at = begin + _GUARD / rate
        await anyio.sleep_until(begin)

    async def _attempt(self, batch: Sequence[DueDelivery]) -> list[AttemptResult]:
        began = self._tried_at = anyio.current_time()
        at = self._wall()
        try:
            receipt = await self._send(batch)
        except DeliveryError as error:
            if len(batch) > 1 and error.body_refused:
                error = self._one_by_one(batch, error)
            return self._all_failed(batch, error, at, anyio.current_time() - began)
        except Exception as error:
            if not self._health.failing:
                logger.exception(
                    "an unexpected error while sending to channel %r; it is tried again", self._name
                )
            unexpected = DeliveryError(
                DeliveryFailure.PROTOCOL, f"unexpected {type(error).__name__}"
            )
            return self._all_failed(batch, unexpected, at, anyio.current_time() - began)
        self._alone.difference_update(delivery.id for delivery in batch)
        return [
            self._delivered(delivery, receipt, at, anyio.current_time() - began)
            for delivery in batch
        ]

    def _all_failed(
        self, batch: Sequence[DueDelivery], error: DeliveryError, at: float, duration: float
    ) -> list[AttemptResult]:
        settlements = [self._failed(delivery, error, at, duration) for delivery in batch]
        self._health.request_failed(error)
        return settlements

    async def _send(self, batch: Sequence[DueDelivery]) -> Receipt:
        messages = [_message(delivery) for delivery in batch]
        if len(messages) > 1 and self._digesting is not None:
            return await self._digesting.send_digest(messages)
        return await self._channel.send(messages[0])

    def _one_by_one(self, batch: Sequence[DueDelivery], error: DeliveryError) -> DeliveryError:
        """A digest was refused for its body: nobody knows whose, so each goes alone, and this has cost none of them."""
        self._alone.update(delivery.id for delivery in batch)
        return DeliveryError(
            error.reason, str(error), status=error.status, ours=True, answer=error.answer
        )

    def _delivered(
        self, delivery: DueDelivery, receipt: Receipt, at: float, duration: float
    ) -> AttemptResult:
        now = self._wall()
        self._metrics.delivered(duration=duration, latency=now - delivery.event_at, at=now)
        self._pause.succeeded()
        if (back := self._health.delivered(at)) is not None:
            self._hasten_before, self._probe = back, None
        return AttemptResult(
            delivery_id=delivery.id,
            state=DeliveryState.DELIVERED,
            attempted_at=at,
            scheduled=delivery.scheduled + 1,
            last_status=receipt.status,
            duration=duration,
            answer=receipt.answer,
        )

    def _failed(
        self, delivery: DueDelivery, error: DeliveryError, at: float, duration: float
    ) -> AttemptResult:
        now = self._wall()
        gone = error.reason is DeliveryFailure.GONE
        if gone:
            self._health.gone(error)
        # Tried before its time, to find out about the channel: its schedule goes on as if nothing had been. Likewise
        # where the channel is off, the receiver is gone or says when it has room again, or nothing left this machine.
        early = delivery.scheduled_at is not None and delivery.scheduled_at > at
        no_room = error.reason is DeliveryFailure.RATE_LIMITED and error.retry_after is not None
        free = early or gone or no_room or error.ours or self._health.held
        scheduled = delivery.scheduled if free else self._step_after(delivery.scheduled, error)
        last = scheduled >= len(self._settings.attempts)
        if last or not error.body_refused:
            self._health.refused(delivery.id, error, now)
        if last:
            self._metrics.failed(duration)
            self._health.failed_for_good()
            logger.error(
                "channel %r: delivery %d has failed for good (%s)", self._name, delivery.id, error
            )
        else:
            self._metrics.retried(duration)
        not_before = None if error.retry_after is None else now + error.retry_after
        first_attempt_at = at if delivery.first_attempt_at is None else delivery.first_attempt_at
        next_attempt_at = None
        if not last:
            step = self._settings.attempts[scheduled] if scheduled > delivery.scheduled else None
            next_attempt_at = self._next_attempt(
                delivery.scheduled_at if early else None, step, error, now
            )
        if error.busy:
            self._pause.asked(error.retry_after, at_most=max((next_attempt_at or now) - now, 0.0))
        return AttemptResult(
            delivery_id=delivery.id,
            state=DeliveryState.FAILED if last else DeliveryState.PENDING,
            attempted_at=at,
            scheduled=scheduled,
            next_attempt_at=None
            if next_attempt_at is None
            else max(next_attempt_at, not_before or 0),
            not_before=not_before,
            unblocks_at=at if error.body_refused else first_attempt_at + self._settings.order_wait,
            last_error=str(error),
            last_status=error.status,
            duration=duration,
            answer=error.answer,
        )

    def _next_attempt(
        self, kept: float | None, step: float | None, error: DeliveryError, now: float
    ) -> float:
        """Return when to try again: as `kept`, after `step` seconds of the schedule, or soon where no step is used."""
        if kept is not None:
            return kept
        if step is None:
            step = (
                _FREE_RETRY
                if error.retry_after is None
                else max(error.retry_after, _FREE_RETRY_AT_LEAST)
            )
        return now + lengthened(step, self._random)

    def _paused_for(self) -> float:
        # At the end there is no time for guesses.
        return self._pause.remaining(guesses=not self._closing)

    def _step_after(self, scheduled: int, error: DeliveryError) -> int:
        """Return the step of the schedule that follows; what a little while does not change skips its first half."""
        return max(scheduled + 1, len(self._settings.attempts) // 2 if error.lasting else 0)

    # Settling

    async def _settle_results(self) -> None:
        while True:
            seen = self._finished.generation
            if self._results:
                await self._settle_batch()
            else:
                await self._finished.wait(seen)

    async def _settle_batch(self) -> None:
        batch = list(self._results)
        try:
            await self._store.settle(batch)
        except StoreError as error:
            # Kept, for what was delivered must not be sent again; it stays held meanwhile.
            self._refused_by_store(error)
            await anyio.sleep(1)
            return
        del self._results[: len(batch)]
        self._settles = True
        self._held.difference_update(settled.delivery_id for settled in batch)
        self._stir.set()

    async def _settle_last(self) -> None:
        if self._results:
            try:
                await self._store.settle(self._results)
            except StoreError as error:
                logger.error(
                    "%s; %d deliveries will be repeated after the next start",
                    error,
                    len(self._results),
                )

    def _refused_by_store(self, error: StoreError) -> None:
        if self._settles:
            logger.error("channel %r: %s; going on when the store works again", self._name, error)
        self._settles = False

    # Making due

    def _note_clock(self) -> None:
        slip = self._wall() - anyio.current_time()
        if slip < self._slip - _CLOCK_SLIP:
            self._hasten_before = float("inf")
        if abs(slip - self._slip) > _CLOCK_SLIP:
            self._health.clock_jumped(slip - self._slip)
        self._slip = slip

    async def _hasten(self) -> None:
        """Make due what waits although the channel answers, or because the wall clock was set back."""
        if self._hasten_before is not None:
            await self._store.make_due(self._name, self._hasten_before, self._wall())
            self._hasten_before = None


def _message(delivery: DueDelivery) -> Message:
    return Message(
        event_id=delivery.event_id,
        type=delivery.type,
        body=delivery.body,
        watched_for=delivery.watched_for,
    )
