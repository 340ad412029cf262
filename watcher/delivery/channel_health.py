"""The phase of one channel, and the events about it that other channels receive.

`watcher.delivery.phases` has the phases and their transitions as a table.
"""

import logging
from collections.abc import Callable, Iterable
from functools import partial

import anyio

from watcher.core.channels import ChannelState, SuspensionKind
from watcher.core.clock import rfc3339
from watcher.core.errors import DeliveryError
from watcher.core.log_fields import about
from watcher.delivery.claims import PROBE_INTERVAL
from watcher.delivery.context import DeliveryContext
from watcher.delivery.outage import ChannelOutage
from watcher.delivery.overflow import ChannelOverflow
from watcher.delivery.phases import Phase
from watcher.delivery.receiver_record import ReceiverRecord
from watcher.delivery.suspension import ChannelSuspension
from watcher.telemetry.throttle import LogThrottle

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
        self._log_throttle = LogThrottle(anyio.current_time)
        self._off_counts_from = 0.0
        self._stopped_by: DeliveryError | None = None
        self._breaker_logged = self._takes_over = False

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
        return self._stopped_by is not None or self.phase in (Phase.STOPPED, Phase.PAUSED)

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
        settings, suspension = self._context.settings, self._suspension.current
        state = partial(ChannelState, name=settings.name, type=settings.type)
        if suspension is not None:
            return state(state=suspension.kind, reason=suspension.reason, since=suspension.since)
        error = self.record.last_error
        reason = None if error is None or not self.failing else str(error)
        if waits >= 1:
            until = rfc3339(self._context.wall() + waits)
            reason = f"waiting until {until}, because: {reason or 'Retry-After'}"
        since = self.record.failing_since
        return state(state="running" if since is None else "failing", reason=reason, since=since)

    # Attempts

    def gone(self, error: DeliveryError) -> None:
        """Note that the endpoint no longer exists."""
        self._stopped_by = error
        self._changed()

    def failed(self, delivery_id: int, error: DeliveryError, now: float) -> None:
        """Note that a delivery failed, not because of its payload."""
        if self.record.delivery_failed(delivery_id, error, now):
            self._outage_began(error)
        self._show_failing(error)

    def request_rejected(self, ids: Iterable[int], error: DeliveryError, now: float) -> None:
        """Note that the receiver rejected a request (4xx) with these deliveries."""
        if self.record.request_rejected(ids, error, now):
            self._outage_began(error)
        self._show_failing(error)

    def _show_failing(self, error: DeliveryError) -> None:
        if self.failing:
            self._context.metrics.failing(error.reason)

    def request_failed(self, error: DeliveryError) -> None:
        """Note that one request failed, however many deliveries it held."""
        self.record.request_failed(error)
        is_open = self.record.breaker.is_open and not self.off
        if is_open and not self._breaker_logged:
            self._breaker_logged = True
            logger.warning(
                "channel %r: circuit breaker opened (%s); sending probes only",
                self._context.name,
                error,
                extra=about(channel=self._context.name),
            )
        self._context.metrics.breaker(is_open)

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
            self._breaker_logged = False
            self._context.metrics.breaker(False)
            self._context.metrics.failing(None)
            self._changed()
        return due_before

    def attempt_all(self) -> None:
        """Forget what speaks against attempts: an operator, or a changed setting, demands them."""
        self.record.forget()
        self._changed()

    def _outage_began(self, error: DeliveryError) -> None:
        self._changed()
        if self._log_throttle.ready("failing"):
            logger.warning(
                "channel %r: delivery failed (%s); will retry",
                self._context.name,
                error,
                extra=about(channel=self._context.name),
            )

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
        self._stopped_by = None
        self._off_counts_from = self._context.wall()

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
        if self.phase in (Phase.STOPPED, Phase.PAUSED):
            self._stopped_by = None  # by an attempt that was in flight; stored and sent already
        elif self._stopped_by is not None:
            await self._stop(SuspensionKind.STOPPED, str(self._stopped_by))
        elif not self.suspended and self.record.failing_since is not None:
            counts_from = max(self.record.failing_since, self._off_counts_from)
            if self._context.wall() - counts_from >= self._context.off_after:
                days = self._context.off_after / 86400
                reason = f"no success for {days:g} days ({self.record.last_error})"
                await self._stop(SuspensionKind.OFF, reason)
        elif self.off and self.record.failing_since is None:
            await self.resume()
            return True
        return False

    async def _stop(self, kind: SuspensionKind, reason: str) -> None:
        stopping = self._outage.stopping(self.record.failing_since, self.record.last_error)
        async with stopping as (outage, event):
            await self._suspension.stop(kind, reason, outage, event)
        self._stopped_by = None
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
