"""due -> fetch -> diff -> record: the half of the house before the store. One for each source."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

import anyio
import anyio.abc

from watcher.clock import Clock, rfc3339
from watcher.diff import Step, step
from watcher.errors import SourceError, SourceFailure, StoreError
from watcher.metrics import SourceMetrics
from watcher.model import (
    SLOW_STATUSES,
    TERMINAL_STATUSES,
    Answer,
    Change,
    Event,
    Missing,
    Observation,
    TaskKey,
    Trouble,
    Watch,
    WatchState,
)
from watcher.payload import lost_event, new_event_id, task_event
from watcher.protocols import Notice, Source, Store
from watcher.pulse import Pulse
from watcher.reachability import PROBE_INTERVAL, Reachability
from watcher.routing import Routing
from watcher.schedule import Entry, Schedule
from watcher.settings import PollingSettings
from watcher.wakeup import Wakeup

logger = logging.getLogger(__name__)

IN_FLIGHT = 32
"""Requests to one source at the same time."""
LOST_INTERVAL = 600.0
"""Seconds between two questions about a task that was told lost."""

_NAP = 10.0  # no wait is longer, so that the loop beats its pulse
_REPEAT_COMPLAINT = 600.0
_WRONG_SOURCE = "it does not know most of the tasks it is asked for; check base_url and the key's account"
_QUIET = frozenset({Step.UNCHANGED, Step.STILL_MISSING})


@dataclass(slots=True, kw_only=True, eq=False)
class Tracked(Entry):
    """What is kept in memory of a task: its place in the schedule, and enough to compare an answer with."""

    status: str | None = None
    sequence: int = 0
    missing_since: float | None = None
    lost: bool = False

    def follow(self, watch: Watch) -> None:
        """Take over what is stored."""
        self.status = watch.status
        self.sequence = watch.sequence
        self.missing_since = watch.missing_since
        self.lost = watch.lost_at is not None


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
        notice: Notice,
        polling: PollingSettings,
        unreachable_after: float,
        metrics: SourceMetrics,
        outbox: Wakeup,
        wall: Clock,
        random: Random,
    ) -> None:
        self._name = source_name
        self._source = source
        self._store = store
        self._routing = routing
        self._notice = notice
        self._subject = f"source {source_name}"
        self._trouble: Trouble | None = None
        self._last_reason: SourceFailure | None = None
        self._polling = polling
        self._metrics = metrics
        self._outbox = outbox
        self._wall = wall
        self._schedule: Schedule[Tracked] = Schedule(polling, random)
        self._tracked: dict[str, Tracked] = {}
        self._missing: set[str] = set()
        self._lost: set[str] = set()
        self._missing_counts_from = float("-inf")
        self._reach = Reachability(unreachable_after)
        self._probe_at = 0.0
        self._allowance = 0
        self._slots = anyio.Semaphore(IN_FLIGHT)
        self._stirred = Wakeup()
        self._scope = anyio.CancelScope()
        self._complaints: dict[str, float] = {}
        self._store_refuses = False
        self.pulse = Pulse(anyio.current_time)
        self.last_answer_at: float | None = None

    # The watchlist in memory

    def restore(self, watches: Iterable[Watch]) -> None:
        """Take over active watches from the store at start, their first questions spread over the longest interval."""
        now = anyio.current_time()
        for watch in watches:
            if watch.key.task_id not in self._tracked:
                self._schedule.spread(self._adopt(watch), now)

    def track(self, watches: Iterable[Watch]) -> None:
        """Ask about these at once; those that are done or being asked right now are left alone."""
        now = anyio.current_time()
        for watch in watches:
            known = self._tracked.get(watch.key.task_id)
            if watch.state is WatchState.ACTIVE and (known is None or known.due_at is not None):
                self._schedule.at_once(known or self._adopt(watch), now)
        self._stirred.set()

    def forget(self, key: TaskKey) -> None:
        """Stop asking about a task."""
        if tracked := self._tracked.pop(key.task_id, None):
            self._schedule.remove(tracked)
        self._missing.discard(key.task_id)
        self._lost.discard(key.task_id)

    def times(self, key: TaskKey) -> tuple[float | None, float | None]:
        """Return when the task was last asked for and when it will be next, in Unix seconds; None: not known."""
        if (tracked := self._tracked.get(key.task_id)) is None:
            return None, None
        offset = self._wall() - anyio.current_time()
        asked_at = None if tracked.asked_at is None else tracked.asked_at + offset
        return asked_at, None if tracked.due_at is None else tracked.due_at + offset

    def counts(self) -> Mapping[str | None, int]:
        """Return how many tasks have each status; None is one that upstream has not shown yet."""
        return Counter(tracked.status for tracked in self._tracked.values())

    @property
    def reason(self) -> SourceFailure | None:
        """Why the source counts as down; None while it is up."""
        return self._reach.reason

    # The loop

    async def run(self) -> None:
        """Poll until `close`."""
        self._trouble = await self._store.trouble(self._subject)
        with self._scope:
            async with anyio.create_task_group() as requests:
                while True:
                    self.pulse.beat()
                    with anyio.move_on_after(_NAP):
                        await self._round(requests)

    def close(self) -> None:
        """Stop at once; an answer that is being stored is stored."""
        self._scope.cancel()

    async def _round(self, requests: anyio.abc.TaskGroup) -> None:
        seen = self._stirred.generation
        now = anyio.current_time()
        if (begin := self._next_at()) is None or begin > now:
            with anyio.move_on_after(_NAP if begin is None else begin - now):
                await self._stirred.wait(seen)
            return
        await self._slots.acquire()
        try:
            entries = await self._take()
        except BaseException:
            self._slots.release()
            raise
        if not entries:
            self._slots.release()
            return
        if not self._reach.answering:
            self._probe_at = anyio.current_time() + PROBE_INTERVAL
        requests.start_soon(self._ask, entries, name=f"fetch {self._name}")

    def _next_at(self) -> float | None:
        due_at = self._schedule.next_due_at()
        return due_at if due_at is None or self._reach.answering else max(due_at, self._probe_at)

    async def _take(self) -> list[Tracked]:
        if not self._allowance:
            self._allowance = await self._source.admit(len(self._tracked))
        # Chosen only now: whoever was added while the budget was waited for comes first.
        entries = self._schedule.take(anyio.current_time(), self._allowance)
        if entries:
            self._allowance = 0
        return entries

    async def _ask(self, entries: Sequence[Tracked]) -> None:
        now = anyio.current_time()
        for entry in entries:
            self._metrics.lagged(now - (now if entry.due_at is None else entry.due_at))
            entry.asked_at = now
            entry.due_at = None
        try:
            answers = await self._source.fetch([entry.task_id for entry in entries])
            await self._learn(entries, answers)
            await self._tend_trouble()
        except SourceError as error:
            self._unanswered(entries, error)
            await self._tend_trouble()
        except Exception:
            self._complain("unexpected", "an unexpected error while asking %r; going on", self._name, exc_info=True)
            self._later(entries)
        finally:
            self._slots.release()
            self._stirred.set()

    # What follows from an answer

    async def _learn(self, entries: Sequence[Tracked], answers: Sequence[Answer]) -> None:
        self._answered(len(answers))
        by_id = {answer.task_id: answer for answer in answers}
        steps: list[tuple[Tracked, Answer, Step]] = []
        for entry in entries:
            answer = by_id.get(entry.task_id)
            if self._tracked.get(entry.task_id) is not entry:
                continue  # taken off the watchlist meanwhile
            taken = Step.UNCHANGED if answer is None else self._step(entry, answer)
            if answer is None or taken in _QUIET:
                self._again(entry)
            else:
                steps.append((entry, answer, taken))
        self._judge_absences()
        if steps:
            await self._record(steps)

    def _step(self, entry: Tracked, answer: Answer) -> Step:
        if isinstance(answer, Missing) and not entry.lost:
            self._missing.add(entry.task_id)
        else:
            self._missing.discard(entry.task_id)
        taken = step(entry, answer, now=self._wall(), lost_after=self._polling.lost_after)
        if taken is Step.LOST and not self._may_be_lost():
            return Step.STILL_MISSING
        return taken

    def _may_be_lost(self) -> bool:
        self._judge_absences()
        if self._reach.misdirected:
            if self._reach.blamed():
                self._tell_state(_WRONG_SOURCE)
            return False
        return anyio.current_time() > self._missing_counts_from + self._polling.lost_after

    def _judge_absences(self) -> None:
        """Note whether most tasks are missing; once that is over, each missing one gets its full time again."""
        now = anyio.current_time()
        was_misdirected = self._reach.misdirected
        turned = self._reach.unknown(len(self._missing), len(self._tracked) - len(self._lost), now)
        if was_misdirected and not self._reach.misdirected:
            self._missing_counts_from = now
        if turned:
            self._tell_state(_WRONG_SOURCE)

    async def _record(self, steps: Sequence[tuple[Tracked, Answer, Step]]) -> None:
        at = self._wall()
        entries = [entry for entry, _, _ in steps]
        try:
            stored = await self._store.watches([self._key(entry) for entry in entries])
            changes = {
                entry.task_id: self._change(stored[self._key(entry)], answer, taken, at)
                for entry, answer, taken in steps
                if self._key(entry) in stored
            }
            applied = dict(zip(changes, await self._store.record(list(changes.values())), strict=True))
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
                await self._resynchronise(entry)
        self._outbox.set()

    def _change(self, watch: Watch, answer: Answer, taken: Step, at: float) -> Change:
        if isinstance(answer, Observation) and taken is Step.TRANSITION:
            return self._transition(watch, answer, at)
        if taken is Step.LOST:
            since = watch.missing_since if watch.missing_since is not None else at
            reason = f"upstream has answered 404 for {at - since:.0f} s"
            event = lost_event(
                watch, reason=reason, at=at, event_id=new_event_id(), channels=self._routing.for_lost(watch)
            )
            return Change(watch=replace(watch, lost_at=at), expected_sequence=watch.sequence, event=event)
        missing_since = at if taken is Step.MISSING else None
        return Change(watch=replace(watch, missing_since=missing_since), expected_sequence=watch.sequence)

    def _transition(self, watch: Watch, seen: Observation, at: float) -> Change:
        sequence = watch.sequence + 1
        event = task_event(
            watch,
            seen,
            sequence=sequence,
            at=at,
            event_id=new_event_id(),
            channels=self._routing.for_transition(watch, seen.status, seen.task_type),
        )
        after = replace(
            watch,
            state=WatchState.DONE if seen.status in TERMINAL_STATUSES else WatchState.ACTIVE,
            status=seen.status,
            sequence=sequence,
            task_type=seen.task_type,
            error_message=seen.error_message,
            first_seen_at=at if watch.first_seen_at is None else watch.first_seen_at,
            changed_at=at,
            missing_since=None,
            lost_at=None,
        )
        return Change(watch=after, expected_sequence=watch.sequence, event=event)

    def _advance(self, entry: Tracked, watch: Watch, taken: Step) -> None:
        if self._tracked.get(entry.task_id) is not entry:
            return
        self._follow(entry, watch)
        if taken is Step.TRANSITION and watch.status is not None:
            self._metrics.transitioned(watch.task_type, watch.status)
        if watch.state is WatchState.DONE:
            self.forget(watch.key)
        elif taken is Step.TRANSITION and entry.status not in SLOW_STATUSES:
            self._schedule.changed(entry, anyio.current_time())
        else:
            self._again(entry)

    async def _resynchronise(self, entry: Tracked) -> None:
        """The stored watch is gone or has moved: go by what is stored."""
        key = self._key(entry)
        watch = (await self._store.watches([key])).get(key)
        if watch is None or watch.state is WatchState.DONE:
            self.forget(key)
        elif self._tracked.get(entry.task_id) is entry:
            self._follow(entry, watch)
            self._again(entry)

    # Bookkeeping

    def _adopt(self, watch: Watch) -> Tracked:
        entry = Tracked(task_id=watch.key.task_id)
        self._tracked[entry.task_id] = entry
        self._follow(entry, watch)
        return entry

    def _follow(self, entry: Tracked, watch: Watch) -> None:
        entry.follow(watch)
        for members, belongs in ((self._lost, entry.lost), (self._missing, entry.missing_since and not entry.lost)):
            if belongs:
                members.add(entry.task_id)
            else:
                members.discard(entry.task_id)

    def _key(self, entry: Tracked) -> TaskKey:
        return TaskKey(self._name, entry.task_id)

    def _again(self, entry: Tracked) -> None:
        """Ask again in due time, nothing having changed."""
        now = anyio.current_time()
        if entry.lost:
            self._schedule.every(entry, LOST_INTERVAL, now)
        elif entry.status in SLOW_STATUSES:
            self._schedule.slowly(entry, now)
        else:
            self._schedule.unchanged(entry, now)

    def _later(self, entries: Sequence[Tracked]) -> None:
        for entry in entries:
            if self._tracked.get(entry.task_id) is entry:
                self._again(entry)

    # How upstream is

    def _answered(self, count: int) -> None:
        self.last_answer_at = self._wall()
        self._metrics.observed(count, self.last_answer_at)
        if self._reach.succeeded():
            self._tell_state("")

    def _unanswered(self, entries: Sequence[Tracked], error: SourceError) -> None:
        now = anyio.current_time()
        if error.reason is SourceFailure.REFUSED:
            # Upstream is there and means this very request: the task is asked slowly, the others as ever.
            self._answered(0)
            for entry in entries:
                if self._tracked.get(entry.task_id) is entry:
                    self._schedule.slowly(entry, now)
        else:
            self._later(entries)
        if self._reach.failed(error, now):
            self._probe_at = now + PROBE_INTERVAL
            self._tell_state(str(error))
        elif self._reach.reason is None:
            self._complain(
                error.reason, "source %r did not answer for a task (%s); it is asked again", self._name, error
            )

    async def _tend_trouble(self) -> None:
        """Store and tell, once each, that the source is down and that it is back, over restarts too."""
        known = self._trouble
        try:
            if self._reach.reason is not None and known is None:
                await self._tell_unreachable()
            elif known is not None and self._reach.since is None and self.last_answer_at is not None:
                self._trouble = None
                event = self._about("source.recovered", known, self._wall())
                await self._store.announce(event, None, recovered=self._subject)
                self._outbox.set()
        except StoreError as error:
            self._trouble = known  # told with the next answer, or the next that fails
            self._complain("store", "%s", error)

    async def _tell_unreachable(self) -> None:
        now = self._wall()
        began = self._reach.since
        failing_for = 0.0 if began is None else anyio.current_time() - began
        # Known before it is stored, for another answer may come meanwhile.
        self._trouble = Trouble(subject=self._subject, since=now - failing_for, alerted_at=now)
        self._last_reason = self._reach.reason
        await self._store.announce(self._about("source.unreachable", self._trouble, now), self._trouble)
        self._outbox.set()

    def _about(self, kind: str, trouble: Trouble, now: float) -> Event:
        told: dict[str, object] = {
            "source": self._name,
            "reason": self._last_reason,
            "since": rfc3339(trouble.since),
            "active_watches": len(self._tracked),
        }
        return self._notice(kind, at=now, data=told, subject=self._subject)

    def _tell_state(self, why: str) -> None:
        down = self._reach.reason
        self._metrics.up(down is None)
        if down is None:
            logger.info("source %r answers again", self._name)
        elif down is SourceFailure.UNAUTHORIZED:
            logger.error("source %r refuses the API key (%s); put a valid one in api_key", self._name, why)
        else:
            logger.error("source %r is down, reason %s: %s", self._name, down, why)

    def _complain(self, topic: str, text: str, *details: object, exc_info: bool = False) -> None:
        """Log one kind of trouble, at most once in ten minutes."""
        now = anyio.current_time()
        if now >= self._complaints.get(topic, now):
            self._complaints[topic] = now + _REPEAT_COMPLAINT
            logger.warning(text, *details, exc_info=exc_info)
