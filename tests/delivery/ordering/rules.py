"""What has to hold at each request of one channel. A broken rule is a line in `problems`."""

from collections.abc import Iterator, Sequence

import anyio

from tests.delivery.ordering.database import Database
from tests.delivery.ordering.order import Order
from tests.delivery.ordering.receiver import Arrival
from watcher.delivery.circuit_breaker import REJECTED_AFTER

ALERT_AFTER = 300.0
ATTENTION = 61.0
"""Seconds without an attempt that are allowed while a delivery is pending."""
PROBES = 60.0
"""Seconds between two requests to a receiver that rejects everything."""
_LONGEST_WAIT = 3600.0
_MOST_A_MINUTE = 14
_MARGIN = 0.25
"""Seconds that a request takes from its decision to its arrival, and a commit."""


class Rules:
    """Follows what a receiver answers, and what operators demand.

    `order_wait` is the setting of the running process. While `closing`, what was never attempted is
    sent once, whatever the receiver has answered.
    """

    def __init__(self, database: Database) -> None:
        self.order = Order(database)
        self.problems: list[str] = []
        self.order_wait = 600.0
        self.closing = False
        self.in_flight = 0
        self.paused = False
        self._database = database
        self._silent_from: float | None = None
        self._disk_full = False
        self._disk_filled_until = 0.0
        self._last_ended: Arrival | None = None
        self._demanded_at = 0.0
        self._attempted_at = 0.0
        self._rejected_at = 0.0
        self._active_at = 0.0
        self._waits_until = 0.0
        self._rejections: list[Sequence[str]] = []
        self._failing_since: float | None = None
        self._alert_possible = True

    def broken(self, text: str) -> None:
        self.problems.append(f"{anyio.current_time():.3f} s: {text}")

    def stored(self, task_id: str, event_id: str) -> None:
        self.order.stored(task_id, event_id)
        self.acted()

    def starts(self, order_wait: float, *, kept: bool) -> None:
        """Note that a process starts, with the settings of the last one if `kept`."""
        self.order_wait, self.closing, self.in_flight = order_wait, False, 0
        kind = self._database.suspension()
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
        self.order.jumped()
        if seconds < 0 and self._waits_until > now:
            self._waits_until -= seconds
        self._alert_possible = False
        self.acted()

    def disk(self, *, full: bool) -> None:
        """Note that nothing can be stored from now on, or everything again."""
        self._disk_full, self._disk_filled_until = full, anyio.current_time()
        self.acted()

    def replayed(self) -> None:
        """Note that what was delivered is sent again."""
        self.order.replay_ends()
        self._demanded_at = anyio.current_time()
        self.acted()

    def _forget(self) -> None:
        self._rejections.clear()
        self._failing_since = None
        self._alert_possible = self._silent_from is None

    # Requests

    def begins(self, arrival: Arrival) -> None:
        """Check a request that arrives."""
        self.check_attention()
        self.in_flight += 1
        if self.order.bodies_changed(arrival):
            self.broken(f"the body of {arrival.event_ids[0]} has changed")
        if not self.order.is_smaller_form(arrival):  # an attempt in flight is completed
            self._check_silence(arrival)
            passes = not self._knows(arrival)
            for event_id, earlier in self.order.overtaken(arrival, rejections_pass=passes):
                self.broken(f"{event_id} arrived before {earlier}")
            self._check_rate(arrival)
        self.order.begins(arrival, self.order_wait)

    def ends(self, arrival: Arrival) -> None:
        """Note that a request was answered, or given up."""
        now, answer = anyio.current_time(), arrival.answer
        self._active_at, self._last_ended = now, arrival
        self.in_flight -= 1
        if arrival.accepted and answer.error is None:
            self._forget()
            return
        if arrival.rejected:
            for event_id in arrival.event_ids:
                self.order.sent[event_id].rejected |= not self.rejects_everything
            self._rejected_at = self._rejected_at if self.rejects_everything else now
            self._rejections.append(arrival.event_ids)
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
        several = len({event_id for ids in self._rejections for event_id in ids}) > 1
        return several and len(self._rejections) >= REJECTED_AFTER

    def _knows(self, arrival: Arrival) -> bool:
        """Return whether it was known before this request that everything is rejected."""
        return self.rejects_everything and arrival.at > self._rejected_at + _MARGIN

    def _check_silence(self, arrival: Arrival) -> None:
        if self._silent_from is not None and arrival.at > self._silent_from + _MARGIN:
            self.broken(f"{arrival.event_ids[0]} was sent while the channel was to be silent")

    def _check_rate(self, arrival: Arrival) -> None:
        since = max(arrival.at - 60.0, self._demanded_at)
        for event_id in arrival.event_ids:
            minute = [at for at in self.order.records[event_id].begun if at > since]
            if len(minute) > _MOST_A_MINUTE:
                self.broken(f"{event_id} was sent {len(minute)} times in a minute")
        gap = arrival.at - self._attempted_at
        self._attempted_at = arrival.at
        if self._knows(arrival) and not self.closing and gap < PROBES - _MARGIN:
            self.broken(f"a receiver that rejects everything got a request after {gap:.2f} s")

    def check_attention(self) -> None:
        """Check that a pending delivery did not wait too long for any attempt."""
        now = anyio.current_time()
        since = max(self._active_at, self._waits_until)
        if self._disk_full or self._silent_from is not None or self.in_flight:
            return
        if now - since > ATTENTION and "pending" in self._database.states().values():
            self.broken(f"nothing was attempted for {now - since:.1f} s")

    def check_alert(self) -> None:
        """Check that an outage is announced in time."""
        now, since = anyio.current_time(), self._failing_since
        if since is None or not self._alert_possible or self._disk_full:
            return
        due_at = max(since + ALERT_AFTER, self._disk_filled_until)
        if now - due_at > ATTENTION and not self._database.is_announced():
            self.broken(f"the channel has failed for {now - since:.0f} s, unannounced")

    # At the end

    def check_end(self) -> None:
        """Check that nothing is lost, once the receiver accepts everything again."""
        last, kinds = self._last_ended, self._database.announcements()
        works = last is not None and last.accepted and last.answer.error is None
        for text in [*self.order.lost(), *_outages(kinds, works=works)]:
            self.broken(text)


def _outages(kinds: Sequence[str], *, works: bool) -> Iterator[str]:
    """Say which outage was not announced once, with its end if the last attempt succeeded."""
    outage: str | None = None
    for kind in kinds:
        if kind == "recovered" and outage is None:
            yield f"recovered without an outage: {kinds}"
        if kind == "failing" and outage is not None:
            yield f"one outage was announced twice: {kinds}"
        outage = None if kind == "recovered" else kind
    if outage is not None and works:
        yield f"the end of the outage was not announced: {kinds}"
