"""How the runs of a discovery rule ended, for the daemon's status."""

from watcher.core.settings import DiscoverySettings
from watcher.core.status import RuleStatus


class RuleRecord:
    """`last_run_at` is the end of the last run without an error, in Unix seconds."""

    def __init__(self, name: str, source: str, rule: DiscoverySettings) -> None:
        self._name = name
        self._source = source
        self._rule = rule
        self._last_run_at: float | None = None
        self._error: str | None = None
        self._new = 0
        self._last_found: int | None = None
        self._last_found_at: float | None = None
        self.truncated = False

    def found(self, new: int) -> None:
        """Note new tasks of the present run."""
        self._new += new

    def succeeded(self, now: float) -> None:
        self._last_run_at, self._error = now, None
        if self._new:
            self._last_found, self._last_found_at, self._new = self._new, now, 0

    def failed(self, error: Exception) -> None:
        self._error = str(error)

    def status(self) -> RuleStatus:
        return RuleStatus(
            name=self._name,
            source=self._source,
            every=self._rule.every,
            last_run_at=self._last_run_at,
            error=self._error,
            truncated=self.truncated,
            last_found=self._last_found,
            last_found_at=self._last_found_at,
        )
