"""Whether each watched task is observed often enough, and whether the end is right."""

from collections.abc import Mapping, Sequence

from tests.simulation.configuration import UNREACHABLE_AFTER
from tests.simulation.faults import Hides
from tests.simulation.invariants import Invariants
from tests.simulation.lives import Life, canonical
from tests.simulation.scenario import SOURCE, Scenario
from tests.simulation.upstream import LONGEST_WAIT, FaultWindow, Upstream
from watcher.polling.change_coverage import CONFIRMED_EVERY

PATIENCE = 60.0
"""Seconds without an observation that are allowed beside those of faults. A task that a request for
changes names may be gone for `CONFIRMED_EVERY` longer, until a page shows it.
"""
FEW_WATCHES = 5
"""Fewer active watches may all be gone upstream without making the source suspect."""

_LIST_UNUSED = 660.0
"""Seconds that a list which misbehaved is not used, so that each task costs a request."""

_LIST_GIVEN_UP = 100.0
"""Seconds until three list requests for the same task have failed."""


def _hides_until(window: FaultWindow, task_id: str, hidden_until: float) -> float:
    """Return until when a window hides a task that others hid until `hidden_until`."""
    if window.hides(task_id):
        return window.quiet_until
    if window.fault.hides is Hides.LIST:
        # While nothing was answered, nothing was learnt about the list.
        return min(window.ends, max(window.begins, hidden_until) + _LIST_GIVEN_UP)
    return 0.0


def _limits(window: FaultWindow, now: float) -> bool:
    """Return whether the answers of a fault were 429."""
    name = window.fault.name
    return window.begins <= now and ("1015" in name or "rate" in name or "retry after" in name)


