"""The daemon's status as what templates show. Pure."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from watcher.api.page.marks import BAD, OK, RUN, STOP, WARN, Mark, mark, of_channel, of_status
from watcher.api.page.paths import address
from watcher.api.page.words import plural
from watcher.core.channels import SuspensionKind
from watcher.core.deliveries import OutboxDepth
from watcher.core.reading import BatchSummary
from watcher.core.settings import Settings
from watcher.core.status import SourceStatus, Status
from watcher.core.summary import Minute

BAR_HEIGHT = 44
BAR_WIDTH = 16
BAR_STEP = 19
ENDED = ("FAILED", "COMPLETED_WITH_ERRORS", "COMPLETED", "CANCELED", "SKIPPED")
ORDER = (
    "IN_PROGRESS",
    "PROCESSING",
    "PENDING",
    "QUEUED",
    None,
    *ENDED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """How many tasks are watched, and how many of them still run."""

    running: int
    watched: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How many tasks have a status, and the address that lists them."""

    mark: Mark
    count: int
    link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """The last hour, a bar a minute. `failures`, on top, and all `others` are one path each, so
    that a page has as many elements when the hour is full. `last` is the last whole minute.
    """

    others: str
    failures: str
    width: int
    last: int
    total: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRow:
    """A source. `limit` and `left` are requests a minute and now, None without a limit."""

    name: str
    type: str
    mark: Mark
    reason: str | None
    since: float | None
    running: int
    requests: int
    limit: int | None
    left: float | None
    behind: float
    last_success_at: float | None
    last_error: str | None
    last_error_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelRow:
    """A channel and the depth of its outbox."""

    name: str
    type: str
    mark: Mark
    reason: str | None
    since: float | None
    held: bool
    """Whether nothing is sent until it is resumed."""
    pending: int
    oldest_at: float | None
    failed: int
    delivered_at: float | None
    """When its newest delivered delivery was delivered."""


def totals(status: Status) -> Totals:
    """Return the totals of all sources."""
    running = sum(sum(source.active.values()) for source in status.sources)
    return Totals(running=running, watched=running + sum(status.stored.ended.values()))


def counts(status: Status) -> list[Count]:
    """Return how many tasks have each status, those that still run first."""
    found: Counter[str | None] = Counter(status.stored.ended)
    for source in status.sources:
        found.update(source.active)
    ordered = [*ORDER, *sorted({word for word in found if word not in ORDER and word})]
    return [
        Count(mark=of_status(word), count=found[word], link=_list_of(word))
        for word in ordered
        if found[word]
    ]


def _list_of(status: str | None) -> str:
    return address("tasks", {"status": status} if status else {"state": "active"})


def bars(minutes: Sequence[Minute]) -> Bars:
    """Return the transitions of each minute, and how many of them to FAILED, as bars."""
    most = max((minute.transitions for minute in minutes), default=0) or 1
    others, failures = [], []
    for place, minute in enumerate(minutes):
        height, failed = _scaled(minute.transitions, most), _scaled(minute.failed, most)
        failures.append(_bar(place, height, height - failed))
        others.append(_bar(place, height - failed, 0))
    return Bars(
        others="".join(others),
        failures="".join(failures),
        width=len(minutes) * BAR_STEP,
        last=minutes[-2].transitions if len(minutes) > 1 else 0,
        total=sum(minute.transitions for minute in minutes),
        failed=sum(minute.failed for minute in minutes),
    )


def _bar(place: int, top: int, bottom: int) -> str:
    """Return the part of a bar between two heights, as a path."""
    x, y, height = place * BAR_STEP, BAR_HEIGHT - top, top - bottom
    return f"M{x} {y}h{BAR_WIDTH}v{height}h-{BAR_WIDTH}z" if height else ""


def _scaled(count: int, most: int) -> int:
    return math.ceil(count / most * BAR_HEIGHT)


