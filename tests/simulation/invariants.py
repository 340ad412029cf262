"""What has to hold at every moment. Each broken rule is a line of text in `problems`."""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.configuration import ORDER_WAIT
from tests.simulation.lives import Life
from tests.simulation.receivers import Arrival, Receiver
from tests.simulation.scenario import CHANNELS, Scenario
from tests.simulation.trace import Trace
from tests.simulation.upstream import Upstream
from watcher.core.tasks import TERMINAL_STATUSES

_NEW_EVENTS = """
SELECT e.id, e.event_id, e.type, e.task_id, e.sequence, e.previous_status, e.status, e.order_key,
    (SELECT json_group_array(d.channel) FROM deliveries d WHERE d.event = e.id)
FROM events e WHERE e.id > ? ORDER BY e.id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An event in the store."""

    number: int
    event_id: str
    type: str
    task_id: str | None
    sequence: int | None
    previous_status: str | None
    status: str | None
    order_key: str
    channels: frozenset[str]

    @property
    def is_transition(self) -> bool:
        """Whether it advances the sequence of its task."""
        return self.task_id is not None and self.type not in ("task.lost", "task.stalled")


class Invariants:
    """Looks at every commit, every webhook and every request."""

    def __init__(self, path: Path, upstream: Upstream, scenario: Scenario, trace: Trace) -> None:
        self.problems: list[str] = []
        self.stored: dict[str, Stored] = {}
        self._reader: sqlite3.Connection | None = None
        self._path = path
        self._upstream = upstream
        self._limit = scenario.limit
        self._discovers = scenario.discovery is not None
        self._jumps = any(action.kind == "jump" for action in scenario.actions)
        self._trace = trace
        self._last = 0
        self._of_task: dict[str, Stored] = {}
        self._positions: dict[str, set[int]] = {}
        self._lost: set[str] = set()
        self._sent: dict[str, set[str]] = defaultdict(set)
        self._outages: dict[str, str] = {}
        self._queues: dict[tuple[str, str], list[Stored]] = defaultdict(list)
        self._first_attempts: dict[tuple[str, str], float] = {}
        self._passed: set[tuple[str, str]] = set()
        self.accepts: dict[str, bool] = {}
        """Whether each receiver has accepted the last webhook that arrived."""

    def broken(self, text: str) -> None:
        """Note a broken rule."""
        self._trace.note("BROKEN", text)
        self.problems.append(text)

    def query(self, sql: str, *parameters: object) -> list[tuple[object, ...]]:
        """Return what is committed."""
        if self._reader is None:
            self._reader = sqlite3.connect(self._path, isolation_level=None)
        return self._reader.execute(sql, parameters).fetchall()

    def removed(self, task_id: str) -> None:
        """Note that a watch was removed: added again, it begins with its first event."""
        for kept in (self._of_task, self._positions, self._sent):
            kept.pop(task_id, None)

    def announced(self, subject: str) -> bool:
        """Return whether an outage is announced and not over."""
        return subject in self._outages

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()

    # Every commit

    def committed(self) -> None:
        """Check the events that a commit has added."""
        for row in self.query(_NEW_EVENTS, self._last):
            number, event_id, kind, task_id, sequence, previous, status, order_key, channels = row
            event = Stored(
                number=int(str(number)),
                event_id=str(event_id),
                type=str(kind),
                task_id=None if task_id is None else str(task_id),
                sequence=None if sequence is None else int(str(sequence)),
                previous_status=None if previous is None else str(previous),
                status=None if status is None else str(status),
                order_key=str(order_key),
                channels=frozenset(json.loads(str(channels))),
            )
            self._last = event.number
            self._trace.note("stored", f"{event.type} {event.order_key} {event.sequence}")
            self._check_stored(event)

    def _check_stored(self, event: Stored) -> None:
        self.stored[event.event_id] = event
        expected = {name for name in CHANNELS if event.order_key != f"channel {name}"}
        if event.channels != expected:
            self.broken(f"{event.type} of {event.order_key} has deliveries to {event.channels}")
        for channel in event.channels:
            self._queues[channel, event.order_key].append(event)
        if event.is_transition:
            self._check_transition(event)
        elif event.type == "task.lost":
            self._lost.add(str(event.task_id))
        elif event.task_id is None:
            self._check_outage(event)

    def _check_transition(self, event: Stored) -> None:
        task_id, status = str(event.task_id), str(event.status)
        before = self._of_task.get(task_id)
        name = f"{task_id} {event.sequence} {event.previous_status} -> {status}"
        if event.sequence != (1 if before is None else (before.sequence or 0) + 1):
            self.broken(f"{name}: the sequence has a gap")
        expected = None if before is None else before.status
        if event.previous_status != expected and not self._ended_before(before, event):
            self.broken(f"{name}: the previous status is not the one of the last event")
        if status not in self._upstream.shown[task_id]:
            self.broken(f"{name}: upstream has never shown this status")
        self._advance(self._upstream.lives[task_id], status, name)
        self._of_task[task_id] = event

    def _ended_before(self, before: Stored | None, event: Stored) -> bool:
        """Return whether the first run of a rule recorded the end of the task, without an event."""
        shown = self._upstream.shown[str(event.task_id)]
        ended = event.previous_status in TERMINAL_STATUSES and event.previous_status in shown
        return self._discovers and before is None and ended

    def _advance(self, life: Life, status: str, name: str) -> None:
        """Each transition has to be a later change of the task: no change is sent twice."""
        before = self._positions.get(life.task_id, {-1})
        again = life.task_id in self._lost  # then it may come back as it was
        self._lost.discard(life.task_id)
        # A replica that is behind may show an earlier status, which the daemon cannot know.
        behind = self._upstream.lagging > 0 and status not in self._sent[life.task_id]
        self._sent[life.task_id].add(status)
        after = {
            position
            for position, one in enumerate(life.history)
            if one == status and (behind or position >= min(before) + (0 if again else 1))
        }
        if not after:
            self.broken(f"{name}: not a change of the task after its last event: {life.history}")
        self._positions[life.task_id] = after

    def _check_outage(self, event: Stored) -> None:
        subject, kind = event.order_key, event.type.partition(".")[2]
        if kind == "recovered":
            if self._outages.pop(subject, None) is None:
                self.broken(f"{event.type} of {subject} without an outage before")
        elif kind == "stopped":
            self._outages[subject] = kind
        elif subject in self._outages:
            self.broken(f"{event.type} of {subject} twice for one outage")
        else:
            self._outages[subject] = kind

    # Every webhook

    def arrived(self, receiver: Receiver) -> Callable[[Arrival], None]:
        """Return what checks each arrival at this receiver."""
        return lambda arrival: self._check_arrival(receiver.name, arrival)

    def _check_arrival(self, channel: str, arrival: Arrival) -> None:
        event = self.stored.get(arrival.event_id)
        if event is None:
            self.broken(f"{channel}: {arrival.event['type']} was sent but not stored")
            return
        if channel not in event.channels:
            self.broken(f"{channel}: {event.type} was sent to a channel without a delivery")
        queue = self._queues[channel, event.order_key]
        for earlier in queue[: queue.index(event)] if event in queue else ():
            if not self._may_be_passed(channel, earlier.event_id, arrival.wall):
                name = f"{event.order_key} {event.sequence}"
                self.broken(f"{channel}: {name} arrived before {earlier.sequence} {earlier.type}")
        self.accepts[channel] = arrival.accepted
        key = channel, arrival.event_id
        self._first_attempts.setdefault(key, arrival.wall)
        if arrival.accepted or arrival.rejected_body:
            self._passed.add(key)
        while queue and arrival.accepted and (channel, queue[0].event_id) in self._passed:
            queue.pop(0)

    def _may_be_passed(self, channel: str, event_id: str, wall: float) -> bool:
        """Whether a later event may arrive although this one was not accepted."""
        key = channel, event_id
        first = self._first_attempts.get(key)
        if first is None:
            return key in self._passed
        # `order_wait` is measured with the wall clock, because it goes on across a restart.
        waited = self._jumps or wall >= first + ORDER_WAIT - 1.0
        return waited or key in self._passed

    # Every request

    def check_budget(self) -> None:
        """Check the last minute of every route."""
        if self._limit is None:
            return
        for route, times in self._upstream.requests.items():
            if len(times) > self._limit and times[-1] - times[-1 - self._limit] < 60.0:
                self.broken(f"{route}: more than {self._limit} requests within 60 s")

    # At the end

    def check_deliveries(self, receivers: Mapping[str, Receiver]) -> None:
        """Check that what counts as delivered has arrived."""
        accepted = {
            name: {arrival.event_id for arrival in receiver.arrivals if arrival.accepted}
            for name, receiver in receivers.items()
        }
        delivered = self.query(
            "SELECT e.event_id, d.channel, d.state"
            " FROM deliveries d JOIN events e ON e.id = d.event"
        )
        for event_id, channel, state in delivered:
            if state == "delivered" and event_id not in accepted[str(channel)]:
                self.broken(f"{channel}: {self.stored[str(event_id)].type} never arrived")
            # An event that is too large in every form is not sent again.
            if state == "failed" and event_id not in receivers[str(channel)].too_large:
                self.broken(f"{channel}: a delivery of {self.stored[str(event_id)].type} failed")
