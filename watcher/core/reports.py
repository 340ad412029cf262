"""What each replica reports about what it serves, and what all reports show together. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, isinf

from watcher.core.channels import ChannelState
from watcher.core.interfaces.budgets import left_for
from watcher.core.status import RuleStatus, SourceStatus

MOST_TEXT = 200
"""Characters of an error in a report."""
_UNSUSPENDED = ("running", "failing")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReport:
    """What `SourceStatus` has of one replica. `active` are pairs of a status and its watches,
    `budget_left` of a route and its requests, None without a limit.
    """

    name: str
    reason: str | None = None
    since: float | None = None
    active: tuple[tuple[str | None, int], ...] = ()
    requests_per_minute: int = 0
    budget_left: tuple[tuple[str, float | None], ...] = ()
    behind: float = 0.0
    last_success_at: float | None = None
    last_error: str | None = None
    last_error_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one replica serves, as it was when it renewed its session."""

    sources: tuple[SourceReport, ...] = ()
    channels: tuple[ChannelState, ...] = ()
    rules: tuple[RuleStatus, ...] = ()
    late: str | None = None
    """Which of its loops or sources is late, so that no heartbeat may be sent."""


NOTHING_REPORTED = Report()


def report_of(
    sources: Iterable[SourceStatus],
    channels: Iterable[ChannelState],
    rules: Iterable[RuleStatus],
    late: str | None = None,
) -> Report:
    """Return the report of a replica, with errors cut at `MOST_TEXT` characters."""
    return Report(
        sources=tuple(
            SourceReport(
                name=source.name,
                reason=_cut(source.reason),
                since=source.since,
                active=tuple(source.active.items()),
                requests_per_minute=source.requests_per_minute,
                budget_left=tuple(
                    (route, None if isinf(left) else left)
                    for route, left in source.budget_left.items()
                ),
                behind=source.behind,
                last_success_at=source.last_success_at,
                last_error=_cut(source.last_error),
                last_error_at=source.last_error_at,
            )
            for source in sources
        ),
        channels=tuple(replace(channel, reason=_cut(channel.reason)) for channel in channels),
        rules=tuple(replace(rule, error=_cut(rule.error)) for rule in rules),
        late=_cut(late),
    )


def merged_source(
    status: SourceStatus, reports: Sequence[Report], left: Mapping[str, float]
) -> SourceStatus:
    """Return a source as all replicas together see it. It is down if it is for one of them. `left`
    is what the budgets hold that replicas share, by name.
    """
    found = [one for report in reports for one in report.sources if one.name == status.name]
    down = min(
        (one for one in found if one.reason is not None),
        key=lambda one: (one.since or 0.0, one.reason or ""),
        default=None,
    )
    failed = _newest((one.last_error_at, one.last_error) for one in found)
    return replace(
        status,
        reason=None if down is None else down.reason,
        since=None if down is None else down.since,
        active=_counts(found),
        requests_per_minute=sum(one.requests_per_minute for one in found),
        budget_left=_budgets(status.name, found, left),
        behind=max((one.behind for one in found), default=0.0),
        last_success_at=max(_known(one.last_success_at for one in found), default=None),
        last_error_at=failed[0],
        last_error=failed[1],
    )


def merged_channel(stored: ChannelState, reports: Sequence[Report]) -> ChannelState:
    """Return the state of a channel: as the store has it, which knows each suspension; or failing
    if it is for one of its owners, since the earliest.
    """
    if stored.state not in _UNSUSPENDED:
        return stored
    found = [
        one
        for report in reports
        for one in report.channels
        if one.name == stored.name and one.state in _UNSUSPENDED
    ]
    return min((stored, *found), key=_worst)


def _worst(channel: ChannelState) -> tuple[bool, bool, float, str]:
    running = channel.state == "running"
    return running, channel.reason is None, channel.since or 0.0, channel.reason or ""


def merged_rules(reports: Sequence[Report]) -> Sequence[RuleStatus]:
    """Return each rule, by its name, as the replica sees it that ran it last."""
    found: dict[str, RuleStatus] = {}
    for rule in sorted(
        (rule for report in reports for rule in report.rules),
        key=lambda rule: (rule.name, rule.last_run_at or 0.0, rule.error or ""),
    ):
        found[rule.name] = rule
    return [*found.values()]


def _counts(found: Iterable[SourceReport]) -> Mapping[str | None, int]:
    counts: dict[str | None, int] = {}
    for status, count in (pair for one in found for pair in one.active):
        counts[status] = counts.get(status, 0) + count
    return dict(sorted(counts.items(), key=lambda pair: pair[0] or ""))


def _budgets(
    source: str, found: Iterable[SourceReport], left: Mapping[str, float]
) -> Mapping[str, float]:
    """Return by route how many requests could be sent now, infinite without a limit. What a replica
    reports counts alone where no replica has taken a request yet.
    """
    budgets: dict[str, float] = {}
    for route, reported in (pair for one in found for pair in one.budget_left):
        shared = left_for(source, route, left)
        requests = inf if reported is None else reported if shared is None else shared
        budgets[route] = min(requests, budgets.get(route, inf))
    return dict(sorted(budgets.items()))


def _known(times: Iterable[float | None]) -> list[float]:
    return [time for time in times if time is not None]


def _newest(errors: Iterable[tuple[float | None, str | None]]) -> tuple[float | None, str | None]:
    return max(errors, key=lambda error: (error[0] or 0.0, error[1] or ""), default=(None, None))


def _cut(text: str | None) -> str | None:
    """Return a text of bounded size that can be encoded."""
    text = text if text is None else text.encode(errors="replace").decode()
    return text if text is None or len(text) <= MOST_TEXT else f"{text[: MOST_TEXT - 1]}…"