def sources(status: Status, settings: Settings) -> list[SourceRow]:
    """Return the sources as they are now."""
    limits = {source.name: source.requests_per_minute for source in settings.sources}
    return [_source(source, limits.get(source.name)) for source in status.sources]


def _source(source: SourceStatus, limit: int | None) -> SourceRow:
    left = min(source.budget_left.values(), default=math.inf)
    return SourceRow(
        name=source.name,
        type=source.type,
        mark=mark(OK, "up") if source.reason is None else mark(BAD, "unreachable"),
        reason=source.reason and (source.last_error or source.reason),
        since=source.since,
        running=sum(source.active.values()),
        requests=source.requests_per_minute,
        limit=limit,
        left=None if math.isinf(left) else left,
        behind=source.behind,
        last_success_at=source.last_success_at,
        last_error=source.last_error,
        last_error_at=source.last_error_at,
    )


def budgets(source: SourceStatus) -> list[tuple[str, float | None]]:
    """Return the requests that could be sent now, by route; None without a limit."""
    left = sorted(source.budget_left.items())
    return [(route, None if math.isinf(count) else count) for route, count in left]


def channels(status: Status, delivered: Mapping[str, float]) -> list[ChannelRow]:
    """Return the configured channels as they are now; `delivered` is when each last delivered."""
    return [
        ChannelRow(
            name=channel.name,
            type=channel.type,
            mark=of_channel(channel.state),
            reason=channel.reason,
            since=channel.since,
            held=channel.state in tuple(SuspensionKind),
            pending=depth.pending,
            oldest_at=depth.oldest_created_at,
            failed=depth.failed,
            delivered_at=delivered.get(channel.name),
        )
        for channel in status.channels
        for depth in [status.depths.get(channel.name) or OutboxDepth.empty(channel.name)]
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """A choice above the list of tasks. `name` and `value` are its parameter."""

    word: str
    count: int
    name: str | None
    value: str | None


def chips(status: Status) -> list[Chip]:
    """Return the choices of the list of tasks, with their counts."""
    whole, ended, stored = totals(status), status.stored.ended, status.stored
    found = [
        Chip(word="All", count=whole.watched, name=None, value=None),
        Chip(word="Running", count=whole.running, name="state", value="active"),
    ]
    for word in (*ENDED, *sorted(set(ended) - set(ENDED))):
        count = ended.get(word, 0)
        found.append(Chip(word=of_status(word).word, count=count, name="status", value=word))
    for word, count in (("lost", stored.lost), ("stalled", stored.stalled)):
        if count:
            found.append(Chip(word=word.capitalize(), count=count, name=word, value="1"))
    return found


def counts_of_batch(summary: BatchSummary) -> list[Count]:
    """Return how many tasks of a batch have each status, those that still run first."""
    order = {word: place for place, word in enumerate(ORDER)}
    counted = sorted(summary.counts.items(), key=lambda one: order.get(one[0], len(order)))
    return [
        Count(
            mark=of_status(word),
            count=count,
            link=address("tasks", {"batch": summary.batch, "status": word}),
        )
        for word, count in counted
    ]


def of_batch(summary: BatchSummary) -> Mark:
    """Return the mark of a batch; its word is the sentence that describes it."""
    running = f", {summary.active:,} running" if summary.active else ""
    wholly = summary.counts.get("FAILED", 0)
    partly = summary.failed - wholly
    if wholly:
        also = f", {partly:,} partly" if partly else ""
        return mark(BAD, f"{wholly:,} of {summary.size:,} failed{also}{running}")
    if partly:
        return mark(WARN, f"{partly:,} of {summary.size:,} failed partly{running}")
    if summary.active:
        return mark(RUN, f"{summary.active:,} of {summary.size:,} running")
    done = summary.counts.get("COMPLETED", 0)
    if done == summary.size:
        return mark(OK, f"{plural(done, 'task')} completed")
    return mark(STOP, f"{done:,} of {summary.size:,} completed")
