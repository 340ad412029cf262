"""What follows from an answer, or from none: the next poll of each task, and the steps to
record.
"""

import logging
from collections.abc import Callable, Collection, Sequence

import anyio

from watcher.core.clock import ClockJumpDetector
from watcher.core.errors import SourceError, SourceFailure
from watcher.core.log_fields import about
from watcher.core.tasks import (
    TERMINAL_STATUSES,
    Answer,
    NotInPage,
    Observation,
    TaskNotFound,
    TaskUnreadable,
)
from watcher.polling.absence import AbsenceJudge, Verdict
from watcher.polling.context import PollingContext
from watcher.polling.outage import SourceOutage
from watcher.polling.recorder import PendingStep
from watcher.polling.regressions import Regressions
from watcher.polling.rejected_tasks import RejectedTasks
from watcher.polling.schedule import Outcome
from watcher.polling.transitions import Step, step
from watcher.polling.watchlist import TrackedTask, TrackedTasks
from watcher.telemetry.throttle import LogThrottle

logger = logging.getLogger(__name__)

_WITHOUT_CHANGE = frozenset({Step.UNCHANGED, Step.STILL_MISSING})


class AnswerProcessor:
    """Compares answers with the tracked tasks of one source. `list_works` says whether lists are
    polled.
    """

    def __init__(
        self,
        context: PollingContext,
        *,
        tasks: TrackedTasks,
        absences: AbsenceJudge,
        outage: SourceOutage,
        log_throttle: LogThrottle,
        list_works: Callable[[], bool],
    ) -> None:
        self._context = context
        self._tasks = tasks
        self._absences = absences
        self._outage = outage
        self._log_throttle = log_throttle
        self._list_works = list_works
        self._regressions = Regressions()
        self._rejected = RejectedTasks(context, tasks, outage)
        self._clock_jumps = ClockJumpDetector(context.wall, anyio.current_time)

    def process(
        self, waiting: dict[str, TrackedTask], answers: Sequence[Answer]
    ) -> Sequence[PendingStep]:
        """Take answered tasks out of `waiting`, schedule their next polls, and return the steps to
        record.
        """
        now = anyio.current_time()
        self._clock_jumps.observe()
        if logger.isEnabledFor(logging.DEBUG):
            self._log_polls(answers)
        unchanged: list[TrackedTask] = []
        pending: list[PendingStep] = []
        unreadable: list[TaskUnreadable] = []
        not_in_page = 0
        for answer in answers:
            task = waiting.pop(answer.task_id, None)
            if task is None or task.removed:
                not_in_page += isinstance(answer, NotInPage)
            elif (
                type(answer) is Observation
                and answer.status == (known := task.known).status
                and known.steady
            ):
                # The usual case, so it is tested first.
                task.answered_at = now
                task.not_in_page = False
                unchanged.append(task)
            elif isinstance(answer, NotInPage):
                not_in_page += 1
                task.not_in_page = True
                self._tasks.single.add(task, Outcome.NOT_IN_PAGE, now)
            elif isinstance(answer, TaskUnreadable):
                unreadable.append(answer)
                pending += self._rejected.unreadable(task, answer, now)
            elif (found := self._step(task, answer, now)) is not None:
                pending.append(found)
        self._tasks.unchanged(unchanged, now)
        self._note_answers(len(answers) - not_in_page - len(unreadable), unreadable)
        self._review_absences(now)
        return pending

    def unanswered(
        self, tasks: Collection[TrackedTask], error: SourceError, *, individually: bool
    ) -> Sequence[PendingStep]:
        """Schedule the next polls after a failed request; return the steps to record.

        `individually` says that the request was for one task alone.
        """
        now = anyio.current_time()
        was_up = self._outage.reason is None
        self._outage.failed(error)
        still_up = was_up and self._outage.reason is None
        if still_up and self._log_throttle.ready(error.reason):
            logger.warning(
                "request to source %r failed (%s); will retry",
                self._context.source_name,
                error,
                extra=about(
                    source=self._context.source_name,
                    task_id=next(iter(tasks)).task_id if individually else None,
                ),
            )
        if logger.isEnabledFor(logging.DEBUG):
            self._log_failed_polls(tasks, error)
        if individually:
            return [step for task in tasks for step in self._rejected.failed(task, error, now)]
        if error.reason is SourceFailure.REJECTED:
            self._tasks.slow_down(tasks, now)
        else:
            self._tasks.reschedule(tasks, now)
        return []

    def _log_polls(self, answers: Sequence[Answer]) -> None:
        source = self._context.source_name
        for answer in answers:
            shown = answer.status if isinstance(answer, Observation) else type(answer).__name__
            fields = about(source=source, task_id=answer.task_id)
            logger.debug("polled task %r: %s", answer.task_id, shown, extra=fields)

    def _log_failed_polls(self, tasks: Collection[TrackedTask], error: SourceError) -> None:
        source = self._context.source_name
        for task in tasks:
            fields = about(source=source, task_id=task.task_id)
            logger.debug("the poll of task %r failed: %s", task.task_id, error, extra=fields)

    def forget(self, task_id: str) -> None:
        """Forget what was noted of a task that is not watched any more."""
        self._regressions.forget(task_id)
        self._rejected.forget(task_id)

    def _step(
        self, task: TrackedTask, answer: Observation | TaskNotFound, now: float
    ) -> PendingStep | None:
        """Return the step to record; None if nothing follows (yet)."""
        task.answered_at = now
        self._rejected.forget(task.task_id)
        individually = task.not_in_page or not self._list_works()
        task.not_in_page = False
        missing = isinstance(answer, TaskNotFound)
        if not task.lost or not missing:
            self._absences.observe(task.task_id, known=not missing)
        found = self._found(task, answer, now)
        if found is None:
            return None
        if found in _WITHOUT_CHANGE:
            task.settle()
            self._tasks.reschedule([task], now)
            return None
        if missing and not individually:
            # The list may still show it; until both endpoints agree, nothing follows.
            self._tasks.common.add(task, Outcome.NOT_IN_PAGE, now)
            return None
        return PendingStep(task, found, answer if isinstance(answer, Observation) else None)

    def _found(
        self, task: TrackedTask, answer: Observation | TaskNotFound, now: float
    ) -> Step | None:
        """Return what an answer means; None while it is in doubt, and polled again soon."""
        lost_after = self._context.polling.lost_after
        found = step(task, answer, now=self._context.wall(), lost_after=lost_after)
        if found is Step.LOST and not self._is_lost(now):
            return Step.STILL_MISSING
        if (
            found is Step.TRANSITION
            and isinstance(answer, Observation)
            and not task.lost
            and answer.status in task.shown
            and not self._believes(task, answer.status, now)
        ):
            return None
        # A status that is known or new ends the doubt: an earlier one begins another.
        self._regressions.forget(task.task_id)
        if found is Step.UNCHANGED and _has_not_run_again(task, now - lost_after):
            return Step.ENDED
        return found

    def _believes(self, task: TrackedTask, status: str, now: float) -> bool:
        """Return whether a task has gone back to an earlier status; poll it again if in doubt."""
        if self._regressions.believes(task.task_id, status, now):
            return True
        task.steady = False
        self._tasks.common.add(task, Outcome.IN_DOUBT, now)
        return False

    def _note_answers(self, learnt: int, unreadable: Sequence[TaskUnreadable]) -> None:
        if learnt:
            self._outage.answered(learnt)
        elif unreadable:
            self._outage.failed(SourceError(SourceFailure.PROTOCOL, unreadable[0].reason))

    def _is_lost(self, now: float) -> bool:
        self._review_absences(now)
        verdict = self._absences.verdict(now, clock_steady_since=self._clock_jumps.steady_since)
        if verdict is Verdict.SOURCE_SUSPECT:
            self._outage.suspect()
        return verdict is Verdict.LOST

    def _review_absences(self, now: float) -> None:
        if self._absences.review(len(self._tasks), now):
            self._outage.report()


def _has_not_run_again(task: TrackedTask, before: float) -> bool:
    return (
        task.reopened_at is not None
        and task.reopened_at < before
        and task.status in TERMINAL_STATUSES
    )
