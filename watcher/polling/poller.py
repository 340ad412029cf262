"""due -> fetch -> diff -> record: the half of the house before the store. One for each source.

Two loops ask. The *single* one asks for one task a request, the *shared* one for as many as a page holds; each waits
for the budget of its own endpoint. Tasks wait in one schedule for both; those that a shared answer did not show wait in
a second one, for the single loop alone.

Before anything is concluded from an absence, both endpoints have to agree on it.
"""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from random import Random

import anyio
import anyio.abc

from watcher.core.clock import Clock, ClockJumpDetector
from watcher.core.errors import SourceError, SourceFailure, StoreError
from watcher.core.events import (
    Change,
    SystemEventFactory,
    namespace_of,
    new_event_id,
    task_alert_event,
    task_event,
)
from watcher.core.interfaces.source import Endpoint, Source
from watcher.core.interfaces.store import Store
from watcher.core.routing import Routing
from watcher.core.settings import PollingSettings
from watcher.core.tasks import (
    SLOW_STATUSES,
    TERMINAL_STATUSES,
    ActiveWatch,
    Answer,
    NotInPage,
    Observation,
    TaskKey,
    TaskNotFound,
    Watch,
    WatchState,
)
from watcher.core.wakeup import Wakeup
from watcher.polling.outage import SourceTrouble
from watcher.polling.schedule import Schedule
from watcher.polling.stalled import StalledTasks
from watcher.polling.transitions import Step, step
from watcher.polling.watchlist import Tracked, TrackedTasks
from watcher.telemetry.liveness import LivenessMonitor
from watcher.telemetry.metrics import SourceMetrics

logger = logging.getLogger(__name__)

LOST_INTERVAL = 600.0
"""Seconds between two questions about a task that was told lost."""
FEW = 3
"""So many tasks due within a second are rather asked one by one than with a page."""
IN_FLIGHT = 32
"""Requests of one loop whose answers are not stored yet: answers wait upstream rather than for the store."""

_COALESCED = 1.0  # seconds within which what is due counts as due together
_TICK = 0.001  # no wait is shorter, or rounding could keep a loop from ever coming to its moment
_NAP = 10.0  # no wait is longer, so that the loop beats its pulse
_GLANCE = 1.0  # no wait is longer for what the other loop may leave over
_REPEAT_COMPLAINT = 600.0
_QUIET = frozenset({Step.UNCHANGED, Step.STILL_MISSING})


