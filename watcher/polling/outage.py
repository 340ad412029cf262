"""The outage of a source: logged, in the metrics, and stored with one event each way, across
restarts.
"""

import logging
from collections.abc import Callable

import anyio

from watcher.core.clock import rfc3339
from watcher.core.errors import SourceError, SourceFailure
from watcher.core.event_bodies import SourceData
from watcher.core.events import Event
from watcher.core.log_fields import about
from watcher.core.outage import Outage, OutageAction, OutageStep, next_step, restored
from watcher.polling.context import PollingContext
from watcher.polling.reachability import PROBE_INTERVAL, Reachability

logger = logging.getLogger(__name__)

_WRONG_SOURCE = (
    "upstream does not know most watched tasks; check base_url and the account of the key"
)


class SourceOutage:
    """Notes how a source answers. `store_changes` stores when an outage begins and ends.

    `last_answer_at` (Unix time) and `learnt_at` (monotonic) are when an answer last taught
    something about a task, `last_error` and `last_error_at` (Unix time) are of the last request
    that taught nothing. `probes` counts the requests to a source that does not answer.
    """

    def __init__(
        self,
        context: PollingContext,
        reachability: Reachability,
        active_watches: Callable[[], int],
    ) -> None:
        self._context = context
        self._subject = f"source {context.source_name}"
        self._reachability = reachability
        self._active_watches = active_watches
        self._stored: Outage | None = None
        self._last_reason: SourceFailure | None = None
        self._cause = ""
        self._status: int | None = None
        self.last_answer_at: float | None = None
        self.learnt_at: float | None = None
        self.last_error: str | None = None
        self.last_error_at: float | None = None
        self.probe_at = 0.0
        self.probes = 0
        self._takes_over = False

    @property
    def reason(self) -> SourceFailure | None:
        """Why the source is down; None while it is up."""
        return self._reachability.reason

    @property
    def since(self) -> float | None:
        """Since when the source has been down, in Unix seconds; None while it is up."""
        if self.reason is None:
            return None
        if self._stored is not None:
            return self._stored.since
        began = self._reachability.since
        return self._context.wall() - (0.0 if began is None else anyio.current_time() - began)

    @property
    def answering(self) -> bool:
        """Whether requests are answered. If not, one probe may go out from `probe_at` on."""
        return self._reachability.answering

    def silent(self, behind: float) -> float:
        """Return for how many seconds nothing was learnt although a poll was due; `behind` is how
        many seconds the most overdue one is late.
        """
        now, failing_since = anyio.current_time(), self._reachability.failing_since
        overdue = max(behind, 0.0 if failing_since is None else now - failing_since)
        return overdue if self.learnt_at is None else min(overdue, now - self.learnt_at)

    async def restore(self) -> None:
        """Read the outage that was stored before a restart. Raises `StoreError`."""
        stored = await self._context.store.outage(self._subject)
        self._stored = restored(stored, self._context.wall())

    def take_over(self) -> None:
        """Continue an outage that another process has stored, some of whose tasks it polled."""
        self._takes_over = True

    def request_sent(self) -> None:
        """Note a request: while the source is down, the next one follows after `PROBE_INTERVAL`."""
        if not self.answering:
            self.probe_at = anyio.current_time() + PROBE_INTERVAL
            self.probes += 1

    def answered(self, count: int) -> None:
        """Note an answer that taught something about `count` tasks; 0 for a list of others."""
        is_first = self.last_answer_at is None
        self.last_answer_at = self._context.wall()
        self.learnt_at = anyio.current_time()
        if count:
            self._context.metrics.observed(count, self.last_answer_at)
        recovered = self._reachability.succeeded()
        if recovered:
            self.report("")
        elif is_first:
            self._context.metrics.reachable(self.reason)

    def failed(self, error: SourceError) -> None:
        """Note a request that taught nothing about any task."""
        now = anyio.current_time()
        self._cause, self._status = str(error), error.status
        self.last_error, self.last_error_at = self._cause, self._context.wall()
        self._note_failure(self._reachability.failed(error, now), now)

    def review(self) -> bool:
        """Note that time has passed; return whether the source went down with it."""
        now = anyio.current_time()
        went_down = self._reachability.review(now)
        self._note_failure(went_down, now)
        return went_down

    def _note_failure(self, went_down: bool, now: float) -> None:
        if went_down:
            self.probe_at = now + PROBE_INTERVAL
            self.report(self._cause)

    def suspect(self) -> None:
        """Note that the source, not a missing task, is wrong."""
        if self._reachability.suspected():
            self._cause, self._status = _WRONG_SOURCE, None
            self.report(_WRONG_SOURCE)

    def report(self, cause: str = _WRONG_SOURCE) -> None:
        """Log whether the source is up or down, and show it in the metrics."""
        reason, name = self.reason, self._context.source_name
        self._context.metrics.reachable(reason)
        if reason is None:
            logger.info("source %r recovered", name, extra=about(source=name))
        elif reason is SourceFailure.UNAUTHORIZED:
            logger.error(
                "source %r rejects the API key (%s); set a valid api_key",
                name,
                cause,
                extra=about(source=name),
            )
        else:
            logger.error(
                "source %r is down, reason %s: %s", name, reason, cause, extra=about(source=name)
            )

    async def store_changes(self) -> bool:
        """Store the beginning or the end of an outage with its event; return whether there was one.

        Raises `StoreError`; the next call then tries again.
        """
        if self._takes_over:
            await self.restore()
            self._takes_over = False
        now = self._context.wall()
        step = self._next_step(now)
        if step is None:
            return False
        before, closed = self._stored, step.action is OutageAction.CLOSE
        if not closed:
            self._last_reason = self.reason
        # Set before it is stored, because another answer may arrive meanwhile.
        self._stored = None if closed else step.outage
        try:
            kind = "source.recovered" if closed else "source.unreachable"
            event = self._event(kind, step.outage, now)
            announced = await self._context.store.record_outage(
                event, self._stored, recovered=self._subject if closed else None
            )
        except BaseException:
            self._stored = before
            raise
        if announced:
            self._context.metrics.event_stored(kind)
        return True

    def _next_step(self, now: float) -> OutageStep | None:
        began = self._reachability.since
        if self.reason is None:
            if began is not None or self.last_answer_at is None:
                return None  # neither up nor down yet
            failing_since = None
        else:
            failing_since = now - (0.0 if began is None else anyio.current_time() - began)
        return next_step(
            self._stored,
            subject=self._subject,
            failing_since=failing_since,
            alert_due=True,
            now=now,
        )

    def _event(self, kind: str, outage: Outage, now: float) -> Event:
        return self._context.system_event(
            kind,
            at=now,
            data=SourceData(
                source=self._context.source_name,
                reason=self._last_reason,
                status=self._status,
                error=self._cause or None,
                since=rfc3339(outage.since),
                active_watches=self._active_watches(),
            ),
            subject=self._subject,
        )
