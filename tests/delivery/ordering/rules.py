"""What has to hold at each request of one channel. A broken rule is a line in `problems`."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from tests.delivery.ordering.receiver import Arrival
from watcher.delivery.circuit_breaker import REJECTED_AFTER

CHANNEL = "backend"
ALERT_AFTER = 300.0
ATTENTION = 61.0
"""Seconds without an attempt that are allowed while a delivery is pending."""
PROBES = 60.0
"""Seconds between two requests to a receiver that rejects everything."""
_LONGEST_WAIT = 3600.0
_MOST_A_MINUTE = 14
_MARGIN = 0.25
"""Seconds that a request takes from its decision to its arrival, and a commit."""

_STATES = """
SELECT e.event_id, d.state FROM deliveries AS d JOIN events AS e ON e.id = d.event
WHERE d.channel = 'backend'
"""


class Database:
    """What is committed in the store at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def query(self, sql: str, *parameters: object) -> list[tuple[object, ...]]:
        if self._connection is None:
            self._connection = sqlite3.connect(self._path, isolation_level=None)
        return self._connection.execute(sql, parameters).fetchall()

    def states(self) -> dict[str, str]:
        """Return the state of the delivery of each event; none of what was purged."""
        return {str(event_id): str(state) for event_id, state in self.query(_STATES)}

    def suspension(self) -> str | None:
        rows = self.query("SELECT kind FROM suspensions WHERE channel = ?", CHANNEL)
        return str(rows[0][0]) if rows else None

    def announced(self) -> bool:
        return bool(self.query("SELECT 1 FROM outages WHERE alerted_at IS NOT NULL"))

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


@dataclass(kw_only=True)
class Sent:
    """What was sent of one event. `waits` is the shortest `order_wait` of its attempts, `jumped`
    whether the clock has jumped since the first.
    """

    first_wall: float | None = None
    accepted: bool = False
    rejected: bool = False
    retried: bool = False
    jumped: bool = False
    waits: float = float("inf")
    last: Arrival | None = None
    forms: dict[int, bytes] = field(default_factory=dict)
    begun: list[float] = field(default_factory=list)


