"""The phase of one channel, and the events about it that other channels receive.

`watcher.delivery.phases` has the phases and their transitions as a table.
"""

import logging
from collections.abc import Callable, Iterable

from watcher.core.channels import ChannelState
from watcher.core.errors import DeliveryError
from watcher.core.log_fields import about
from watcher.delivery.claims import PROBE_INTERVAL
from watcher.delivery.context import DeliveryContext
from watcher.delivery.failure_report import FailureReport
from watcher.delivery.outage import ChannelOutage
from watcher.delivery.overflow import ChannelOverflow
from watcher.delivery.phases import Phase
from watcher.delivery.receiver_record import ReceiverRecord
from watcher.delivery.shown_state import shown_state
from watcher.delivery.stop_conditions import Stop, StopConditions
from watcher.delivery.suspension import ChannelSuspension

logger = logging.getLogger(__name__)


class ChannelHealth:
    """Observes how attempts end, and stores and announces the phases of the channel.

    `record` is what the attempts say about the receiver. `changed` is called when the dispatcher
    has to reconcile. Methods that store may raise `StoreError`; the next round of the dispatcher
    then repeats them.
    """

    def __init__(self, context: DeliveryContext, changed: Callable[[], None]) -> None:
        self._context = context
        self._changed = changed
        self._suspension = ChannelSuspension(context)
        self._outage = ChannelOutage(context)
        self.overflow = ChannelOverflow(context, self._outage, lambda: self.phase is Phase.RUNNING)
        self.record = ReceiverRecord()
        self._stop_conditions = StopConditions(context.off_after)
        self._report = FailureReport(context)
        self._takes_over = False

    async def load(self) -> None:
        """Restore the phase that was stored before a restart."""
        self.record.restore(await self._outage.load())
        await self.overflow.load()
        await self._suspension.load()

    # What may be sent

    @property
    def phase(self) -> Phase:
        if (suspension := self._suspension.current) is not None:
            return Phase(suspension.kind)
        if self.record.breaker.is_open:
            return Phase.BREAKER_OPEN
        return Phase.RUNNING if self.record.failing_since is None else Phase.FAILING

    @property
    def failing(self) -> bool:
        """Whether nothing has succeeded since the last failure."""
        return self.record.failing_since is not None

    @property
    def off(self) -> bool:
        return self.phase is Phase.OFF

    @property
    def silent(self) -> bool:
        """Whether nothing at all may be sent."""
        gone = self._stop_conditions.gone_error is not None
        return gone or self.phase in (Phase.STOPPED, Phase.PAUSED)

    @property
    def suspended(self) -> bool:
        return self._suspension.current is not None

    @property
    def probing(self) -> bool:
        """Whether one delivery at a time may be sent."""
        return self.phase in (Phase.BREAKER_OPEN, Phase.OFF)

    @property
    def rejects_everything(self) -> bool:
        """Whether the receiver has rejected several requests in a row and accepted none since."""
        return self.record.breaker.rejects_everything

    def probe_interval(self) -> float:
        """Return the seconds between two probes."""
        return PROBE_INTERVAL if self.off else self.record.breaker.probe_interval()

    def alert_due_at(self) -> float | None:
        """Return when `channel.failing` is due; None if it was sent or the channel works."""
        return self._outage.alert_due_at(self.record.failing_since)

    def state(self, waits: float) -> ChannelState:
        """Return the state as users see it; `waits` are the seconds until anything may be sent."""
        waits_until = self._context.wall() + waits if waits >= 1 else None
        return shown_state(
            self._context.settings, self._suspension.current, self.record, waits_until
        )

    # Attempts

    def gone(self, error: DeliveryError) -> None:
        """Note that the endpoint no longer exists."""
        self._stop_conditions.gone(error)
        self._changed()

    def failed(self, delivery_id: int, error: DeliveryError, now: float) -> None:
        """Note that a delivery failed, not because of its payload."""
        outage_began = self.record.delivery_failed(delivery_id, error, now)
        self._show(error, outage_began=outage_began)

    def request_rejected(self, ids: Iterable[int], error: DeliveryError, now: float) -> None:
        """Note that the receiver rejected a request (4xx) with these deliveries."""
        outage_began = self.record.request_rejected(ids, error, now)
        self._show(error, outage_began=outage_began)

    def _show(self, error: DeliveryError, *, outage_began: bool) -> None:
        if outage_began:
            self._changed()
            self._report.outage_began(error)
        if self.failing:
            self._report.failing(error)

    def request_failed(self, error: DeliveryError) -> None:
        """Note that one request failed, however many deliveries it held."""
        self.record.request_failed(error)
        self._report.breaker(error, is_open=self.record.breaker.is_open and not self.off)

    def retries_exhausted(self) -> None:
        """Note that a delivery ended as failed: `channel.failing` is due now."""
        self._outage.alert_now()

    def delivered(self, attempted_at: float) -> float | None:
        """Note a success. If it ends an outage, return the time before which attempts are due
        again.
        """
        was_failing = self.failing
        due_before = self.record.delivered(attempted_at)
        if was_failing:
            self._report.recovered()
            self._changed()
        return due_before

    def attempt_all(self) -> None:
        """Forget what speaks against attempts: an operator, or a changed setting, demands them."""
        self.record.forget()
        self._changed()

    # Stored phases

    async def pause(self, reason: str) -> None:
        """Send nothing until `resume`, even after a restart."""
        await self._suspension.pause(reason)

    async def resume(self) -> None:
        """End any suspension."""
        await self._suspension.lift()
        self._resumed()

    async def follow(self) -> float | None:
        """Take over what another process has stored: a suspension, or the end of one or of an
        outage, which is a success of its own.

        Returns the time before which attempts are due again, as `delivered`.
        """
        was_suspended = self.suspended
        await self._suspension.load()
        if was_suspended and not self.suspended:
            self._resumed()
        recovered = await self._outage.follow()
        return self.delivered(self._context.wall()) if recovered else None

    def take_over(self) -> None:
        """Continue an outage that another process has stored, with the next `reconcile_outage`."""
        self._takes_over = True

    def _resumed(self) -> None:
        self._stop_conditions.resumed(self._context.wall())

    async def settings_changed(self) -> None:
        """End a suspension by the receiver: what it answered concerned the settings before."""
        if self._suspension.current is not None and self.phase is not Phase.PAUSED:
            logger.info(
                "channel %r: its settings have changed",
                self._context.name,
                extra=about(channel=self._context.name),
            )
            await self.resume()

    async def reconcile_suspension(self) -> bool:
        """Suspend or resume the channel as its attempts demand; return whether it was resumed."""
        since, error = self.record.failing_since, self.record.last_error
        if self.phase in (Phase.STOPPED, Phase.PAUSED):
            # An attempt that was in flight was answered 410: stored and sent already.
            self._stop_conditions.stop_is_stored()
        elif stop := self._stop_conditions.met(since, error, self._context.wall()):
            if self.phase is not Phase(stop.kind):
                await self._stop(stop)
        elif self.off and since is None:
            await self.resume()
            return True
        return False

    async def _stop(self, stop: Stop) -> None:
        stopping = self._outage.stopping(self.record.failing_since, self.record.last_error)
        async with stopping as (outage, event):
            await self._suspension.stop(stop.kind, stop.reason, outage, event)
        self._stop_conditions.stop_is_stored()
        self._context.outbox.set()

    async def reconcile_outage(self) -> None:
        """Store the beginning or the end of an outage, with its event where one is due."""
        if self._takes_over:
            since = await self._outage.load()
            if since is not None and not self.failing:
                self.record.restore(since)
            self._takes_over = False
        failing_since = self.record.failing_since or self.overflow.since
        await self._outage.reconcile(failing_since, self.record.last_error)
