"""Delivers the pending deliveries of one channel: loops that claim, send and settle.

Each channel has a dispatcher of its own, so that no channel delays another.
"""

from collections.abc import Iterable

import anyio

from watcher.core.channels import ChannelState
from watcher.core.cooldown import Cooldown
from watcher.core.errors import StoreError
from watcher.core.interfaces.channel import Channel, Digesting
from watcher.core.wakeup import Wakeup
from watcher.delivery.channel_health import ChannelHealth
from watcher.delivery.claim_loop import ClaimLoop
from watcher.delivery.claimed_queue import ClaimedQueue
from watcher.delivery.claims import Claims
from watcher.delivery.context import DeliveryContext
from watcher.delivery.due_again import DueAgain
from watcher.delivery.restoration import restore
from watcher.delivery.send_loop import SendLoop
from watcher.delivery.sender import Sender
from watcher.delivery.settler import RETRY_AFTER, Settler
from watcher.telemetry.metrics import Component

LAST_SETTLEMENT = 1.0
"""Seconds that storing the last results may take."""


class Dispatcher:
    """Runs the loops of one channel, and does what operators and other processes demand of it."""

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
        claims = Claims(context, self._queue)
        self._settler = Settler(
            context.name, context.store, self._release, enough=max(self._queue.limit // 4, 1)
        )
        self._claim_loop = self._new_claim_loop(claims)
        self.monitor = self._claim_loop.monitor
        self._send_loop = SendLoop(
            queue=self._queue,
            claims=claims,
            sender=Sender(
                channel,
                context,
                health=self._health,
                cooldown=self._cooldown,
                queue=self._queue,
                recovered=self._recovered,
            ),
            settler=self._settler,
            may_send=self._claim_loop.may_send,
            release=self._release,
        )
        self._ended = anyio.Event()

    def _new_claim_loop(self, claims: Claims) -> ClaimLoop:
        return ClaimLoop(
            self._context,
            queue=self._queue,
            claims=claims,
            health=self._health,
            cooldown=self._cooldown,
            due_again=self._due_again,
            settler=self._settler,
            wakeup=self._wakeup,
        )

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
                await self._claim_loop.run()
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
        self._claim_loop.close()
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
        await self._claim_loop.drain()

    def claim_again(self) -> None:
        """End `drain`."""
        self._claim_loop.claim_again()

    def _release(self, ids: Iterable[int]) -> None:
        self._queue.release(ids)
        self._wakeup.set()

    def _recovered(self, attempted_before: float) -> None:
        self._due_again.request(attempted_before)
        self._claim_loop.recovered()


async def _forward(source: Wakeup, target: Wakeup) -> None:
    """Set `target` now and whenever `source` is set."""
    while True:
        generation = source.generation
        target.set()
        await source.wait(generation)
