"""How requests for changes and pages of tasks share the budget of the list.

While requests for changes cover the tasks and none of them is late, one request of six is a page,
which confirms; one of four while a just-changed task is due, one of two while a new one is.

Otherwise pages have the budget, and one request of six tries whether changes work. After one that
failed, the next one waits until pages have polled all tasks, or until thirty of them were sent: so
changes are noticed at most one request later than by pages alone, or one in thirty. After one that
worked, one request of two is for changes, until they cover all tasks.

Without a budget there is nothing to share.
"""

from watcher.polling.watchlist import TrackedTasks

_CHANGES_PER_CONFIRMATION = 5
_CHANGES_PER_CHANGED = 3
_CHANGES_PER_NEW = 1
_PAGES_PER_TRIAL = 5
_MOST_PAGES_PER_TRIAL = 30
_PAGES_PER_CHANGES = 1
_LATE = 2.0
"""Seconds after which an answer is late, so that pages are requested meanwhile."""

CONFIRMATION_SHARE = _CHANGES_PER_CONFIRMATION + 1
"""Of so many requests one is left for confirmations."""


class BudgetShares:
    """The requests of one source since the last one of the other kind.

    `limited` is whether there is a budget, `all_pages` how many pages hold all tasks,
    `changes_wait` whether changes could be requested now, and `changes_in_flight` how many requests
    for changes are not answered in full.
    """

    def __init__(self, tasks: TrackedTasks) -> None:
        self._tasks = tasks
        self._pages = 0
        self._changes = 0
        self.limited = False
        self.all_pages = 1
        self.changes_wait = False
        self.changes_in_flight = 0
        self._unanswered: list[float] = []
        self._late = False
        self._worked = self._failed = False

    @property
    def covered(self) -> bool:
        """Whether requests for changes cover the tasks, and are answered soon."""
        return self._tasks.last_seen.covered and not self._late

    @property
    def trusted(self) -> bool:
        """Whether the last request for changes has worked, and none is late."""
        return self._worked and not self._late

    def page_sent(self) -> None:
        self._pages += 1
        self._changes = 0

    def changes_sent(self, at: float) -> None:
        self._changes += 1
        self._pages = 0
        self.changes_in_flight += 1
        self._unanswered.append(at)

    def changes_answered(self, sent_at: float) -> None:
        """Note that the first part of an answer has arrived."""
        if sent_at in self._unanswered:
            self._unanswered.remove(sent_at)

    def changes_ended(self, sent_at: float, *, worked: bool) -> None:
        """Note the end of a request, and whether it worked."""
        self.changes_answered(sent_at)
        self.changes_in_flight -= 1
        self._worked, self._failed = worked, not worked

    def review(self, now: float) -> bool:
        """Note that time has passed; return whether an answer has become late with it."""
        was_late = self._late
        self._late = bool(self._unanswered) and now - min(self._unanswered) > _LATE
        return self._late and not was_late

    def allow_page(self, now: float) -> bool:
        """Return whether a page may be requested now."""
        if not (self.limited and self.changes_wait and self.covered):
            return True
        if not self._tasks.common.urgent(now):
            return self._changes >= _CHANGES_PER_CONFIRMATION
        few = _CHANGES_PER_NEW if self._tasks.unseen else _CHANGES_PER_CHANGED
        return self._changes >= few

    def allow_changes(self) -> bool:
        """Return whether changes may be requested now."""
        if not self.limited or self.covered:
            return True
        return self._pages >= self._pages_before_changes()

    def _pages_before_changes(self) -> int:
        if self.trusted:
            return _PAGES_PER_CHANGES
        if self._failed:
            return min(max(self.all_pages, _PAGES_PER_TRIAL), _MOST_PAGES_PER_TRIAL)
        return _PAGES_PER_TRIAL