class Poller:
    """Asks one source for its tasks, each at its time, and stores what changed.

    What is in memory of a task moves on only after the store took the step, so a step that could not be stored is found
    again with the next answer.
    """

    def __init__(
        self,
        *,
        source_name: str,
        source: Source,
        store: Store,
        routing: Routing,
        notice: SystemEventFactory,
        polling: PollingSettings,
        unreachable_after: float,
        metrics: SourceMetrics,
        outbox: Wakeup,
        wall: Clock,
        random: Random,
    ) -> None:
        self._name = source_name
        self._single = source.single
        self._shared = None if polling.mode == "get" else source.shared
        self._store = store
        self._routing = routing
        self._polling = polling
        self._metrics = metrics
        self._outbox = outbox
        self._wall = wall
        self._tasks = TrackedTasks()
        self._common: Schedule[Tracked] = Schedule(polling, random, metrics.lagged)
        self._unlisted: Schedule[Tracked] = Schedule(polling, random, metrics.lagged)
        self._trouble = SourceTrouble(
            source_name=source_name,
            unreachable_after=unreachable_after,
            store=store,
            notice=notice,
            metrics=metrics,
            wall=wall,
            active_watches=lambda: len(self._tasks),
        )
        self._missing_counts_from = float("-inf")
        self._steadiness = ClockJumpDetector(wall, anyio.current_time)
        self._admitted: set[str] = set()
        self._unsettled: Counter[str] = Counter()
        self._stirred = Wakeup()
        self._scope = anyio.CancelScope()
        self._complaints: dict[str, float] = {}
        self._store_refuses = False
        loops = ("single",) if self._shared is None else ("single", "shared")
        self._stalled = StalledTasks(
            source_name=source_name,
            store=store,
            routing=routing,
            stalled_after=polling.stalled_after,
            answered_at=lambda key: self.times(key)[0],
            outbox=outbox,
            wall=wall,
        )
        self.pulses = {name: LivenessMonitor(anyio.current_time) for name in loops}

    # The watchlist in memory

    def restore(self, watches: Iterable[ActiveWatch]) -> None:
        """Take over active watches from the store at start, their first questions spread over the longest interval."""
        now = anyio.current_time()
        for watch in watches:
            if self._tasks.get(watch.task_id) is None:
                known = watch.missing_since is None and watch.lost_at is None
                (self._common if known else self._unlisted).spread(
                    self._tasks.adopt(watch, watch.task_id), now
                )
        self._stirred.set()

    def track(self, watches: Iterable[Watch]) -> None:
        """Ask about these at once; those that are done or being asked right now are left alone."""
        now = anyio.current_time()
        for watch in watches:
            known = self._tasks.get(watch.key.task_id)
            if watch.state is WatchState.ACTIVE and (known is None or known.slot is not None):
                self._common.at_once(known or self._tasks.adopt(watch, watch.key.task_id), now)
        self._stirred.set()

    def forget(self, key: TaskKey) -> None:
        """Stop asking about a task."""
        if entry := self._tasks.pop(key.task_id):
            self._common.remove(entry)

    def times(self, key: TaskKey) -> tuple[float | None, float | None]:
        """Return when the task was last answered for and when it is asked next, in Unix seconds; None: not known."""
        if (entry := self._tasks.get(key.task_id)) is None:
            return None, None
        offset = self._wall() - anyio.current_time()
        answered_at = None if entry.answered_at is None else entry.answered_at + offset
        return answered_at, None if entry.due_at is None else entry.due_at + offset

    def counts(self) -> Mapping[str | None, int]:
        """Return how many tasks have each status; None is one that upstream has not shown yet."""
        return self._tasks.counts()

    def behind(self) -> float:
        """Return for how many seconds the task that waits longest has been due."""
        now = anyio.current_time()
        return max(self._common.late(now), self._unlisted.late(now))

    @property
    def reason(self) -> SourceFailure | None:
        """Why the source counts as down; None while it is up."""
        return self._trouble.reason

    @property
    def probing(self) -> bool:
        """Whether the source is down and asked only now and then whether it is back."""
        return not self._trouble.answering and len(self._tasks) > 0

    @property
    def last_answer_at(self) -> float | None:
        """When the source last answered, in Unix seconds."""
        return self._trouble.last_answer_at

    # The loops

    async def run(self) -> None:
        """Poll until `close`."""
        await self._trouble.restore()
        with self._scope:
            async with anyio.create_task_group() as requests:
                requests.start_soon(self._stalled.run, name=f"stalled {self._name}")
                requests.start_soon(self._loop, "single", self._single, self._for_single, requests)
                if self._shared is not None:
                    requests.start_soon(
                        self._loop, "shared", self._shared, self._for_shared, requests
                    )

    def close(self) -> None:
        """Stop at once; an answer that is being stored is stored."""
        self._scope.cancel()

    async def _loop(
        self,
        name: str,
        endpoint: Endpoint,
        choose: Callable[[float], Schedule[Tracked] | None],
        requests: anyio.abc.TaskGroup,
    ) -> None:
        while True:
            self.pulses[name].beat()
            seen = self._stirred.generation
            now = anyio.current_time()
            schedule = choose(now) if self._unsettled[name] < IN_FLIGHT else None
            if schedule is None:
                with anyio.move_on_after(self._until_next(now)):
                    await self._stirred.wait(seen)
            elif name not in self._admitted:
                # What to ask for is chosen only then: whoever is added while the budget is waited for comes first.
                with anyio.move_on_after(_NAP):
                    await endpoint.admit()
                    self._admitted.add(name)
            else:
                self._admitted.discard(name)
                self._trouble.probing()
                entries = schedule.take(now, endpoint.places, fill=endpoint.places > 1)
                self._stirred.set()  # what is left may be the other loop's now
                self._unsettled[name] += 1
                requests.start_soon(self._ask, name, endpoint, entries, name=f"fetch {self._name}")

    def _until_next(self, now: float) -> float:
        if not self._trouble.answering:
            return min(max(self._trouble.probe_at - now, 0.0), _NAP) or _GLANCE
        due = [
            at for one in (self._common, self._unlisted) if (at := one.next_due_at()) is not None
        ]
        if not due:
            return _NAP
        return max(min(min(due) - now, _NAP), _TICK) if min(due) > now else _GLANCE

    def _for_single(self, now: float) -> Schedule[Tracked] | None:
        """Return whose tasks are to be asked for one by one now, None for nobody's."""
        if not self._trouble.answering and now < self._trouble.probe_at:
            return None
        alone = not self._sharing() or not self._trouble.answering or self._few(now)
        due = [
            one
            for one in (self._unlisted, self._common)
            if one.due(now) and (one is self._unlisted or alone)
        ]
        return max(due, key=lambda schedule: schedule.late(now), default=None)

    def _for_shared(self, now: float) -> Schedule[Tracked] | None:
        """Return whose tasks are to be asked for together now, None for nobody's."""
        if (
            self._sharing()
            and self._trouble.answering
            and self._common.due(now)
            and not self._few(now)
        ):
            return self._common
        return None

    def _sharing(self) -> bool:
        return self._shared is not None and self._shared.places > 0

    def _few(self, now: float) -> bool:
        """Return whether so few are due that they are asked one by one, if the budget for that is there.

        Not while upstream does not know a task: the list may, and both are asked before it is called lost.
        """
        if self._polling.mode != "auto" or self._tasks.missing:
            return False
        if "single" not in self._admitted and self._single.wait() > 0:
            return False
        return self._common.count(now + _COALESCED, FEW) <= FEW

    async def _ask(self, name: str, endpoint: Endpoint, entries: Sequence[Tracked]) -> None:
        waiting = {entry.task_id: entry for entry in entries}
        try:
            async with aclosing(endpoint.fetch(list(waiting))) as parts:
                async for answers in parts:
                    await self._learn(waiting, answers)
            self._later(waiting.values())
        except SourceError as error:
            self._unanswered(waiting.values(), error)
        except Exception:
            self._complain(
                "unexpected",
                "an unexpected error while asking %r; going on",
                self._name,
                exc_info=True,
            )
            self._later(entry for entry in entries if entry.slot is None)
        finally:
            self._unsettled[name] -= 1
            self._stirred.set()
        await self._attempt(self._tell_trouble)

    async def _tell_trouble(self) -> None:
        if await self._trouble.tell():
            self._outbox.set()

    # What follows from an answer

    async def _learn(self, waiting: dict[str, Tracked], answers: Sequence[Answer]) -> None:
        now = anyio.current_time()
        quiet: list[Tracked] = []
        steps: list[tuple[Tracked, Observation | TaskNotFound, Step]] = []
        unlisted = 0
        for answer in answers:
            entry = waiting.pop(answer.task_id, None)
            if entry is None or entry.gone:
                continue  # taken off the watchlist meanwhile
            if _as_known(entry, answer):
                entry.answered_at = now
                quiet.append(entry)
            elif isinstance(answer, NotInPage):
                unlisted += 1
                entry.unlisted = True
                self._unlisted.poll_now(entry, now)
            elif (taken := self._news(entry, answer, now)) is not None:
                steps.append((entry, answer, taken))
        self._common.unchanged(quiet, now)
        if len(answers) > unlisted:
            self._trouble.answered(len(answers) - unlisted)
        self._judge_absences()
        if steps:
            await self._record(steps)

    def _news(self, entry: Tracked, answer: Observation | TaskNotFound, now: float) -> Step | None:
        """Return what has to be stored because of this answer, None for nothing (yet)."""
        entry.answered_at = now
        looked_up, entry.unlisted = entry.unlisted or not self._sharing(), False
        taken = self._step(entry, answer)
        if taken in _QUIET:
            self._again(entry)
            return None
        if isinstance(answer, TaskNotFound) and not looked_up:
            self._common.poll_now(
                entry, now
            )  # unless the list, too, does not show it, nothing is concluded
            return None
        return taken

    def _step(self, entry: Tracked, answer: Observation | TaskNotFound) -> Step:
        if isinstance(answer, TaskNotFound) and not entry.lost:
            self._tasks.missing.add(entry.task_id)
            self._steadiness.since()  # so that a jump is noticed when it happens, and not when it matters
        else:
            self._tasks.missing.discard(entry.task_id)
        taken = step(entry, answer, now=self._wall(), lost_after=self._polling.lost_after)
        if taken is Step.LOST and not self._may_be_lost():
            return Step.STILL_MISSING
        return taken

    def _may_be_lost(self) -> bool:
        self._judge_absences()
        if self._trouble.mostly_unknown:
            self._trouble.blamed()
            return False
        counts_from = max(self._missing_counts_from, self._steadiness.since())
        return anyio.current_time() > counts_from + self._polling.lost_after

    def _judge_absences(self) -> None:
        """Note whether most tasks are missing; once that is over, each missing one gets its full time again."""
        was_misdirected = self._trouble.mostly_unknown
        self._trouble.unknown(len(self._tasks.missing), len(self._tasks) - len(self._tasks.lost))
        if was_misdirected and not self._trouble.mostly_unknown:
            self._missing_counts_from = anyio.current_time()

    async def _record(
        self, steps: Sequence[tuple[Tracked, Observation | TaskNotFound, Step]]
    ) -> None:
        at = self._wall()
        entries = [entry for entry, _, _ in steps]
        try:
            stored = await self._store.watches([self._key(entry) for entry in entries])
            changes = {
                entry.task_id: self._change(stored[self._key(entry)], answer, taken, at)
                for entry, answer, taken in steps
                if self._key(entry) in stored
            }
            applied = dict(
                zip(changes, await self._store.record(list(changes.values())), strict=True)
            )
        except StoreError as error:
            if not self._store_refuses:
                logger.error("%s; what changed is noticed again", error)
            self._store_refuses = True
            self._later(entries)
            return
        self._store_refuses = False
        for entry, _, taken in steps:
            if applied.get(entry.task_id):
                self._advance(entry, changes[entry.task_id].watch, taken)
            else:
                self._again(entry)
                await self._attempt(partial(self._resynchronise, entry))
        self._outbox.set()

    def _change(
        self, watch: Watch, answer: Observation | TaskNotFound, taken: Step, at: float
    ) -> Change:
        if isinstance(answer, Observation) and taken is Step.TRANSITION:
            return self._transition(watch, answer, at)
        if taken is Step.LOST:
            since = watch.missing_since if watch.missing_since is not None else at
            reason = f"upstream has answered 404 for {at - since:.0f} s"
            channels = self._routing.for_task_alert(watch, "task.lost")
            event = task_alert_event(
                watch, "task.lost", reason=reason, at=at, event_id=new_event_id(), channels=channels
            )
            return Change(
                watch=replace(watch, lost_at=at), expected_sequence=watch.sequence, event=event
            )
        missing_since = at if taken is Step.MISSING else None
        return Change(
            watch=replace(watch, missing_since=missing_since), expected_sequence=watch.sequence
        )

    def _transition(self, watch: Watch, seen: Observation, at: float) -> Change:
        sequence = watch.sequence + 1
        namespace = namespace_of(watch, seen)
        event = task_event(
            watch,
            seen,
            namespace=namespace,
            sequence=sequence,
            at=at,
            event_id=new_event_id(),
            channels=self._routing.for_transition(watch, seen.status, seen.task_type, namespace),
        )
        after = replace(
            watch,
            state=WatchState.DONE if seen.status in TERMINAL_STATUSES else WatchState.ACTIVE,
            status=seen.status,
            sequence=sequence,
            task_type=seen.task_type,
            error_message=seen.detail().error_message,
            first_seen_at=at if watch.first_seen_at is None else watch.first_seen_at,
            changed_at=at,
            missing_since=None,
            lost_at=None,
            stalled_at=None,
        )
        return Change(watch=after, expected_sequence=watch.sequence, event=event)

    def _advance(self, entry: Tracked, watch: Watch, taken: Step) -> None:
        if taken is Step.TRANSITION and watch.status is not None:
            self._metrics.transitioned(watch.task_type, watch.status)
        if entry.gone:
            return
        self._tasks.follow(entry, watch)
        if watch.state is WatchState.DONE:
            self.forget(watch.key)
        elif taken is Step.TRANSITION and entry.status not in SLOW_STATUSES:
            self._common.changed(entry, anyio.current_time())
        else:
            self._again(entry)

    async def _resynchronise(self, entry: Tracked) -> None:
        """The stored watch is gone or has moved: go by what is stored."""
        key = self._key(entry)
        watch = (await self._store.watches([key])).get(key)
        if watch is None or watch.state is WatchState.DONE:
            self.forget(key)
        elif not entry.gone:
            self._tasks.follow(entry, watch)

    # Bookkeeping

    def _key(self, entry: Tracked) -> TaskKey:
        return TaskKey(self._name, entry.task_id)

    def _again(self, entry: Tracked) -> None:
        """Ask again in due time, nothing having changed."""
        if entry.gone:
            return
        now = anyio.current_time()
        if entry.lost:
            self._unlisted.every(entry, LOST_INTERVAL, now)
        elif entry.missing_since is not None:
            self._unlisted.unchanged([entry], now)
        elif entry.status in SLOW_STATUSES:
            self._common.poll_at_max_interval(entry, now)
        else:
            self._common.unchanged([entry], now)

    def _later(self, entries: Iterable[Tracked]) -> None:
        for entry in entries:
            self._again(entry)

    def _unanswered(self, entries: Iterable[Tracked], error: SourceError) -> None:
        if error.reason is SourceFailure.REJECTED:
            # Upstream is there and means this very request: the task is asked slowly, the others as ever.
            self._trouble.answered(0)
            for entry in entries:
                if not entry.gone:
                    self._common.poll_at_max_interval(entry, anyio.current_time())
            return
        self._later(entries)
        was_up = self._trouble.reason is None
        self._trouble.failed(error)
        if was_up and self._trouble.reason is None:
            text = "source %r did not answer (%s); what was asked for is asked again"
            self._complain(error.reason, text, self._name, error)

    async def _attempt(self, storing: Callable[[], Awaitable[None]]) -> None:
        try:
            await storing()
        except StoreError as error:
            self._complain("store", "%s", error)

    def _complain(self, topic: str, text: str, *details: object, exc_info: bool = False) -> None:
        """Log one kind of trouble, at most once in ten minutes."""
        now = anyio.current_time()
        if now >= self._complaints.get(topic, now):
            self._complaints[topic] = now + _REPEAT_COMPLAINT
            logger.warning(text, *details, exc_info=exc_info)


def _as_known(entry: Tracked, answer: Answer) -> bool:
    """Return whether the answer is what was known before: so for nearly all, which is why it is looked at first."""
    return (
        type(answer) is Observation
        and answer.status == entry.status
        and entry.missing_since is None
        and not entry.lost
    )