class Attention:
    """Compares what the daemon has learnt with what upstream would have shown."""

    def __init__(self, scenario: Scenario, upstream: Upstream, invariants: Invariants) -> None:
        self._scenario = scenario
        self._upstream = upstream
        self._invariants = invariants
        self._reported: set[str] = set()
        reloaded = [action.settings.get("polling", {}) for action in scenario.actions]
        self._gets_alone = any(
            polling.get("mode") == "get" for polling in (scenario.polling, *reloaded)
        )
        self.watched: dict[str, float] = {}
        """When each task was added, in virtual seconds."""

    def check(self, now: float, ready_at: float) -> None:
        """Note each active task that has not been observed for too long. `ready_at` is when the
        daemon started.
        """
        active = self._invariants.query(
            "SELECT task_id FROM watches WHERE state = 'active' AND lost_at IS NULL"
        )
        usual = PATIENCE + self._turn(now)
        for (name,) in active:
            task_id = str(name)
            named = now - self._upstream.named.get(task_id, -usual) < usual
            allowed = usual + (CONFIRMED_EVERY if named else 0.0)
            since = max(
                self._upstream.learnt.get(task_id, 0.0),
                self.watched.get(task_id, 0.0),
                self._hidden_until(task_id, now),
                ready_at,
            )
            if now - since > allowed and task_id not in self._reported:
                self._reported.add(task_id)
                self._invariants.broken(f"{task_id} was not observed for {now - since:.0f} s")

    def _hidden_until(self, task_id: str, now: float) -> float:
        begun = [window for window in self._upstream.windows if window.begins <= now]
        quiet = [window.quiet_until for window in begun if window.hides(task_id)]
        return max(
            (min(_hides_until(window, task_id, max(quiet, default=0.0)), now) for window in begun),
            default=0.0,
        )

    def _turn(self, now: float) -> float:
        """Return the seconds until each task had its turn, while each costs a request.

        Every fourth place is for the most overdue task, so no task waits for longer.
        """
        limit = self._scenario.limit
        if limit is None or not self._list_unused(now):
            return 0.0
        turn = 4 * len(self._upstream.lives) * 60.0 / limit
        # After a 429 the limit is halved, and grows back by one a minute.
        return turn * (4 if any(_limits(window, now) for window in self._upstream.windows) else 1)

    def _list_unused(self, now: float) -> bool:
        return self._gets_alone or any(
            window.begins <= now < window.quiet_until + _LIST_UNUSED
            for window in self._upstream.windows
            if window.fault.hides is not Hides.NOTHING
        )

    def check_outage(self, now: float, ready_at: float) -> None:
        """Check that the source is announced as unreachable where nothing could be learnt."""
        active = self._invariants.query(
            "SELECT 1 FROM watches WHERE state = 'active' AND lost_at IS NULL LIMIT 1"
        )
        began = max(self._upstream.learnt_at, ready_at, max(self.watched.values(), default=now))
        paused = [
            min(window.fault.pause, LONGEST_WAIT)
            for window in self._upstream.windows
            if window.begins <= now and window.quiet_until > began
        ]
        allowed = UNREACHABLE_AFTER + PATIENCE + 3 * max(paused, default=0.0)
        stored = not any(window.ends > began for window in self._scenario.disk)
        announced = self._invariants.announced(f"source {SOURCE}")
        # A rule takes its share of the requests, and its failures do not count.
        alone = self._scenario.discovery is None or not paused
        if active and stored and alone and not announced and now - began > allowed:
            self._invariants.broken(f"nothing was learnt for {now - began:.0f} s, unannounced")

    def unfinished(self) -> list[str]:
        """Return what is not as it should be once every fault is over; nothing where all is."""
        rows = self._invariants.query("SELECT task_id, status, state, lost_at FROM watches")
        stored = {str(task_id): values for task_id, *values in rows}
        suspect = self._is_suspect(stored)
        left = [
            f"{task_id} is stored as {stored.get(task_id)}, upstream has {life.changes[-1][1]}"
            for task_id, life in self._upstream.lives.items()
            if (task_id in self.watched or life.discovered)
            and not (suspect and _is_gone(life))
            and not _is_final(life, *stored.get(task_id, (None, None, None)))
        ]
        for channel, count in self._invariants.query(
            "SELECT channel, count(*) FROM deliveries WHERE state = 'pending' GROUP BY channel"
        ):
            left.append(f"{count} deliveries to {channel} are pending")
        watched = self._invariants.query("SELECT 1 FROM watches WHERE state = 'active' LIMIT 1")
        left += [
            f"the outage of {subject} is not over"
            for (subject,) in self._invariants.query("SELECT subject FROM outages")
            if self._can_be_over(str(subject), watched=bool(watched) and not suspect)
        ]
        return left

    def _can_be_over(self, subject: str, *, watched: bool) -> bool:
        """Return whether anything has shown the end of this outage.

        A source shows it by its answer for a task, a channel by accepting a delivery: after those
        that were too large in every form nothing may be left to deliver.
        """
        if subject == f"source {SOURCE}":
            return watched
        return self._invariants.accepts.get(subject.removeprefix("channel "), True)

    def _is_suspect(self, stored: Mapping[str, Sequence[object]]) -> bool:
        """Return whether upstream does not know most of five or more active watches: then the
        source is taken for the wrong one, and none of them for lost.
        """
        active = [
            task_id
            for task_id, (_, state, lost_at) in stored.items()
            if state == "active" and lost_at is None
        ]
        gone = [task_id for task_id in active if _is_gone(self._upstream.lives[task_id])]
        return len(active) >= FEW_WATCHES and 2 * len(gone) > len(active)


def _is_gone(life: Life) -> bool:
    return life.gone_until == float("inf") and life.gone_from < float("inf")


def _is_final(life: Life, status: object, state: object, lost_at: object) -> bool:
    """Return whether this is the right end: what upstream has, or a task that it lost."""
    if status == canonical(life.changes[-1][1]):
        return True
    return _is_gone(life) and (lost_at is not None or state == "done")