class Rules:
    """Follows what a receiver answers, and what operators demand.

    `order_wait` is the setting of the running process. While `closing`, what was never attempted is
    sent once, whatever the receiver has answered.
    """

    def __init__(self, database: Database) -> None:
        self.problems: list[str] = []
        self.order_wait = 600.0
        self.closing = False
        self.disk_full = False
        self.in_flight = 0
        self.paused = False
        self.sent: dict[str, Sent] = defaultdict(Sent)
        self._database = database
        self._queues: dict[str, list[str]] = defaultdict(list)
        self._task: dict[str, str] = {}
        self._silent_from: float | None = None
        self._last: Arrival | None = None
        self._demanded_at = 0.0
        self._attempted_at = 0.0
        self._rejected_at = 0.0
        self._active_at = 0.0
        self._waits_until = 0.0
        self._rejections: list[str] = []
        self._failing_since: float | None = None
        self._alert_possible = True

    def broken(self, text: str) -> None:
        self.problems.append(f"{anyio.current_time():.3f} s: {text}")

    def stored(self, task_id: str, event_id: str) -> None:
        self._queues[task_id].append(event_id)
        self._task[event_id] = task_id
        self.acted()

    def not_stored(self, task_id: str) -> None:
        """Note that the last event of a task was not stored after all."""
        self._task.pop(self._queues[task_id].pop())

    def starts(self, order_wait: float, *, kept: bool) -> None:
        """Note that a process starts, with the settings of the last one if `kept`."""
        self.order_wait, self.closing, self.in_flight = order_wait, False, 0
        kind = self._database.suspension() if self._task else None
        self.silenced(kind if kept or kind == "paused" or self.paused else None)
        waits_until = self._waits_until
        self.demanded()
        if kept:
            self._waits_until = waits_until

    @property
    def attention_from(self) -> float:
        """When the time without an attempt begins to count."""
        return max(self._active_at, self._waits_until)

    def acted(self) -> None:
        """Note that something has changed: the time without an attempt counts from now."""
        self._active_at = anyio.current_time()

    def demanded(self) -> None:
        """Note that an operator, or changed settings, demand attempts."""
        self._waits_until = 0.0
        self._demanded_at = anyio.current_time()
        self._forget()
        self.acted()

    def silenced(self, kind: str | None) -> None:
        """Note that nothing may be sent from now on, because the channel is paused or stopped."""
        self.paused = kind == "paused" or (self.paused and kind is not None)
        self._silent_from = None if kind not in ("paused", "stopped") else anyio.current_time()
        self._alert_possible = False
        self.acted()

    def jumped(self, seconds: float) -> None:
        now = anyio.current_time()
        for sent in self.sent.values():
            sent.jumped = sent.first_wall is not None
        if seconds < 0 and self._waits_until > now:
            self._waits_until -= seconds
        self._alert_possible = False
        self.acted()

    def _forget(self) -> None:
        self._rejections.clear()
        self._failing_since = None
        self._alert_possible = self._silent_from is None

    # Requests

    def begins(self, arrival: Arrival) -> None:
        """Check a request that arrives."""
        self.check_attention()
        event_id = arrival.event_id
        if event_id not in self._task:
            return
        sent, again = self.sent[event_id], _is_smaller_form(self.sent[event_id].last, arrival)
        if sent.forms.setdefault(len(arrival.body), arrival.body) != arrival.body:
            self.broken(f"the body of {event_id} has changed")
        if not again:  # an attempt in flight is completed
            self._check_silence(arrival)
            self._check_order(arrival)
            self._check_rate(arrival, sent)
        sent.first_wall = arrival.wall if sent.first_wall is None else sent.first_wall
        sent.waits = min(sent.waits, self.order_wait)
        sent.accepted |= arrival.accepted
        sent.begun.append(arrival.at)
        self._last = sent.last = arrival
        self.in_flight += 1

    def ends(self, arrival: Arrival) -> None:
        """Note that a request was answered, or given up."""
        now, answer = anyio.current_time(), arrival.answer
        self._active_at = now
        self.in_flight -= 1
        if arrival.accepted and answer.error is None:
            self._forget()
            return
        if arrival.rejected:
            self.sent[arrival.event_id].rejected |= not self.rejects_everything
            self._rejected_at = self._rejected_at if self.rejects_everything else now
            self._rejections.append(arrival.event_id)
        if self._failing_since is None and not arrival.rejected:
            self._failing_since = now
        if answer.error is None and answer.status == 410:
            self._silent_from = now if self._silent_from is None else self._silent_from
            self._alert_possible = False
        if answer.error is None and answer.retry_after is not None:
            wait = min(answer.retry_after, _LONGEST_WAIT)
            self._waits_until = max(self._waits_until, now + wait)

    @property
    def rejects_everything(self) -> bool:
        """Whether five requests in a row were rejected, of several deliveries, none accepted."""
        return len(self._rejections) >= REJECTED_AFTER and len(set(self._rejections)) > 1

    def _knows(self, arrival: Arrival) -> bool:
        """Return whether it was known before this request that everything is rejected."""
        return self.rejects_everything and arrival.at > self._rejected_at + _MARGIN

    def _check_silence(self, arrival: Arrival) -> None:
        if self._silent_from is not None and arrival.at > self._silent_from + _MARGIN:
            self.broken(f"{arrival.event_id} was sent while the channel was to be silent")

    def _check_order(self, arrival: Arrival) -> None:
        queue = self._queues[self._task[arrival.event_id]]
        earlier = queue[: queue.index(arrival.event_id)]
        if not (waiting := [one for one in earlier if not self.sent[one].accepted]):
            return
        states = self._database.states()
        for event_id in waiting:
            passed = (
                states.get(event_id, "failed") == "failed" or self.sent[arrival.event_id].retried
            )
            if not passed and not self._may_be_passed(self.sent[event_id], arrival):
                self.broken(f"{arrival.event_id} arrived before {event_id}")

    def _may_be_passed(self, sent: Sent, arrival: Arrival) -> bool:
        if sent.first_wall is None:
            return False
        waited = sent.jumped or arrival.wall >= sent.first_wall + sent.waits - 1.0
        return waited or sent.retried or (sent.rejected and not self._knows(arrival))

    def _check_rate(self, arrival: Arrival, sent: Sent) -> None:
        minute = [at for at in sent.begun if at > max(arrival.at - 60.0, self._demanded_at)]
        if len(minute) > _MOST_A_MINUTE:
            self.broken(f"{arrival.event_id} was sent {len(minute)} times in a minute")
        gap = arrival.at - self._attempted_at
        self._attempted_at = arrival.at
        if self._knows(arrival) and not self.closing and gap < PROBES - _MARGIN:
            self.broken(f"a receiver that rejects everything got a request after {gap:.2f} s")

    def check_attention(self) -> None:
        """Check that a pending delivery did not wait too long for any attempt."""
        now = anyio.current_time()
        since = max(self._active_at, self._waits_until)
        if self.disk_full or self._silent_from is not None or self.in_flight:
            return
        if now - since > ATTENTION and "pending" in self._database.states().values():
            self.broken(f"nothing was attempted for {now - since:.1f} s")

    def check_alert(self) -> None:
        """Check that an outage is announced in time."""
        now, since = anyio.current_time(), self._failing_since
        if since is None or not self._alert_possible or self.disk_full:
            return
        if now - since > ALERT_AFTER + ATTENTION and not self._database.announced():
            self.broken(f"the channel has failed for {now - since:.0f} s, unannounced")

    # At the end

    def check_end(self) -> None:
        """Check that nothing is lost, once the receiver accepts everything again."""
        accepts = self._last is not None and self._last.accepted
        events = {event_id: self.sent[event_id] for event_id in self._task}
        for text in [*_lost(self._database, events), *_outages(self._database, accepts=accepts)]:
            self.broken(text)


def _is_smaller_form(last: Arrival | None, arrival: Arrival) -> bool:
    """Return whether it follows in the same attempt as the `last` arrival of its event."""
    return last is not None and len(arrival.body) < len(last.body) and not last.accepted


def _lost(database: Database, events: dict[str, Sent]) -> Iterator[str]:
    """Say which events were not delivered, and are not where a person finds them."""
    states = database.states()
    for event_id, sent in events.items():
        state = states.get(event_id)
        if state == "pending":
            yield f"{event_id} is still pending"
        if state == "delivered" and not sent.accepted:
            yield f"{event_id} counts as delivered but was not accepted"
        if state == "failed" and not sent.begun:
            yield f"{event_id} failed without an attempt"


def _outages(database: Database, *, accepts: bool) -> Iterator[str]:
    """Say which outage was not announced once, with its end if the receiver now `accepts`."""
    rows = database.query("SELECT type FROM events WHERE type LIKE 'channel.%' ORDER BY id")
    kinds = [str(kind).partition(".")[2] for (kind,) in rows]
    outage: str | None = None
    for kind in kinds:
        if kind == "recovered" and outage is None:
            yield f"recovered without an outage: {kinds}"
        if kind == "failing" and outage is not None:
            yield f"one outage was announced twice: {kinds}"
        outage = None if kind == "recovered" else kind
    if outage is not None and accepts:
        yield f"the end of the outage was not announced: {kinds}"
