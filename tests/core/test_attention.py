"""What needs a person, from a status."""

from dataclasses import replace
from typing import Any

import pytest

from watcher.core.attention import Attention, AttentionKind, attention
from watcher.core.channels import ChannelState
from watcher.core.deliveries import OutboxDepth
from watcher.core.interfaces.maintenance import StoreSize
from watcher.core.status import RuleStatus, SourceStatus, Status
from watcher.core.summary import FailureGroup, StoredSummary

NOW = 1_800_000_000.0
SOURCE = SourceStatus(
    name="mixpeek",
    type="mixpeek",
    reason=None,
    since=None,
    active={"IN_PROGRESS": 2},
    requests_per_minute=2,
    budget_left={},
    behind=29.0,
    max_interval=30.0,
    last_success_at=NOW,
)
CHANNEL = ChannelState(name="alerts", type="slack", state="running")
RULE = RuleStatus(
    name="0 tasks", source="mixpeek", every=60.0, last_run_at=NOW, error=None, truncated=False
)
STORED = StoredSummary(
    ended={"COMPLETED": 5},
    failures=[],
    failures_since=NOW - 86400,
    lost=0,
    lost_at=None,
    stalled=0,
    stalled_at=None,
    minutes=[],
)
WELL = Status(
    at=NOW,
    started_at=NOW - 10,
    uptime=10.0,
    sources=[SOURCE],
    channels=[CHANNEL],
    depths={},
    rules=[RULE],
    stored=STORED,
    size=StoreSize(used=80, limit=100),
)


def depths(channel: str, **counts: Any) -> dict[str, OutboxDepth]:
    return {channel: replace(OutboxDepth.empty(channel), **counts)}


def group(count: int, error: str | None = None) -> FailureGroup:
    return FailureGroup(status="FAILED", error=error, count=count, last_at=NOW)


def channel_in(state: str, reason: str | None = None) -> Status:
    return replace(WELL, channels=[replace(CHANNEL, state=state, reason=reason, since=NOW - 9)])


def stored(**changes: Any) -> Status:
    return replace(WELL, stored=replace(STORED, **changes))


def test_the_command_of_failed_tasks_lists_what_was_counted() -> None:
    alike = group(2, f"It's {'x' * 50}")
    (item,) = attention(stored(failures=[alike]))
    assert item.command == "watcher ls --status FAILED --since 24h"
    item, other = attention(stored(failures=[alike, group(1)]))
    listed = f"watcher ls --status FAILED --error 'It'\"'\"'s {'x' * 35}' --since 24h"
    assert item.command == listed
    assert other.command == "watcher ls --status FAILED --error '' --since 24h"


def test_nothing_needs_a_person_while_all_is_well() -> None:
    assert attention(WELL) == []
    pending = depths("alerts", pending=3, oldest_created_at=NOW - 5)
    assert attention(replace(WELL, depths=pending)) == []
    failing = replace(WELL.channels[0], state="failing", reason="HTTP 503")
    (item,) = attention(replace(WELL, channels=[failing], depths=pending))
    assert item.text == "channel alerts is failing: HTTP 503; 3 deliveries pending"
    for max_interval, behind in ((0.1, 29.0), (3600.0, 3599.0)):
        source = replace(SOURCE, max_interval=max_interval, behind=behind)
        assert attention(replace(WELL, sources=[source])) == []


@pytest.mark.parametrize(
    ("status", "kind", "text"),
    [
        (
            replace(WELL, sources=[replace(SOURCE, reason="timeout", since=NOW - 9, behind=99.0)]),
            AttentionKind.SOURCE_DOWN,
            "source mixpeek is down (timeout); 2 active tasks",
        ),
        (
            replace(WELL, sources=[replace(SOURCE, behind=31.0)]),
            AttentionKind.POLLING_BEHIND,
            "polling of mixpeek is 31 s behind",
        ),
        (
            channel_in("failing", "HTTP 503"),
            AttentionKind.CHANNEL_FAILING,
            "channel alerts is failing: HTTP 503",
        ),
        (
            channel_in("stopped", "HTTP 410"),
            AttentionKind.CHANNEL_STOPPED,
            "channel alerts is stopped: HTTP 410",
        ),
        (
            channel_in("off"),
            AttentionKind.CHANNEL_OFF,
            "channel alerts is off",
        ),
        (
            channel_in("paused", "maintenance"),
            AttentionKind.CHANNEL_PAUSED,
            "channel alerts is paused: maintenance",
        ),
        (
            replace(WELL, depths=depths("alerts", failed=1)),
            AttentionKind.DELIVERIES_FAILED,
            "1 delivery to alerts failed",
        ),
        (
            replace(WELL, depths=depths("gone", pending=2)),
            AttentionKind.CHANNEL_UNKNOWN,
            "2 deliveries kept until channel gone is configured again",
        ),
        (
            stored(failures=[group(1200, "CUDA out of memory")]),
            AttentionKind.TASKS_FAILED,
            "1,200 tasks FAILED: CUDA out of memory",
        ),
        (stored(lost=1, lost_at=NOW), AttentionKind.TASKS_LOST, "1 task lost"),
        (
            replace(WELL, sources=[replace(SOURCE, active={"PAUSED": 2, None: 1, "QUEUED": 3})]),
            AttentionKind.STATUS_UNMAPPED,
            "source mixpeek has an unknown status: 2 tasks PAUSED, which counts as active; "
            "a source of type http can map it, see sources[].statuses",
        ),
        (stored(stalled=2, stalled_at=NOW), AttentionKind.TASKS_STALLED, "2 tasks stalled"),
        (
            replace(WELL, rules=[replace(RULE, error="HTTP 400")]),
            AttentionKind.DISCOVERY_FAILING,
            "discovery rule 0 tasks fails: HTTP 400",
        ),
        (
            replace(WELL, rules=[replace(RULE, truncated=True)]),
            AttentionKind.DISCOVERY_TRUNCATED,
            "discovery rule 0 tasks stops at max_pages before the end of its list",
        ),
        (
            replace(WELL, unready="watcher.db was removed"),
            AttentionKind.STORE_UNWRITABLE,
            "events cannot be stored: watcher.db was removed",
        ),
        (
            replace(WELL, size=StoreSize(used=81, limit=100)),
            AttentionKind.STORE_FULL,
            "the store uses 81% of its limit",
        ),
    ],
)
def test_each_fault_is_named_once(status: Status, kind: AttentionKind, text: str) -> None:
    (item,) = attention(status)
    assert (item.kind, item.text) == (kind, text)
    assert item.command.startswith("watcher ")


def test_failed_tasks_are_grouped_and_the_rest_is_counted() -> None:
    groups = [group(9, "a"), group(8), group(7, "c"), group(2, "d"), group(1, "e")]
    items = attention(stored(failures=groups))
    assert [item.text for item in items] == [
        "9 tasks FAILED: a",
        "8 tasks FAILED",
        "7 tasks FAILED: c",
        "3 tasks failed in other ways",
    ]


def test_the_most_urgent_comes_first() -> None:
    status = replace(
        channel_in("paused"),
        sources=[replace(SOURCE, reason="connect", since=NOW)],
        stored=replace(STORED, lost=1),
        depths=depths("alerts", failed=1),
    )
    assert kinds(attention(status)) == [
        AttentionKind.SOURCE_DOWN,
        AttentionKind.CHANNEL_PAUSED,
        AttentionKind.DELIVERIES_FAILED,
        AttentionKind.TASKS_LOST,
    ]


def kinds(items: list[Attention]) -> list[AttentionKind]:
    return [item.kind for item in items]
