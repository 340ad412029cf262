"""What needs a person, from the status of the daemon. Pure."""

import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from watcher.core.alert_limits import delay_limit
from watcher.core.durations import format_duration
from watcher.core.status import RuleStatus, SourceStatus, Status
from watcher.core.tasks import KNOWN_STATUSES
from watcher.core.texts import cut

FULL_SHARE = 0.8
"""Share of the store's limit above which a person should know."""
FAILURE_GROUPS = 3
"""Groups of failed tasks that are named; the others are counted together."""
_ERROR_LENGTH = 80


class AttentionKind(StrEnum):
    """What is wrong, the most urgent kind first."""

    STORE_UNWRITABLE = "store_unwritable"
    SOURCE_DOWN = "source_down"
    CHANNEL_FAILING = "channel_failing"
    CHANNEL_STOPPED = "channel_stopped"
    CHANNEL_OFF = "channel_off"
    CHANNEL_PAUSED = "channel_paused"
    POLLING_BEHIND = "polling_behind"
    TASKS_FAILED = "tasks_failed"
    DELIVERIES_FAILED = "deliveries_failed"
    TASKS_LOST = "tasks_lost"
    TASKS_STALLED = "tasks_stalled"
    STATUS_UNMAPPED = "status_unmapped"
    STORE_FULL = "store_full"
    DISCOVERY_FAILING = "discovery_failing"
    DISCOVERY_TRUNCATED = "discovery_truncated"
    CHANNEL_UNKNOWN = "channel_unknown"


