"""What needs a person, as rows of the overview. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from watcher.api.page.marks import BAD, HOLD, LOST, WAIT, WARN, Mark, mark
from watcher.api.page.paths import address, failed_alike, segment
from watcher.api.page.words import plural
from watcher.core.attention import FAILURE_GROUPS, Attention, AttentionKind, attention
from watcher.core.clock import rfc3339
from watcher.core.status import Status
from watcher.core.summary import FailureGroup, StoredSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureLink:
    """Tasks that failed alike, and the address that lists them."""

    count: int
    error: str | None
    link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One thing: its first words, the rest of the sentence with the sign before it, and the address
    that shows more.
    """

    mark: Mark
    first: str
    rest: str
    since: float | None
    link: str
    see: str
    groups: Sequence[FailureLink] = ()


_LOOKS = {
    AttentionKind.STORE_UNWRITABLE: (BAD, "Store", "settings"),
    AttentionKind.STORE_FULL: (WARN, "Store", "settings"),
    AttentionKind.SOURCE_DOWN: (BAD, "Source", "sources"),
    AttentionKind.POLLING_BEHIND: (WAIT, "Source", "sources"),
    AttentionKind.CHANNEL_FAILING: (BAD, "Channel", "channels"),
    AttentionKind.CHANNEL_STOPPED: (BAD, "Channel", "channels"),
    AttentionKind.CHANNEL_OFF: (BAD, "Channel", "channels"),
    AttentionKind.CHANNEL_PAUSED: (HOLD, "Channel", "channels"),
    AttentionKind.CHANNEL_UNKNOWN: (WARN, "Channel", "deliveries"),
    AttentionKind.DELIVERIES_FAILED: (BAD, "Deliveries", "deliveries"),
    AttentionKind.TASKS_FAILED: (BAD, "Tasks", "tasks"),
    AttentionKind.TASKS_LOST: (LOST, "Tasks", "tasks"),
    AttentionKind.TASKS_STALLED: (WAIT, "Tasks", "tasks"),
    AttentionKind.STATUS_UNMAPPED: (WARN, "Source", "sources"),
    AttentionKind.DISCOVERY_FAILING: (BAD, "Discovery", "sources"),
    AttentionKind.DISCOVERY_TRUNCATED: (WARN, "Discovery", "sources"),
}


_PARTLY = "COMPLETED_WITH_ERRORS"


def rows(status: Status) -> list[Row]:
    """Return what needs a person, the most urgent first; failed tasks are one row."""
    found = []
    has_failures = False
    for item in attention(status):
        if item.kind is not AttentionKind.TASKS_FAILED:
            found.append(_row(item))
        elif not has_failures:
            has_failures = True
            found.append(_failed(status.stored))
    return found


def _row(item: Attention) -> Row:
    look, word, page = _LOOKS[item.kind]
    first, rest = _split(item.text.removeprefix("channel ").removeprefix("source "))
    return Row(
        mark=mark(look, word),
        first=first,
        rest=rest,
        since=item.since,
        link=_link(item, page),
        see=f"See {page}" if page in ("tasks", "deliveries", "settings") else f"See {page[:-1]}",
    )


def _split(text: str) -> tuple[str, str]:
    """Return what a sentence says first, up to its first colon, semicolon or bracket."""
    places = [place for sign in (": ", "; ", " (") if (place := text.find(sign)) > 0]
    cut = min(places, default=len(text))
    return text[:cut], text[cut:]


def _link(item: Attention, page: str) -> str:
    if item.kind in (AttentionKind.TASKS_LOST, AttentionKind.TASKS_STALLED):
        return address(page, {item.subject: "1"})
    if page == "deliveries":
        failed = item.kind is AttentionKind.DELIVERIES_FAILED
        state = "failed" if failed else "pending"
        return address(page, {"state": state, "channel": item.subject})
    is_named = page == "channels" or item.kind in (
        AttentionKind.SOURCE_DOWN,
        AttentionKind.POLLING_BEHIND,
        AttentionKind.STATUS_UNMAPPED,
    )
    return f"{page}#{segment(item.subject)}" if is_named else page


def _failed(stored: StoredSummary) -> Row:
    failures, since = stored.failures, rfc3339(stored.failures_since)
    wholly = _count(failures, "FAILED")
    partly = sum(group.count for group in failures) - wholly
    words = [f"{plural(wholly, 'task')} failed"] if wholly else []
    words += [f"{partly:,} partly" if wholly else f"{plural(partly, 'task')} failed partly"]
    link = address("tasks", {"status": "FAILED" if wholly else _PARTLY, "since": since})
    return Row(
        mark=mark(BAD if wholly else WARN, "Tasks"),
        first=", ".join(words if partly else words[:1]),
        rest=" in the last 24 hours",
        since=None,
        link=f"{link}&status={_PARTLY}" if wholly and partly else link,
        see="See tasks",
        groups=[
            FailureLink(
                count=group.count,
                error=group.error,
                link=failed_alike(group, since=since),
            )
            for group in failures[:FAILURE_GROUPS]
        ],
    )


def _count(failures: Iterable[FailureGroup], status: str) -> int:
    return sum(group.count for group in failures if group.status == status)
