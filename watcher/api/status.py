"""The status of the daemon: what runs, what waits, and what needs a person."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Self

import msgspec
from fastapi import APIRouter, Response

from watcher import __version__
from watcher.api.channels import ChannelView
from watcher.api.dependencies import Running, json_response
from watcher.api.fields import Time, optional_time
from watcher.api.openapi import shows
from watcher.api.problems import documented
from watcher.core.attention import Attention, attention
from watcher.core.clock import rfc3339
from watcher.core.status import ReplicaStatus, RuleStatus, SourceStatus, Status

status = APIRouter(prefix="/v1/status", tags=["status"])

UNSEEN = "UNSEEN"
"""The status of a watch that upstream has not shown yet."""


class ReplicaView(msgspec.Struct, frozen=True):
    """One watcher process. `units` are the sources and channels, or slices of them, that it
    serves.
    """

    name: str
    version: str
    started_at: Time
    units: int
    lag_seconds: float

    @classmethod
    def of(cls, replica: ReplicaStatus) -> Self:
        return cls(
            name=replica.name,
            version=replica.version,
            started_at=rfc3339(replica.started_at),
            units=replica.units,
            lag_seconds=round(replica.lag, 3),
        )


class SourceStatusView(msgspec.Struct, frozen=True):
    """A source. `budget_left` has by route how many requests could be sent now, null for no limit;
    `last_error` is why a request failed last, since the start of the daemon.
    """

    name: str
    type: str
    up: bool
    reason: str | None
    since: Time | None
    active_watches: int
    requests_per_minute: int
    budget_left: dict[str, float | None]
    behind_seconds: float
    last_success_at: Time | None
    last_error: str | None
    last_error_at: Time | None

    @classmethod
    def of(cls, source: SourceStatus) -> Self:
        return cls(
            name=source.name,
            type=source.type,
            up=source.reason is None,
            reason=source.reason,
            since=optional_time(source.since),
            active_watches=sum(source.active.values()),
            requests_per_minute=source.requests_per_minute,
            budget_left={
                route: round(left, 1) if math.isfinite(left) else None
                for route, left in source.budget_left.items()
            },
            behind_seconds=round(source.behind, 3),
            last_success_at=optional_time(source.last_success_at),
            last_error=source.last_error,
            last_error_at=optional_time(source.last_error_at),
        )


class RuleStatusView(msgspec.Struct, frozen=True):
    """A discovery rule. `error` is why its last run failed; `last_found` how many new tasks the
    last run found that found any, since the start of the daemon.
    """

    name: str
    source: str
    every_seconds: float
    last_run_at: Time | None
    error: str | None
    truncated: bool
    last_found: int | None
    last_found_at: Time | None

    @classmethod
    def of(cls, rule: RuleStatus) -> Self:
        return cls(
            name=rule.name,
            source=rule.source,
            every_seconds=rule.every,
            last_run_at=optional_time(rule.last_run_at),
            error=rule.error,
            truncated=rule.truncated,
            last_found=rule.last_found,
            last_found_at=optional_time(rule.last_found_at),
        )


class AttentionView(msgspec.Struct, frozen=True):
    """One thing that needs a person. `command` shows more of it, or ends it."""

    kind: str
    subject: str
    text: str
    since: Time | None
    command: str

    @classmethod
    def of(cls, item: Attention) -> Self:
        return cls(
            kind=item.kind,
            subject=item.subject,
            text=item.text,
            since=optional_time(item.since),
            command=item.command,
        )


class StoreStatusView(msgspec.Struct, frozen=True):
    """The size of the store and its limit, null if only its server has one."""

    bytes: int
    limit_bytes: int | None


class StatusView(msgspec.Struct, frozen=True):
    """The whole daemon. `watches` counts by status, UNSEEN for those not shown yet;
    `transitions_per_minute` has the last 60 minutes, the oldest first, up to the present one;
    `attention` is ordered by urgency, and empty if all is well.
    """

    version: str
    started_at: Time
    uptime_seconds: float
    replicas: list[ReplicaView]
    sources: list[SourceStatusView]
    channels: list[ChannelView]
    watches: dict[str, int]
    discovery: list[RuleStatusView]
    transitions_per_minute: Sequence[int]
    store: StoreStatusView
    attention: list[AttentionView]


@status.get("", responses={**shows(StatusView), **documented(401, 403, 503)})
async def show_status(daemon: Running) -> Response:
    """Show what runs, what waits, and what needs a person.

    Read at most once a second, and for at most 2 % of the time: a read of 0.1 s is shown for 5 s.
    """
    return json_response(_view(await daemon.status()))


def _view(now: Status) -> StatusView:
    started_at = rfc3339(now.started_at)
    watches = Counter(now.stored.ended)
    for source in now.sources:
        for word, count in source.active.items():
            watches[word or UNSEEN] += count
    return StatusView(
        version=__version__,
        started_at=started_at,
        uptime_seconds=round(now.uptime, 3),
        replicas=[ReplicaView.of(replica) for replica in now.replicas],
        sources=[SourceStatusView.of(source) for source in now.sources],
        channels=[
            ChannelView.of(channel, now.depths.get(channel.name)) for channel in now.channels
        ],
        watches=dict(sorted(watches.items())),
        discovery=[RuleStatusView.of(rule) for rule in now.rules],
        transitions_per_minute=[minute.transitions for minute in now.stored.minutes],
        store=StoreStatusView(bytes=now.size.all_used, limit_bytes=now.size.whole_limit),
        attention=[AttentionView.of(item) for item in attention(now)],
    )
