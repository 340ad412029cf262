"""How one channel does: since when it fails, whether it is held, and what the other channels are told of it.

What is told is stored in one transaction with the trouble or the hold that it tells of, so that a restart neither
repeats nor forgets it.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import anyio

from watcher.core.channels import ChannelState, Suspension, SuspensionKind
from watcher.core.clock import Clock, rfc3339
from watcher.core.errors import DeliveryError, DeliveryFailure
from watcher.core.events import Event, SystemEventFactory
from watcher.core.interfaces.store import Store
from watcher.core.outage import Outage
from watcher.core.settings import ChannelSettings
from watcher.telemetry.metrics import ChannelMetrics

logger = logging.getLogger(__name__)

EARLY_EVERY = 45.0
"""Seconds without any attempt after which something that waits is tried early, to find out about the channel."""
OUTAGE_AT_LEAST = 10.0
"""Seconds of nothing but failures after which a success means that the channel is back."""
BREAKER_AFTER = 10
"""Failures in a row, of several deliveries, after which only one at a time is tried, less and less often."""
OFF_AFTER = 3 * 86400.0
"""Seconds of nothing but failures after which a channel is switched off."""
HELD_MOST = 100_000
"""So many deliveries wait for a channel to which nothing is sent; beyond them the oldest end as failed."""

_PROBE_EVERY_AT_MOST = 30.0
_BOUND_EVERY = 60.0
_REPEAT_WARNING = 600.0


class ChannelHealth:
    """Notes how attempts end, and tells when that changes what may be sent.

    `stir` is called when there is something to tend to, `tell` when an event was stored. Everything that is stored may
    raise `StoreError`, and is then tried again at the next round.
    """

    def __init__(
        self,
        *,
        settings: ChannelSettings,
        store: Store,
        notice: SystemEventFactory,
        metrics: ChannelMetrics,
        stir: Callable[[], None],
        tell: Callable[[], None],
        wall: Clock,
        held_most: int = HELD_MOST,
        off_after: float = OFF_AFTER,
    ) -> None:
        self._settings = settings
        self._name = settings.name
        self._subject = f"channel {settings.name}"
        self._store = store
        self._notice = notice
        self._metrics = metrics
        self._stir = stir
        self._tell = tell
        self._wall = wall
        self._held_most = held_most
        self._off_after = off_after
        self._off_from = 0.0
        self._bounded_at = -_BOUND_EVERY
        self._since: float | None = None
        self._reason: DeliveryFailure | None = None
        self._deliveries: set[int] = set()
        self._streak = 0
        self._alert = False
        self._broken_said = False
        self._warned_at = -_REPEAT_WARNING
        self._trouble: Outage | None = None
        self._hold: Suspension | None = None
        self._stopped_by: DeliveryError | None = None

    async def load(self) -> None:
        """Go on from what is stored."""
        self._trouble = await self._store.outage(self._subject)
        if self._trouble is not None:
            self._since = self._trouble.since
        self._hold = next(
            (one for one in await self._store.suspensions() if one.channel == self._name), None
        )
        self._metrics.held(None if self._hold is None else self._hold.kind)

    # What may be sent

    @property
    def failing(self) -> bool:
        """Whether nothing but failures came lately."""
        return self._since is not None

    @property
    def off(self) -> bool:
        """Whether the channel is off: something is tried now and then, at no cost to its schedule."""
        return self._hold is not None and self._hold.kind is SuspensionKind.OFF

    @property
    def silent(self) -> bool:
        """Whether nothing at all may be sent."""
        return self._stopped_by is not None or (self._hold is not None and not self.off)

    @property
    def held(self) -> bool:
        """Whether the channel is paused, stopped or off."""
        return self._hold is not None

    @property
    def probing(self) -> bool:
        """Whether one delivery at a time may be sent. One alone opens no breaker: it keeps its schedule."""
        return self.off or (self._streak >= BREAKER_AFTER and len(self._deliveries) > 1)

    def probe_interval(self) -> float:
        """Return the seconds between two probes: with an open breaker 1 s, doubling."""
        return (
            EARLY_EVERY
            if self.off
            else min(2.0 ** min(self._streak - BREAKER_AFTER, 16), _PROBE_EVERY_AT_MOST)
        )

    def alert_due_at(self) -> float | None:
        """Return when the others are to hear that the channel fails, None where they have, or need not."""
        if self._since is None or (
            self._trouble is not None and self._trouble.alerted_at is not None
        ):
            return None
        return self._since + self._settings.alert_after

    def state(self) -> ChannelState:
        """Return how the channel does."""
        about = partial(ChannelState, name=self._name, type=self._settings.type)
        if self._hold is not None:
            return about(state=self._hold.kind, reason=self._hold.reason, since=self._hold.since)
        if self._since is not None:
            return about(state="failing", reason=self._reason, since=self._since)
        return about(state="running")

    # What attempts say

    def gone(self, error: DeliveryError) -> None:
        """Note that the receiver takes nothing any more."""
        self._stopped_by = error
        self._stir()

    def refused(self, delivery_id: int, error: DeliveryError, now: float) -> None:
        """Note that a delivery failed, for no fault of its own."""
        if self._since is None:
            self._since = now
            self._stir()
            if now - self._warned_at >= _REPEAT_WARNING:
                self._warned_at = now
                logger.warning(
                    "channel %r refuses (%s); deliveries wait and are tried again",
                    self._name,
                    error,
                )
        self._reason = error.reason
        self._deliveries.add(delivery_id)

    def failed_for_good(self) -> None:
        """Note that a delivery ended as failed, of which the others are to hear."""
        self._alert = True

    def request_failed(self, error: DeliveryError) -> None:
        """Note that one request failed, however many deliveries it held."""
        if self.failing and not error.body_refused:
            self._streak += 1
        if self.probing and not self.off and not self._broken_said:
            self._broken_said = True
            logger.warning(
                "channel %r: nothing goes through; one delivery at a time is tried now", self._name
            )
        self._metrics.breaker(self.probing and not self.off)

    def delivered(self, at: float) -> float | None:
        """Note a success of an attempt begun at `at`.

        Where it ends an outage, returns the moment such that everything last attempted before it is due now.
        """
        if self._since is None:
            return None
        # One delivery that keeps failing among others that go through is no outage: it is hastened no more often than
        # it would be tried early.
        outage = len(self._deliveries) > 1 and at - self._since >= OUTAGE_AT_LEAST
        restarted = not self._deliveries
        self._since = None
        self._streak = 0
        self._deliveries.clear()
        self._broken_said = False
        self._metrics.breaker(False)
        self._stir()
        return at if outage or restarted else at - EARLY_EVERY

    def clock_jumped(self, seconds: float) -> None:
        """Note a jump of the wall clock: the channel has failed for as long as before."""
        if self._since is not None:
            self._since += seconds

    # What is stored and told

    async def pause(self, reason: str) -> None:
        """Hold the channel until `release`, over restarts too."""
        hold = Suspension(
            channel=self._name, kind=SuspensionKind.PAUSED, reason=reason, since=self._wall()
        )
        await self._store.suspend(hold, None, None)
        self._hold = hold
        self._metrics.held(hold.kind)
        logger.info("channel %r is paused: %s", self._name, reason)

    async def release(self) -> None:
        """Hold the channel no more."""
        await self._store.lift_suspension(self._name)
        if self._hold is not None:
            logger.info("channel %r is resumed", self._name)
        self._hold = self._stopped_by = None
        self._off_from = self._wall()
        self._metrics.held(None)

    async def tend_hold(self) -> bool:
        """Hold or release the channel where what happened calls for it; returns whether it was released."""
        if self._stopped_by is not None:
            await self._stop(
                SuspensionKind.STOPPED,
                str(self._stopped_by),
                f"`watcher channels resume {self._name}`",
            )
        elif self._hold is None and self._since is not None:
            if self._wall() - max(self._since, self._off_from) >= self._off_after:
                reason = (
                    f"for {self._off_after / 86400:g} days nothing but failures ({self._reason})"
                )
                await self._stop(
                    SuspensionKind.OFF, reason, "one that is tried now and then goes through"
                )
        elif self.off and self._since is None:
            await self.release()
            return True
        return False

    async def _stop(self, kind: SuspensionKind, reason: str, until: str) -> None:
        now = self._wall()
        hold = Suspension(channel=self._name, kind=kind, reason=reason, since=now)
        trouble = Outage(subject=self._subject, since=self._since or now, alerted_at=now)
        await self._store.suspend(hold, await self._about("channel.stopped", trouble, now), trouble)
        self._hold, self._trouble, self._stopped_by = hold, trouble, None
        self._alert = False
        self._metrics.held(hold.kind)
        self._tell()
        logger.error(
            "channel %r is %s: %s; everything waits until %s", self._name, hold.kind, reason, until
        )

    async def bound_queue(self) -> None:
        """Let the oldest deliveries fail where too many wait for a channel that is held."""
        if self._hold is None or anyio.current_time() - self._bounded_at < _BOUND_EVERY:
            return
        self._bounded_at = anyio.current_time()
        why = f"more than {self._held_most} waited while the channel was {self._hold.kind}"
        if failed := await self._store.trim_pending(self._name, self._held_most, why):
            self._metrics.overflowed(failed)
            logger.error(
                "channel %r: the %d oldest deliveries have failed: %s", self._name, failed, why
            )

    async def tend_trouble(self) -> None:
        """Store and tell, once each, that the channel refuses and that it takes events again."""
        now = self._wall()
        if self._since is not None or self._alert:
            await self._tend_failing(now)
        elif self._trouble is not None:
            event = None
            if self._trouble.alerted_at is not None:
                event = await self._about("channel.recovered", self._trouble, now)
                logger.info("channel %r takes events again", self._name)
            await self._store.record_outage(event, None, recovered=self._subject)
            self._trouble = None
            self._tell()

    async def _tend_failing(self, now: float) -> None:
        since = now if self._since is None else self._since
        known = self._trouble or Outage(subject=self._subject, since=since)
        if known.alerted_at is None and (self._alert or now >= since + self._settings.alert_after):
            known = replace(known, alerted_at=now)
            await self._store.record_outage(await self._about("channel.failing", known, now), known)
            self._tell()
        elif self._trouble is None:
            await self._store.record_outage(None, known)
        self._trouble = known
        self._alert = False

    async def _about(self, kind: str, trouble: Outage, now: float) -> Event:
        pending = next(
            (one.pending for one in await self._store.outbox() if one.channel == self._name), 0
        )
        told: dict[str, object] = {
            "channel": self._name,
            "reason": self._reason,
            "since": rfc3339(trouble.since),
            "pending": pending,
        }
        return self._notice(kind, at=now, data=told, subject=self._subject)
