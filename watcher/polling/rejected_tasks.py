"""Tasks whose own requests fail permanently while the source answers for others.

Nothing of it is stored: after a restart each task gets its full time again.
"""

import logging
from collections.abc import Sequence

from watcher.core.durations import format_duration
from watcher.core.errors import SourceError, SourceFailure
from watcher.core.log_fields import about
from watcher.core.tasks import TaskUnreadable
from watcher.core.texts import REASON_LIMIT, cut
from watcher.polling.context import PollingContext
from watcher.polling.outage import SourceOutage
from watcher.polling.recorder import PendingStep
from watcher.polling.transitions import Step
from watcher.polling.watchlist import TrackedTask, TrackedTasks

logger = logging.getLogger(__name__)

_REJECTED = frozenset({SourceFailure.REJECTED, SourceFailure.FORBIDDEN, SourceFailure.NOT_FOUND})
"""Failures by which upstream says that this request will never succeed."""
_ABOUT_ONE_TASK = _REJECTED | {SourceFailure.UNAVAILABLE, SourceFailure.PROTOCOL}
"""Failures that may be due to the task of the request."""

_CAUSE = REASON_LIMIT - 50  # the rest of the reason says for how long


class RejectedTasks:
    """The rejected tasks of one source, each with the monotonic time of its first rejection."""

    def __init__(self, context: PollingContext, tasks: TrackedTasks, outage: SourceOutage) -> None:
        self._context = context
        self._tasks = tasks
        self._outage = outage
        self._since: dict[str, float] = {}

    def failed(self, task: TrackedTask, error: SourceError, now: float) -> Sequence[PendingStep]:
        """Schedule a task whose own request failed; return its loss, if that has lasted."""
        if error.reason not in _ABOUT_ONE_TASK:
            self._tasks.reschedule([task], now)
            return []
        return self._rejected(
            task, f"upstream has rejected the request for it ({error})", error.reason, now
        )

    def unreadable(
        self, task: TrackedTask, answer: TaskUnreadable, now: float
    ) -> Sequence[PendingStep]:
        """Schedule a task of which the status cannot be read; return its loss, if that has lasted.

        Logs it once.
        """
        if task.task_id not in self._since:
            logger.warning(
                "source %r: the status of task %r cannot be read: %s; polling it further",
                self._context.source_name,
                task.task_id,
                answer.reason,
                extra=about(source=self._context.source_name, task_id=task.task_id),
            )
        cause = f"its status could not be read ({answer.reason})"
        return self._rejected(task, cause, SourceFailure.PROTOCOL, now)

    def forget(self, task_id: str) -> None:
        """Note that a task was answered for, or is not watched any more."""
        self._since.pop(task_id, None)

    def _rejected(
        self, task: TrackedTask, cause: str, reason: SourceFailure, now: float
    ) -> Sequence[PendingStep]:
        if self._outage.reason is not None:
            self._since.clear()  # the source fails, whatever the task
        since = self._since.setdefault(task.task_id, now)
        task.steady = False
        lasted = now - since
        if (
            not task.lost
            and lasted > self._context.polling.lost_after
            and self._is_alone_in_this(reason, since)
        ):
            return [
                PendingStep(
                    task, Step.LOST, reason=f"{cut(cause, _CAUSE)} for {format_duration(lasted)}"
                )
            ]
        if reason in _REJECTED and not task.lost:
            self._tasks.slow_down([task], now)
        else:
            self._tasks.reschedule([task], now)
        return []

    def _is_alone_in_this(self, reason: SourceFailure, since: float) -> bool:
        """Return whether the source has answered for other tasks since, or has no others."""
        learnt_at = self._outage.learnt_at
        if self._outage.reason is not None:
            return False
        if learnt_at is not None and learnt_at > since:
            return True
        return reason in _REJECTED and len(self._tasks) == 1
