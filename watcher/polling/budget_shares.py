"""How requests for changes and pages of tasks share the budget of the list.

While requests for changes cover the tasks, they have the budget, except for one page of every
six requests, which confirms; every fourth while a just-changed task is due, and every second while
a new one is. Otherwise pages have it, and every sixth request tries whether changes work.
What one of them does not use is left to the other; without a budget there is nothing to share.
"""

from watcher.polling.watchlist import TrackedTasks

_CHANGES_PER_CONFIRMATION = 5
_CHANGES_PER_CHANGED = 3
_CHANGES_PER_NEW = 1
_PAGES_PER_TRIAL = 5

CONFIRMATION_SHARE = _CHANGES_PER_CONFIRMATION + 1
"""Of so many requests one is left for confirmations."""


class BudgetShares:
    """The requests of one source since the last one of the other kind."""

    def __init__(self, tasks: TrackedTasks) -> None:
        self._tasks = tasks
        self._pages = 0
        self._changes = 0
        self.limited = False
        self.changes_wait = False

    def page_sent(self) -> None:
        self._pages += 1
        self._changes = 0

    def changes_sent(self) -> None:
        self._changes += 1
        self._pages = 0

    def allow_page(self, now: float) -> bool:
        """Return whether a page may be requested now."""
        if not (self.limited and self.changes_wait and self._tasks.last_seen.covered):
            return True
        if not self._tasks.common.urgent(now):
            return self._changes >= _CHANGES_PER_CONFIRMATION
        few = _CHANGES_PER_NEW if self._tasks.unseen else _CHANGES_PER_CHANGED
        return self._changes >= few

    def allow_changes(self, now: float) -> bool:
        """Return whether changes may be requested now."""
        if not self.limited or self._tasks.last_seen.covered:
            return True
        return self._pages >= _PAGES_PER_TRIAL or not self._tasks.common.due(now)
