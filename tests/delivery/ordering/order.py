"""Whether the events of each task arrive in order at one receiver, and what was sent of them."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.delivery.ordering.database import Database
from tests.delivery.ordering.receiver import Arrival


@dataclass(kw_only=True)
class Sent:
    """What was sent of one event since it was stored or replayed. `waits` is the shortest
    `order_wait` of its attempts, `jumped` whether the clock has jumped since the first, `claimed`
    whether it may have been claimed before earlier ones were replayed.
    """

    first_wall: float | None = None
    accepted: bool = False
    rejected: bool = False
    retried: bool = False
    jumped: bool = False
    claimed: bool = False
    waits: float = float("inf")
    last: Arrival | None = None


@dataclass(kw_only=True)
class Record:
    """What does not end with a replay: the bodies by their sizes, and when attempts began."""

    forms: dict[int, bytes] = field(default_factory=dict)
    begun: list[float] = field(default_factory=list)


class Order:
    """Follows the events that are stored for one channel."""

    def __init__(self, database: Database) -> None:
        self.sent: dict[str, Sent] = defaultdict(Sent)
        self.records: dict[str, Record] = defaultdict(Record)
        self._database = database
        self._queues: dict[str, list[str]] = defaultdict(list)
        self._task: dict[str, str] = {}
        self._before_replay: dict[str, str] | None = None

    def __contains__(self, event_id: str) -> bool:
        return event_id in self._task

    def __len__(self) -> int:
        return len(self._task)

    def stored(self, task_id: str, event_id: str) -> None:
        self._queues[task_id].append(event_id)
        self._task[event_id] = task_id

    def not_stored(self, task_id: str) -> None:
        """Note that the last event of a task was not stored after all."""
        self._task.pop(self._queues[task_id].pop())

    def jumped(self) -> None:
        for sent in self.sent.values():
            sent.jumped = sent.first_wall is not None

    # Replays

    def replay_begins(self) -> None:
        self._before_replay = self._database.states()

    def committed(self) -> None:
        """Note what a commit has made pending again, if it may be that of a replay."""
        if (before := self._before_replay) is None:
            return
        self._before_replay = after = self._database.states()
        for queue in self._queues.values():
            pending = [one for one in queue if before.get(one) == "pending"]
            for event_id in queue:
                if after.get(event_id) == "pending" and before.get(event_id) != "pending":
                    self.sent[event_id] = Sent()
            for event_id in pending:
                tried = self.sent[event_id].first_wall is not None
                self.sent[event_id].claimed = tried or event_id == pending[0]

    def replay_ends(self) -> None:
        self._before_replay = None

    # Requests

    def begins(self, arrival: Arrival, order_wait: float) -> None:
        """Note an arrival, once it is checked."""
        for event_id in arrival.event_ids:
            sent = self.sent[event_id]
            sent.first_wall = arrival.wall if sent.first_wall is None else sent.first_wall
            sent.waits = min(sent.waits, order_wait)
            sent.accepted |= arrival.accepted
            sent.last, sent.claimed = arrival, False
            self.records[event_id].begun.append(arrival.at)

    def is_smaller_form(self, arrival: Arrival) -> bool:
        """Return whether it follows in the same attempt as the last arrival of its event."""
        last = self.sent[arrival.event_ids[0]].last
        if last is None or last.is_digest or last.accepted:
            return False
        return len(arrival.body) < len(last.body)

    def bodies_changed(self, arrival: Arrival) -> bool:
        if arrival.is_digest:
            return False
        forms = self.records[arrival.event_ids[0]].forms
        return forms.setdefault(len(arrival.body), arrival.body) != arrival.body

    def overtaken(self, arrival: Arrival, *, rejections_pass: bool) -> Iterator[tuple[str, str]]:
        """Return the events that may not arrive yet, each with an earlier one that has to be
        before it. With `rejections_pass` the rejection of an event lets later ones pass.
        """
        for number, event_id in enumerate(arrival.event_ids):
            queue, sent = self._queues[self._task[event_id]], self.sent[event_id]
            with_it = arrival.event_ids[:number]
            earlier = queue[: queue.index(event_id)]
            waiting = [one for one in earlier if one not in with_it and not self.sent[one].accepted]
            if not waiting or sent.retried or sent.claimed:
                continue
            states = self._database.states()
            for one in waiting:
                ended = states.get(one, "failed") == "failed"
                if not ended and not _may_be_passed(self.sent[one], arrival, rejections_pass):
                    yield event_id, one

    # At the end

    def lost(self) -> Iterator[str]:
        """Say which events were not delivered, and are not where a person finds them."""
        states = self._database.states()
        for event_id in self._task:
            state = states.get(event_id)
            if state == "pending":
                yield f"{event_id} is still pending"
            if state == "delivered" and not self.sent[event_id].accepted:
                yield f"{event_id} counts as delivered but was not accepted"
            if state == "failed" and not self.records[event_id].begun:
                yield f"{event_id} failed without an attempt"


def _may_be_passed(sent: Sent, arrival: Arrival, rejections_pass: bool) -> bool:
    if sent.first_wall is None:
        return False
    waited = sent.jumped or arrival.wall >= sent.first_wall + sent.waits - 1.0
    return waited or sent.retried or (sent.rejected and rejections_pass)
