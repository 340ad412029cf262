"""What follows from an answer, or from none: the next poll of each task, and the steps to
record.
"""

import logging
from collections.abc import Callable, Collection, Sequence

import anyio

from watcher.core.clock import ClockJumpDetector
from watcher.core.errors import SourceError, SourceFailure
from watcher.core.tasks import Answer, NotInPage, Observation, TaskNotFound
from watcher.polling.absence import AbsenceJudge, Verdict
from watcher.polling.context import PollingContext
from watcher.polling.outage import SourceOutage
from watcher.polling.recorder import PendingStep
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
        self._clock_jumps = ClockJumpDetector(context.wall, anyio.current_time)

    def process(
        self, waiting: dict[str, TrackedTask], answers: Sequence[Answer]
    ) -> list[PendingStep]:
        """Take answered tasks out of `waiting`, schedule their next polls, and return the steps to
        record.
        """
        now = anyio.current_time()
        self._clock_jumps.observe()
        unchanged: list[TrackedTask] = []
        pending: list[PendingStep] = []
        not_in_page = 0
        for answer in answers:
            task = waiting.pop(answer.task_id, None)
            if task is None or task.removed:
                continue
            if _is_unchanged(task, answer):
                task.answered_at = now
                unchanged.append(task)
            elif isinstance(answer, NotInPage):
                not_in_page += 1
                task.not_in_page = True
                self._tasks.single.add(task, Outcome.NOT_IN_PAGE, now)
            elif (found := self._step(task, answer, now)) is not None:
                pending.append((task, answer, found))
        self._tasks.common.add_unchanged(unchanged, now)
        if len(answers) > not_in_page:
            self._outage.answered(len(answers) - not_in_page)
        self._review_absences(now)
        return pending

    def unanswered(self, tasks: Collection[TrackedTask], error: SourceError) -> None:
        """Schedule the next polls after a failed request."""
        now = anyio.current_time()
        if error.reason is SourceFailure.REJECTED:
            # Upstream answers and rejects this one request: only its tasks are polled more slowly.
            self._outage.answered(0)
            self._tasks.slow_down(tasks, now)
            return
        self._tasks.reschedule(tasks, now)
        was_up = self._outage.reason is None
        self._outage.failed(error)
        still_up = was_up and self._outage.reason is None
        if still_up and self._log_throttle.ready(error.reason):
            logger.warning(
                "request to source %r failed (%s); will retry", self._context.source_name, error
            )

    def _step(
        self, task: TrackedTask, answer: Observation | TaskNotFound, now: float
    ) -> Step | None:
        """Return the step to record; None if nothing follows (yet)."""
        task.answered_at = now
        individually = task.not_in_page or not self._list_works()
        task.not_in_page = False
        missing = isinstance(answer, TaskNotFound)
        if not task.lost or not missing:
            self._absences.observe(task.task_id, known=not missing)
        lost_after = self._context.polling.lost_after
        found = step(task, answer, now=self._context.wall(), lost_after=lost_after)
        if found is Step.LOST and not self._is_lost(now):
            found = Step.STILL_MISSING
        if found in _WITHOUT_CHANGE:
            self._tasks.reschedule([task], now)
            return None
        if missing and not individually:
            # The list may still show it; until both endpoints agree, nothing follows.
            self._tasks.common.add(task, Outcome.NOT_IN_PAGE, now)
            return None
        return found

    def _is_lost(self, now: float) -> bool:
        self._review_absences(now)
        verdict = self._absences.verdict(now, clock_steady_since=self._clock_jumps.steady_since)
        if verdict is Verdict.SOURCE_SUSPECT:
            self._outage.suspect()
        return verdict is Verdict.LOST

    def _review_absences(self, now: float) -> None:
        if self._absences.review(len(self._tasks), now):
            self._outage.report()


def _is_unchanged(task: TrackedTask, answer: Answer) -> bool:
    """Return whether an answer is what was known before: the usual case, so it is tested first."""
    return (
        type(answer) is Observation
        and answer.status == task.status
        and task.missing_since is None
        and not task.lost
    )
