"""Mentions people once per storm, not with each of its messages."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from watcher.core.routing import matches

QUIET = 600.0
"""Seconds without a message to mention for, after which a storm is over."""
AGAIN_AFTER = 3600.0
"""Seconds after which a storm that is not over is mentioned again."""


class Mentions:
    """What one channel mentions, and for which event types.

    Events about tasks, sources and channels are storms of their own. `now` is a monotonic clock. A
    restart begins a new storm.
    """

    def __init__(self, mention: str | None, types: Sequence[str], now: Callable[[], float]) -> None:
        self._mention = mention
        self._types = types
        self._now = now
        self._last: dict[str, float] = {}
        self._mentioned: dict[str, float] = {}

    @contextmanager
    def of(self, event_types: Sequence[str]) -> Iterator[str | None]:
        """Yield what a message about events of these types mentions, None for nothing.

        If the message cannot be sent, the next one mentions it.
        """
        matching = (kind for kind in event_types if matches(self._types, kind))
        subjects = {kind.partition(".")[0] for kind in matching}
        if self._mention is None or not subjects:
            yield None
            return
        now = self._now()
        due = [subject for subject in subjects if self._is_due(subject, now)]
        self._last |= dict.fromkeys(subjects, now)
        self._mentioned |= dict.fromkeys(due, now)
        try:
            yield self._mention if due else None
        except BaseException:
            for subject in due:
                self._mentioned.pop(subject, None)
            raise

    def _is_due(self, subject: str, now: float) -> bool:
        last, mentioned = self._last.get(subject), self._mentioned.get(subject)
        if last is None or mentioned is None:
            return True
        return now - last >= QUIET or now - mentioned >= AGAIN_AFTER
