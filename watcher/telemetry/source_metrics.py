"""The metrics of one source, and of one discovery rule."""

import time
from collections import Counter as Tally
from collections.abc import Callable, Mapping
from functools import partial

from watcher.core.errors import SourceFailure
from watcher.core.interfaces.budgets import left_for
from watcher.core.tasks import KNOWN_STATUSES, TERMINAL_STATUSES
from watcher.core.texts import OTHER
from watcher.telemetry.event_counts import EventCounts
from watcher.telemetry.families import DiscoveryFamilies, PollingFamilies, RequestFamilies
from watcher.telemetry.request_rate import RequestRate
from watcher.telemetry.task_types import TaskTypeMetrics

OTHER_STATUS = "OTHER"
UNSEEN_STATUS = "UNSEEN"
"""The status label of a watch that was not observed yet."""

_CODES = ("200", "401", "404", "429", "500", "502", "503", "504", "timeout", "connect", "protocol")
"""Exported as 0 from the start, so that the first occurrence is an increase."""


class SourceMetrics:
    """The metrics of one source."""

    def __init__(
        self,
        source: str,
        polling: PollingFamilies,
        requests: RequestFamilies,
        task_types: TaskTypeMetrics,
        events: EventCounts,
    ) -> None:
        self._source = source
        self._requests = requests
        self.event_stored = events.stored
        self._rate = RequestRate(time.monotonic)
        self._budgets: dict[str, Callable[[], float]] = {}
        self._shared_left: Mapping[str, float] = {}
        self._source_up = polling.source_up
        self._task_types = task_types
        self._observations = polling.observations.labels(source)
        self._lag = polling.poll_lag.labels(source)
        self._behind = polling.poll_behind.labels(source)
        self._silent = polling.silent.labels(source)
        self._silent_limit = polling.silent_limit.labels(source)
        self._list_ids = polling.list_ids.labels(source)
        self._max_interval = polling.max_interval.labels(source)
        self._unmapped = polling.unmapped_statuses.labels(source)
        self._lost = polling.lost.labels(source)
        self._stalled = polling.stalled.labels(source)
        self._down = {
            reason: polling.source_down.labels(source, reason) for reason in SourceFailure
        }
        self._last_success = polling.last_success.labels(source)
        self._watches = {
            status: polling.watches.labels(source, status)
            for status in sorted(KNOWN_STATUSES - TERMINAL_STATUSES | {OTHER_STATUS, UNSEEN_STATUS})
        }
        self._transitions = {
            status: polling.transitions.labels(source, status)
            for status in (*sorted(KNOWN_STATUSES), OTHER_STATUS)
        }

    def requested(self, route: str, code: int | str, seconds: float) -> None:
        """Count a request; `code` is the HTTP status or `timeout`, `connect`, `protocol`."""
        self._rate.count()
        known = isinstance(code, str) or 100 <= code < 600
        self._requests.requests.labels(self._source, route, str(code) if known else OTHER).inc()
        self._requests.duration.labels(self._source, route).observe(seconds)

    def budget(
        self, route: str, remaining: Callable[[], float], hold: Callable[[], float] = lambda: 0.0
    ) -> None:
        """Export the budget of `route`; each scrape calls `remaining`, and `hold` for the seconds
        for which upstream has paused it.
        """
        for code in _CODES:
            self._requests.requests.labels(self._source, route, code)
        self._requests.duration.labels(self._source, route)
        self._requests.budget_remaining.labels(self._source, route).set_function(
            partial(self._remaining, route)
        )
        self._requests.hold.labels(self._source, route).set_function(hold)
        self._budgets[route] = remaining

    def _remaining(self, route: str) -> float:
        shared = left_for(self._source, route, self._shared_left)
        own = self._budgets[route]()
        return own if shared is None else min(own, shared)

    def shared_left(self, left: Mapping[str, float]) -> None:
        """Set how many requests the budgets hold, by name, that replicas share."""
        self._shared_left = left

    def requests_per_minute(self) -> int:
        """Return the number of requests of the last minute."""
        return self._rate.last_minute()

    def budgets(self) -> Mapping[str, float]:
        """Return by route how many requests this process could send now."""
        return {route: remaining() for route, remaining in self._budgets.items()}

    def observed(self, count: int, at: float) -> None:
        """Count observations; `at` is the Unix time of the successful poll."""
        self._observations.inc(count)
        self._last_success.set(at)

    def lagged(self, seconds: float, count: int) -> None:
        """Record that `count` tasks were polled `seconds` after their due time."""
        self._lag.observe(seconds, count)

    def unmapped_status(self) -> None:
        """Count a transition to a status that is not known."""
        self._unmapped.inc()

    def transitioned(self, task_type: str | None, status: str) -> None:
        """Count a transition."""
        shown = status if status in KNOWN_STATUSES else OTHER_STATUS
        self._transitions[shown].inc()
        self._task_types.transitioned(self._source, task_type, shown)

    def ended(self, task_type: str | None, status: str, seconds: float) -> None:
        """Record that a task ended with a known status, `seconds` after it was first seen."""
        self._task_types.ended(self._source, task_type, status, seconds)

    def reachable(self, reason: SourceFailure | None) -> None:
        """Show that the source is up, or for which reason it is down."""
        self._source_up.labels(self._source).set(1 if reason is None else 0)
        for each, gauge in self._down.items():
            gauge.set(1 if each is reason else 0)

    def limits(self, *, max_interval: float, silent: float) -> None:
        """Set what alerts compare with: the longest interval, and how long no poll may succeed."""
        self._max_interval.set(max_interval)
        self._silent_limit.set(silent)

    def lost_and_stalled(self, lost: int, stalled: int) -> None:
        """Set how many active watches are lost, and how many stalled."""
        self._lost.set(lost)
        self._stalled.set(stalled)

    def list_size(self, task_ids: int) -> None:
        """Set how many task IDs one list request may hold."""
        self._list_ids.set(task_ids)

    def watching(self, counts: Mapping[str | None, int], behind: float, silent: float) -> None:
        """Set the number of active watches by status, the delay of the most overdue poll, and for
        how long none has succeeded although one was due, in seconds.

        The status None stands for a task not observed yet.
        """
        self._behind.set(behind)
        self._silent.set(silent)
        by_label: Tally[str] = Tally()
        for status, count in counts.items():
            label = UNSEEN_STATUS if status is None else status
            by_label[label if label in self._watches else OTHER_STATUS] += count
        for label, gauge in self._watches.items():
            gauge.set(by_label[label])


class RuleMetrics:
    """The metrics of one discovery rule."""

    def __init__(self, source: str, rule: str, families: DiscoveryFamilies) -> None:
        self._tasks = families.tasks.labels(source, rule)
        self._requests = families.requests.labels(source, rule)
        self._skipped = families.skipped.labels(source, rule)
        self._truncated = families.truncated.labels(source, rule)
        self._failing = families.failing.labels(source, rule)
        self._last_success = families.last_success.labels(source, rule)

    def read(self, new_tasks: int) -> None:
        """Count one page of the list, and the new tasks on it."""
        self._requests.inc()
        self._tasks.inc(new_tasks)

    def skipped(self, count: int) -> None:
        """Count listed tasks that were not added because their IDs are not valid."""
        self._skipped.inc(count)

    def ended(self, *, truncated: bool) -> None:
        """Record whether a run stopped before the end of the list."""
        self._truncated.set(1 if truncated else 0)

    def succeeded(self, at: float) -> None:
        """Record that a run did not fail; `at` is Unix time."""
        self._failing.set(0)
        self._last_success.set(at)

    def failed(self) -> None:
        """Record that a run failed."""
        self._failing.set(1)
