"""What is said of a source that is down: in the log, in the metrics, and as one event each way, over restarts too."""

import logging
from collections.abc import Callable

import anyio

from watcher.core.clock import Clock, rfc3339
from watcher.core.errors import SourceError, SourceFailure
from watcher.core.events import Event, SystemEventFactory
from watcher.core.interfaces.store import Store
from watcher.core.outage import Outage
from watcher.polling.reachability import PROBE_INTERVAL, Reachability
from watcher.telemetry.metrics import SourceMetrics

logger = logging.getLogger(__name__)

_WRONG_SOURCE = (
    "it does not know most of the tasks it is asked for; check base_url and the key's account"
)


class SourceTrouble:
    """Notes how a source answers, and tells when that changes."""

    def __init__(
        self,
        *,
        source_name: str,
        unreachable_after: float,
        store: Store,
        notice: SystemEventFactory,
        metrics: SourceMetrics,
        wall: Clock,
        active_watches: Callable[[], int],
    ) -> None:
        self._name = source_name
        self._subject = f"source {source_name}"
        self._store = store
        self._notice = notice
        self._metrics = metrics
        self._wall = wall
        self._active_watches = active_watches
        self._reach = Reachability(unreachable_after)
        self._told: Outage | None = None
        self._last_reason: SourceFailure | None = None
        self.last_answer_at: float | None = None
        self.probe_at = 0.0

    @property
    def reason(self) -> SourceFailure | None:
        """Why the source counts as down; None while it is up."""
        return self._reach.reason

    @property
    def answering(self) -> bool:
        """Whether it makes sense to send more than a probe, not before `probe_at`."""
        return self._reach.answering

    @property
    def mostly_unknown(self) -> bool:
        """Whether most watches are unknown to upstream, so that none of them may be called lost."""
        return self._reach.mostly_unknown

    async def restore(self) -> None:
        """Take over what was told before a restart. Raises `StoreError`."""
        self._told = await self._store.outage(self._subject)

    def probing(self) -> None:
        """A request goes out: while the source is down, the next one may follow only after a while."""
        if not self.answering:
            self.probe_at = anyio.current_time() + PROBE_INTERVAL

    def answered(self, count: int) -> None:
        """Note an answer about `count` tasks."""
        self.last_answer_at = self._wall()
        self._metrics.observed(count, self.last_answer_at)
        if self._reach.succeeded():
            self._say("")

    def failed(self, error: SourceError) -> None:
        """Note a request that brought no answer."""
        now = anyio.current_time()
        if self._reach.failed(error, now):
            self.probe_at = now + PROBE_INTERVAL
            self._say(str(error))

    def unknown(self, missing: int, watches: int) -> None:
        """Note how many of how many active watches upstream does not know."""
        if self._reach.unknown(missing, watches, anyio.current_time()):
            self._say(_WRONG_SOURCE)

    def blamed(self) -> None:
        """Note that a task would be called lost by now, were it not that most others are unknown, too."""
        if self._reach.blamed():
            self._say(_WRONG_SOURCE)

    async def tell(self) -> bool:
        """Store what has to be told; returns whether there was anything.

        Raises `StoreError`; then it is told with the next call.
        """
        known = self._told
        try:
            if self.reason is not None and known is None:
                await self._tell_unreachable()
            elif (
                known is not None and self._reach.since is None and self.last_answer_at is not None
            ):
                self._told = None
                event = self._about("source.recovered", known, self._wall())
                await self._store.record_outage(event, None, recovered=self._subject)
            else:
                return False
        except BaseException:
            self._told = known
            raise
        return True

    async def _tell_unreachable(self) -> None:
        now = self._wall()
        began = self._reach.since
        failing_for = 0.0 if began is None else anyio.current_time() - began
        # Known before it is stored, for another answer may come meanwhile.
        self._told = Outage(subject=self._subject, since=now - failing_for, alerted_at=now)
        self._last_reason = self.reason
        await self._store.record_outage(
            self._about("source.unreachable", self._told, now), self._told
        )

    def _about(self, kind: str, trouble: Outage, now: float) -> Event:
        told: dict[str, object] = {
            "source": self._name,
            "reason": self._last_reason,
            "since": rfc3339(trouble.since),
            "active_watches": self._active_watches(),
        }
        return self._notice(kind, at=now, data=told, subject=self._subject)

    def _say(self, why: str) -> None:
        down = self.reason
        self._metrics.up(down is None)
        if down is None:
            logger.info("source %r answers again", self._name)
        elif down is SourceFailure.UNAUTHORIZED:
            logger.error(
                "source %r refuses the API key (%s); put a valid one in api_key", self._name, why
            )
        else:
            logger.error("source %r is down, reason %s: %s", self._name, down, why)
