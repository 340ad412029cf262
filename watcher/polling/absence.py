"""Whether a task that upstream does not know is lost, or the source is wrong. Pure: time is an
argument.

A task may be called lost only after upstream has not known it for `lost_after` seconds without
interruption. The wall clock must not have jumped during that time, and most watches must not have
been unknown: then the source is suspect, and each missing task gets its full time again.

Times are monotonic seconds.
"""

from enum import Enum

from watcher.polling.reachability import Reachability


class Verdict(Enum):
    """What follows for a task that has been unknown for longer than `lost_after`."""

    LOST = "lost"
    NOT_YET = "not yet"
    SOURCE_SUSPECT = "source suspect"


class AbsenceJudge:
    """Remembers which tasks of one source are missing. `lost` tasks count neither as missing nor as
    watches.
    """

    def __init__(self, lost_after: float, reachability: Reachability) -> None:
        self._lost_after = lost_after
        self._reachability = reachability
        self._counts_from = float("-inf")
        self.missing: set[str] = set()
        self.lost: set[str] = set()

    def remember(self, task_id: str, *, missing: bool, lost: bool) -> None:
        """Take over what is stored of a task."""
        _set_member(self.lost, task_id, lost)
        _set_member(self.missing, task_id, missing and not lost)

    def observe(self, task_id: str, *, known: bool) -> None:
        """Note whether upstream knows a task that is not lost."""
        _set_member(self.missing, task_id, not known)

    def forget(self, task_id: str) -> None:
        self.remember(task_id, missing=False, lost=False)

    def review(self, watches: int, now: float) -> bool:
        """Note how many of all `watches` are missing; return whether the source went down or came
        back with it.
        """
        was_suspect = self._reachability.mostly_unknown
        changed = self._reachability.unknown(len(self.missing), watches - len(self.lost), now)
        if was_suspect and not self._reachability.mostly_unknown:
            self._counts_from = now
        return changed

    def verdict(self, now: float, *, clock_steady_since: float) -> Verdict:
        """Return what follows for a task that has been missing for longer than `lost_after`."""
        if self._reachability.mostly_unknown:
            return Verdict.SOURCE_SUSPECT
        counts_from = max(self._counts_from, clock_steady_since)
        return Verdict.LOST if now > counts_from + self._lost_after else Verdict.NOT_YET


def _set_member(members: set[str], task_id: str, belongs: bool) -> None:
    if belongs:
        members.add(task_id)
    else:
        members.discard(task_id)
