"""What the reports of several replicas show together."""

from dataclasses import replace
from math import inf

import pytest

from watcher.core.channels import ChannelState
from watcher.core.reports import (
    MOST_TEXT,
    Report,
    SourceReport,
    merged_channel,
    merged_rules,
    merged_source,
    report_of,
)
from watcher.core.status import RuleStatus, SourceStatus

SOURCE = SourceStatus(
    name="mixpeek",
    type="mixpeek",
    reason=None,
    since=None,
    active={},
    requests_per_minute=0,
    budget_left={},
    behind=0.0,
    max_interval=60.0,
    last_success_at=None,
)
UP = SourceReport(
    name="mixpeek",
    active=(("QUEUED", 2), (None, 1)),
    requests_per_minute=3,
    behind=1.0,
    last_success_at=50.0,
)
DOWN = SourceReport(
    name="mixpeek",
    reason="not reachable",
    since=40.0,
    active=(("QUEUED", 5),),
    requests_per_minute=4,
    behind=2.0,
    last_success_at=30.0,
    last_error="timeout",
    last_error_at=45.0,
)
TOGETHER = replace(
    SOURCE,
    reason="not reachable",
    since=40.0,
    active={None: 1, "QUEUED": 7},
    requests_per_minute=7,
    behind=2.0,
    last_success_at=50.0,
    last_error="timeout",
    last_error_at=45.0,
)


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        ([], SOURCE),
        ([SourceReport(name="another", reason="down", since=1.0)], SOURCE),
        ([UP, DOWN], TOGETHER),
        ([DOWN, UP], TOGETHER),
        (
            [DOWN, replace(DOWN, reason="later", since=41.0, active=(), requests_per_minute=0)],
            replace(TOGETHER, active={"QUEUED": 5}, requests_per_minute=4, last_success_at=30.0),
        ),
    ],
)
def test_a_source_is_what_its_owners_report(
    reports: list[SourceReport], expected: SourceStatus
) -> None:
    assert merged_source(SOURCE, [Report(sources=(one,)) for one in reports], {}) == expected


RUNNING = ChannelState(name="backend", type="webhook", state="running")
FAILING = replace(RUNNING, state="failing", reason="503", since=7.0)
WAITING = replace(RUNNING, reason="waiting until 12:00")
PAUSED = replace(RUNNING, state="paused", reason="by hand", since=9.0)


@pytest.mark.parametrize(
    ("stored", "reports", "expected"),
    [
        (RUNNING, [], RUNNING),
        (RUNNING, [RUNNING, FAILING], FAILING),
        (RUNNING, [replace(FAILING, since=8.0), FAILING], FAILING),
        (RUNNING, [replace(FAILING, name="another")], RUNNING),
        (RUNNING, [RUNNING, WAITING], WAITING),
        (replace(FAILING, reason=None), [WAITING, FAILING], FAILING),
        (PAUSED, [FAILING], PAUSED),
        (RUNNING, [PAUSED], RUNNING),  # resumed since
    ],
)
def test_a_channel_is_in_the_worst_state_of_its_slices(
    stored: ChannelState, reports: list[ChannelState], expected: ChannelState
) -> None:
    assert merged_channel(stored, [Report(channels=(one,)) for one in reports]) == expected


def test_a_rule_is_shown_as_the_replica_sees_it_that_ran_it_last() -> None:
    rule = RuleStatus(
        name="all", source="mixpeek", every=60, last_run_at=5, error=None, truncated=False
    )
    newer = replace(rule, last_run_at=6, error="503")
    other = replace(rule, name="failed", last_run_at=None)

    assert merged_rules([Report(rules=(newer,)), Report(rules=(rule, other))]) == [newer, other]


def test_errors_in_a_report_are_cut() -> None:
    source = replace(SOURCE, reason="\ud800" * 1000, last_error="x" * 1000)
    report = report_of([source], [replace(FAILING, reason="x" * 1000)], [])

    (shown,), (channel,) = report.sources, report.channels
    assert [len(text or "") for text in (shown.reason, shown.last_error, channel.reason)] == (
        [MOST_TEXT] * 3
    )


def test_a_budget_is_what_the_store_has_of_it_where_replicas_share_it() -> None:
    one = replace(UP, budget_left=(("GET a", 9.0), ("GET b", 7.0), ("GET c", None)))
    two = replace(UP, budget_left=(("GET d", 5.0), ("GET b", 3.0)))
    left = {"mixpeek GET a": 2.5, "mixpeek GET c": 1.0, "other GET b": 0.0}
    reports = [Report(sources=(each,)) for each in (one, two)]
    expected = {"GET a": 2.5, "GET b": 3.0, "GET c": inf, "GET d": 5.0}
    assert merged_source(SOURCE, reports, left).budget_left == expected
    together = merged_source(SOURCE, reports, {"mixpeek all routes": 4.0})
    assert together.budget_left == {"GET a": 4.0, "GET b": 4.0, "GET c": inf, "GET d": 4.0}


def test_a_route_without_a_limit_is_reported_so() -> None:
    source = replace(SOURCE, budget_left={"GET a": inf, "GET b": 1.0})
    (reported,) = report_of([source], [], []).sources
    assert reported.budget_left == (("GET a", None), ("GET b", 1.0))