UNMAPPED_SHOWN = 3
"""Unknown statuses of one source that are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """One thing that needs a person: `subject` is the source, channel, rule or status it is about,
    `command` what shows more of it.
    """

    kind: AttentionKind
    subject: str
    text: str
    since: float | None
    command: str


_CHANNEL_KINDS = {
    "failing": AttentionKind.CHANNEL_FAILING,
    "stopped": AttentionKind.CHANNEL_STOPPED,
    "off": AttentionKind.CHANNEL_OFF,
    "paused": AttentionKind.CHANNEL_PAUSED,
}


def attention(status: Status) -> list[Attention]:
    """Return what needs a person, the most urgent first."""
    order = list(AttentionKind)
    return sorted(_everything(status), key=lambda item: order.index(item.kind))


def _everything(status: Status) -> Iterator[Attention]:
    for source in status.sources:
        yield from _about_source(source)
        yield from islice(_about_statuses(source), UNMAPPED_SHOWN)
    yield from _about_channels(status)
    yield from _about_deliveries(status)
    yield from _about_tasks(status)
    for rule in status.rules:
        yield from _about_rule(rule)
    if status.unready is not None:
        yield Attention(
            kind=AttentionKind.STORE_UNWRITABLE,
            subject="store",
            text=f"events cannot be stored: {status.unready}",
            since=None,
            command="watcher status",
        )
    if status.size.used_share > FULL_SHARE:
        yield Attention(
            kind=AttentionKind.STORE_FULL,
            subject="store",
            text=f"the store uses {status.size.used_share:.0%} of its limit",
            since=None,
            command="watcher channels ls",
        )


def _about_source(source: SourceStatus) -> Iterator[Attention]:
    active = sum(source.active.values())
    if source.reason is not None:
        yield Attention(
            kind=AttentionKind.SOURCE_DOWN,
            subject=source.name,
            text=f"source {source.name} is down ({source.reason}); {_count(active, 'active task')}",
            since=source.since,
            command="watcher config check --live",
        )
    elif source.behind > delay_limit(source.max_interval):
        yield Attention(
            kind=AttentionKind.POLLING_BEHIND,
            subject=source.name,
            text=f"polling of {source.name} is {format_duration(source.behind)} behind",
            since=None,
            command="watcher status",
        )


def _about_statuses(source: SourceStatus) -> Iterator[Attention]:
    """Yield the statuses that are not known: a task may have ended with one."""
    for word, count in sorted(source.active.items(), key=lambda item: (-item[1], item[0] or "")):
        if word is not None and word not in KNOWN_STATUSES:
            yield Attention(
                kind=AttentionKind.STATUS_UNMAPPED,
                subject=source.name,
                text=f"source {source.name} has an unknown status: {_count(count, 'task')} {word}, "
                "which counts as active; a source of type http can map it, see sources[].statuses",
                since=None,
                command=f"watcher ls --status {shlex.quote(word)}",
            )


def _about_channels(status: Status) -> Iterator[Attention]:
    for channel in status.channels:
        kind = _CHANNEL_KINDS.get(channel.state)
        if kind is None:
            continue
        depth = status.depths.get(channel.name)
        waiting = 0 if depth is None else depth.pending
        pending = f"; {_count(waiting, 'delivery', 'deliveries')} pending" if waiting else ""
        reason = "" if channel.reason is None else f": {channel.reason}"
        held = kind is not AttentionKind.CHANNEL_FAILING
        yield Attention(
            kind=kind,
            subject=channel.name,
            text=f"channel {channel.name} is {channel.state}{reason}{pending}",
            since=channel.since,
            command=f"watcher channels {'resume' if held else 'test'} {channel.name}",
        )


def _about_deliveries(status: Status) -> Iterator[Attention]:
    configured = {channel.name for channel in status.channels}
    for name, depth in sorted(status.depths.items()):
        if depth.failed:
            yield Attention(
                kind=AttentionKind.DELIVERIES_FAILED,
                subject=name,
                text=f"{_count(depth.failed, 'delivery', 'deliveries')} to {name} failed",
                since=None,
                command="watcher deliveries --state failed",
            )
        if depth.pending and name not in configured:
            yield Attention(
                kind=AttentionKind.CHANNEL_UNKNOWN,
                subject=name,
                text=f"{_count(depth.pending, 'delivery', 'deliveries')} kept until channel {name} "
                "is configured again",
                since=depth.oldest_created_at,
                command="watcher config check",
            )


def _about_tasks(status: Status) -> Iterator[Attention]:
    stored = status.stored
    named, others = stored.failures[:FAILURE_GROUPS], stored.failures[FAILURE_GROUPS:]
    groups = Counter(group.status for group in stored.failures)
    for group in named:
        alike = f" --error {shlex.quote(group.alike)}" if groups[group.status] > 1 else ""
        yield Attention(
            kind=AttentionKind.TASKS_FAILED,
            subject=group.status,
            text=f"{_count(group.count, 'task')} {group.status}"
            f"{'' if group.error is None else f': {cut(group.error, _ERROR_LENGTH)}'}",
            since=group.last_at,
            command=f"watcher ls --status {group.status}{alike} --since 24h",
        )
    if others:
        yield Attention(
            kind=AttentionKind.TASKS_FAILED,
            subject="others",
            text=f"{_count(sum(group.count for group in others), 'task')} failed in other ways",
            since=max(group.last_at for group in others),
            command="watcher ls --status FAILED --since 24h",
        )
    for kind, word, count, since in (
        (AttentionKind.TASKS_LOST, "lost", stored.lost, stored.lost_at),
        (AttentionKind.TASKS_STALLED, "stalled", stored.stalled, stored.stalled_at),
    ):
        if count:
            yield Attention(
                kind=kind,
                subject=word,
                text=f"{_count(count, 'task')} {word}",
                since=since,
                command="watcher ls",
            )


def _about_rule(rule: RuleStatus) -> Iterator[Attention]:
    if rule.error is not None:
        yield Attention(
            kind=AttentionKind.DISCOVERY_FAILING,
            subject=rule.name,
            text=f"discovery rule {rule.name} fails: {rule.error}",
            since=rule.last_run_at,
            command="watcher status",
        )
    if rule.truncated:
        yield Attention(
            kind=AttentionKind.DISCOVERY_TRUNCATED,
            subject=rule.name,
            text=f"discovery rule {rule.name} stops at max_pages before the end of its list",
            since=None,
            command="watcher config show",
        )


def _count(number: int, one: str, several: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"
