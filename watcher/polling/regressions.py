"""Statuses that go back: replicas of upstream may disagree. Pure: time is an argument.

A status that this run of the task has shown before is believed only when upstream shows it twice in
a row, at least `CONFIRM_AFTER` seconds apart. So replicas that alternate are one change, not many.

Times are monotonic seconds.
"""

CONFIRM_AFTER = 2.0
"""Seconds after which a status in doubt is polled again."""


class Regressions:
    """The statuses in doubt, by task ID."""

    def __init__(self) -> None:
        self._doubts: dict[str, tuple[str, float]] = {}

    def believes(self, task_id: str, status: str, now: float) -> bool:
        """Note that a task shows an earlier status; return whether it has done so long enough."""
        doubted, since = self._doubts.get(task_id, (status, now))
        if doubted == status and now - since >= CONFIRM_AFTER:
            self.forget(task_id)
            return True
        self._doubts[task_id] = (status, since if doubted == status else now)
        return False

    def forget(self, task_id: str) -> None:
        """Note that a task shows what is known of it, or is not watched any more."""
        self._doubts.pop(task_id, None)
