"""Whether an upstream answers: one state per source, so that an outage is reported once, not per
task.

Time is passed in, in monotonic seconds. The rules:

- Down after `unreachable_after` seconds in which no request taught anything about any task, with at
  least three failures; whatever the answers were. A `Retry-After` beyond `unreachable_after` counts
  as enough failures. Then one probe every 30 s.
- 401 means an invalid key: down at once.
- A 404 that the API itself wrote is an answer. While more than half of at least five watches get
  it, however, the source is wrong (another cluster, another account): none of its tasks may be
  called lost. The source counts as down, with reason `not_found`, once that has lasted for
  `unreachable_after`, or once a task would otherwise be called lost. It still answers, so polling
  goes on.
"""

from watcher.core.errors import SourceError, SourceFailure

PROBE_INTERVAL = 30.0
"""Seconds between two requests to an upstream that does not answer."""

_MIN_FAILURES = 3
_MIN_WATCHES = 5


class Reachability:
    """Starts as up. Each method returns whether the source went down or came back with it."""

    def __init__(self, unreachable_after: float) -> None:
        self._unreachable_after = unreachable_after
        self._failures = 0
        self._last_failure: SourceFailure | None = None
        self._failing_since: float | None = None
        self._mostly_unknown_since: float | None = None
        self._unanswered_reason: SourceFailure | None = None
        self._wrong = False

    @property
    def reason(self) -> SourceFailure | None:
        """Why the source is down; None while it is up."""
        return SourceFailure.NOT_FOUND if self._wrong else self._unanswered_reason

    @property
    def since(self) -> float | None:
        """Since when the source has failed, or most tasks have been unknown; None while neither
        holds.
        """
        moments = (self._failing_since, self._mostly_unknown_since)
        return min((moment for moment in moments if moment is not None), default=None)

    @property
    def failing_since(self) -> float | None:
        """Since when every request has taught nothing; None while there is no failure."""
        return self._failing_since

    @property
    def answering(self) -> bool:
        """Whether requests are answered; while they are not, only probes make sense."""
        return self._unanswered_reason is None

    @property
    def mostly_unknown(self) -> bool:
        """Whether upstream does not know most watches now, so that none of them may be called
        lost.
        """
        return self._mostly_unknown_since is not None

    def succeeded(self) -> bool:
        """Note an answer about any task."""
        was_down = self.reason is not None
        self._failures = 0
        self._last_failure = None
        self._failing_since = None
        self._unanswered_reason = None
        return was_down and self.reason is None

    def failed(self, error: SourceError, now: float) -> bool:
        """Note a request that taught nothing about any task."""
        self._failures += 1
        if error.retry_after is not None and error.retry_after > self._unreachable_after:
            self._failures = max(self._failures, _MIN_FAILURES)
        if self._failing_since is None:
            self._failing_since = now
        self._last_failure = error.reason
        return self._went_down(now)

    def review(self, now: float) -> bool:
        """Note that time has passed: no request may be sent while upstream demands a pause."""
        return self._went_down(now)

    def unknown(self, missing: int, watches: int, now: float) -> bool:
        """Note how many of all active watches upstream does not know."""
        was_wrong = self._wrong
        if watches < _MIN_WATCHES or missing * 2 <= watches:
            self._mostly_unknown_since = None
            self._wrong = False
        elif self._mostly_unknown_since is None:
            self._mostly_unknown_since = now
        elif now - self._mostly_unknown_since >= self._unreachable_after:
            self._wrong = True
        return self._wrong != was_wrong

    def suspected(self) -> bool:
        """Note that a task would be called lost now if most others were not unknown as well."""
        was_wrong, self._wrong = self._wrong, True
        return not was_wrong

    def _went_down(self, now: float) -> bool:
        if self._last_failure is None or not self.answering:
            return False
        invalid_key = self._last_failure is SourceFailure.UNAUTHORIZED
        if not invalid_key and not self._failed_long_enough(now):
            return False
        was_up = self.reason is None
        self._unanswered_reason = self._last_failure
        return was_up

    def _failed_long_enough(self, now: float) -> bool:
        return (
            self._failures >= _MIN_FAILURES
            and self._failing_since is not None
            and now - self._failing_since >= self._unreachable_after
        )
