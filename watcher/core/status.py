"""What the daemon does now, as records: for the API, `watcher status`, and `attention`.

Times are Unix seconds, durations seconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from watcher.core.channels import ChannelState
from watcher.core.deliveries import OutboxDepth
from watcher.core.interfaces.maintenance import StoreSize
from watcher.core.summary import StoredSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceStatus:
    """A source and the tasks that are polled from it. `reason` and `since` are set while it is
    down; `active` counts its watches by status, None for those that upstream has not shown yet.
    """

    name: str
    type: str
    reason: str | None
    since: float | None
    active: Mapping[str | None, int]
    requests_per_minute: int
    budget_left: Mapping[str, float]
    """Requests that could be sent now, by route; infinite without a limit."""
    behind: float
    """For how long the most overdue poll has been due."""
    max_interval: float
    last_success_at: float | None
    last_error: str | None = None
    last_error_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleStatus:
    """A discovery rule. `error` is why its last run failed; `truncated` that the last complete run
    stopped at `max_pages`. `last_found` is how many new tasks the last run found that found any.
    """

    name: str
    source: str
    every: float
    last_run_at: float | None
    error: str | None
    truncated: bool
    last_found: int | None = None
    last_found_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaStatus:
    """A process of the watcher. `units` is how many sources and channels, or slices of them, it
    serves; `lag` by how many seconds its most overdue poll is late.
    """

    name: str
    version: str
    started_at: float
    units: int
    lag: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The whole daemon at one moment, `at`."""

    at: float
    started_at: float
    uptime: float
    sources: Sequence[SourceStatus]
    channels: Sequence[ChannelState]
    depths: Mapping[str, OutboxDepth]
    """By channel, configured or not."""
    rules: Sequence[RuleStatus]
    stored: StoredSummary
    size: StoreSize
    unready: str | None = None
    """Why events cannot be stored; None if they can."""
    replicas: Sequence[ReplicaStatus] = ()
