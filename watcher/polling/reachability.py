"""Whether an upstream answers: one state for each source, so that trouble is said once and not a thousand times.

Time is passed in, in monotonic seconds. The rules:

- Down after `unreachable_after` seconds with at least three failures and no success; then one probe every 30 s.
- 401 means a bad key: down at once. 403 may be one task's: down only by the rule above.
- A 404 that the API itself wrote is an answer. While more than half of at least five watches get it, though, it is the
  source that is wrong (another cluster, another account): none of its tasks may be called lost. The source counts as
  down, with reason `not_found`, when that has lasted for `unreachable_after`, or when a task would be called lost by
  then. It still answers, so it is still asked.
- An answer that refuses one request (422) or asks for patience (429) is no sign of trouble.
"""

from watcher.core.errors import SourceError, SourceFailure

PROBE_INTERVAL = 30.0
"""Seconds between two questions to an upstream that does not answer."""

_FAILURES_AT_LEAST = 3
_WATCHES_AT_LEAST = 5
_NO_TROUBLE = frozenset({SourceFailure.REJECTED, SourceFailure.RATE_LIMITED})


class Reachability:
    """Starts up; every method returns whether the source went down or came back with it."""

    def __init__(self, unreachable_after: float) -> None:
        self._unreachable_after = unreachable_after
        self._failures = 0
        self._failing_since: float | None = None
        self._misdirected_since: float | None = None
        self._silent_for: SourceFailure | None = None
        self._wrong = False

    @property
    def reason(self) -> SourceFailure | None:
        """What took the source down; None while it is up."""
        return SourceFailure.NOT_FOUND if self._wrong else self._silent_for

    @property
    def since(self) -> float | None:
        """Since when the source has been failing, or unknown tasks have been most; None while neither is so."""
        moments = [
            moment
            for moment in (self._failing_since, self._misdirected_since)
            if moment is not None
        ]
        return min(moments, default=None)

    @property
    def answering(self) -> bool:
        """Whether requests are answered, so that it makes sense to send more than a probe."""
        return self._silent_for is None

    @property
    def mostly_unknown(self) -> bool:
        """Whether most watches are unknown to upstream right now, so that none of them may be called lost."""
        return self._misdirected_since is not None

    def succeeded(self) -> bool:
        """Note an answer about any task."""
        was_down = self.reason is not None
        self._failures = 0
        self._failing_since = None
        self._silent_for = None
        return was_down and self.reason is None

    def failed(self, error: SourceError, now: float) -> bool:
        """Note a request that brought no answer."""
        if error.reason in _NO_TROUBLE:
            return False
        self._failures += 1
        if self._failing_since is None:
            self._failing_since = now
        if not self.answering or not (
            error.reason is SourceFailure.UNAUTHORIZED or self._long_enough(now)
        ):
            return False
        was_up = self.reason is None
        self._silent_for = error.reason
        return was_up

    def unknown(self, missing: int, watches: int, now: float) -> bool:
        """Note how many of how many active watches upstream does not know."""
        was_wrong = self._wrong
        if watches < _WATCHES_AT_LEAST or missing * 2 <= watches:
            self._misdirected_since = None
            self._wrong = False
        elif self._misdirected_since is None:
            self._misdirected_since = now
        elif now - self._misdirected_since >= self._unreachable_after:
            self._wrong = True
        return self._wrong != was_wrong

    def blamed(self) -> bool:
        """Note that a task would be called lost by now, were it not that most others are unknown, too."""
        was_wrong, self._wrong = self._wrong, True
        return not was_wrong

    def _long_enough(self, now: float) -> bool:
        return (
            self._failures >= _FAILURES_AT_LEAST
            and self._failing_since is not None
            and now - self._failing_since >= self._unreachable_after
        )
