"""Sources: are they up, are their tasks polled in time, and is the request budget enough?"""

from panels import (
    COUNT,
    GOOD_IS_ZERO,
    NEUTRAL,
    Json,
    bars,
    by_status,
    graph,
    rising,
    stat,
    timeline,
)
from queries import metric, once, quantiles, rate, total

_DOWN = f"({metric('watcher_source_up')} == bool 0)"

_STATE = [
    timeline(
        "Sources",
        "UP while upstream answers, DOWN while it does not. Empty until a source was polled.",
        (metric("watcher_source_up"), "{{instance}} {{source}}"),
        states=[("DOWN", "red"), ("UP", "green")],
        width=12,
    ),
    timeline(
        "Why sources are down",
        "The reason with which a source went down, while it is down.",
        (
            f"max by (instance, source, reason) ({metric('watcher_source_down')})",
            "{{instance}} {{source}}: {{reason}}",
        ),
        states=[("", "transparent"), ("DOWN", "red")],
        width=12,
    ),
    stat(
        "Sources down",
        "Sources that do not answer, as of the last scrape.",
        COUNT,
        (f"sum({once(_DOWN, 'source')})", ""),
        steps=GOOD_IS_ZERO,
    ),
    stat(
        "Since the last answer",
        "The longest time since a successful poll, by source. Grows while a source has no task to "
        "poll.",
        "s",
        (
            "max by (source) (time() - "
            f"({once(metric('watcher_last_success_timestamp_seconds'), 'source')} > 0))",
            "{{source}}",
        ),
        steps=NEUTRAL,
        width=5,
    ),
    stat(
        "Time without an answer",
        "Time without a successful poll although one was due, of what the settings allow; the "
        "longest, by source. The alert fires at 100 %.",
        "percentunit",
        (
            f"max by (source) ({metric('watcher_poll_silent_seconds')}"
            f" / {metric('watcher_poll_silent_limit_seconds')})",
            "{{source}}",
        ),
        steps=rising(0.5, 1),
        width=5,
    ),
    stat(
        "Pause by upstream",
        "The longest time for which upstream has paused requests with Retry-After, as far as it is "
        "not over, by source.",
        "s",
        (f"max by (source) ({metric('watcher_request_hold_seconds')})", "{{source}}"),
        steps=rising(1, 300),
        width=5,
    ),
    stat(
        "Since a rule's last success",
        "Time since the last run of a discovery rule that did not fail; the longest, by rule.",
        "s",
        (
            "max by (source, rule) (time() - ("
            + once(metric("watcher_discovery_last_success_timestamp_seconds"), "source, rule")
            + " > 0))",
            "{{source}} {{rule}}",
        ),
        steps=NEUTRAL,
        width=5,
    ),
]

_TASKS = [
    by_status(
        graph(
            "Active watches by status",
            "Tasks that are watched and have not ended. UNSEEN: upstream has not returned the task "
            "yet.",
            "short",
            (f"sum by (status) ({metric('watcher_watches')}) > 0", "{{status}}"),
            stacked=True,
        )
    ),
    by_status(
        graph(
            "Transitions by status",
            "Status changes per minute, an estimate.",
            "short",
            (f"sum by (status) ({rate('watcher_transitions_total')}) * 60 > 0", "{{status}}"),
            stacked=True,
        )
    ),
    by_status(
        bars(
            "Transitions in the time range",
            "Status changes by the new status, exact as of the last scrape.",
            (f"sum by (status) ({total('watcher_transitions_total')}) > 0", "{{status}}"),
            steps=NEUTRAL,
        )
    ),
    graph(
        "Lost and stalled tasks",
        "Active watches whose task upstream does not know any more, or that have not changed for "
        "longer than stalled_after.",
        "short",
        (metric("watcher_tasks_lost"), "{{instance}} {{source}} lost"),
        (metric("watcher_tasks_stalled"), "{{instance}} {{source}} stalled"),
    ),
    graph(
        "Answers about tasks",
        "Tasks per second that upstream answers for, an estimate. One list request answers for up "
        "to 1,000.",
        "ops",
        (f"sum by (source) ({rate('watcher_observations_total')})", "{{source}}"),
    ),
    graph(
        "Failures by task type",
        "The ten types with most tasks per minute that ended FAILED, CANCELED or "
        "COMPLETED_WITH_ERRORS, an estimate.",
        "short",
        (
            "topk(10, sum by (task_type) ("
            + rate(
                "watcher_transitions_by_type_total",
                'status=~"FAILED|CANCELED|COMPLETED_WITH_ERRORS"',
            )
            + ") * 60)",
            "{{task_type}}",
        ),
    ),
]

_DELAY = [
    graph(
        "Most overdue poll",
        "Delay of the most overdue poll. Grows if the request budget or upstream is too slow.",
        "s",
        (metric("watcher_poll_behind_seconds"), "{{instance}} {{source}}"),
    ),
    graph(
        "Poll delay",
        "Time from due to request: median and 99th percentile, estimates from buckets.",
        "s",
        *quantiles("watcher_poll_lag_seconds", "source"),
    ),
    graph(
        "Request duration",
        "Median and 99th percentile, estimates from buckets.",
        "s",
        *quantiles("watcher_upstream_request_duration_seconds", "route"),
    ),
    graph(
        "Remaining requests",
        "Requests that could be sent now, by route. Near 0 is fine while no poll is late.",
        "short",
        (metric("watcher_request_budget_remaining"), "{{instance}} {{source}} {{route}}"),
        width=6,
    ),
    graph(
        "Task IDs per list request",
        "How many tasks one request of the budget covers. 10,000 while only changes are requested; "
        "less where upstream accepts no more, and 1,000 or less while all tasks are polled.",
        "short",
        (metric("watcher_list_ids_per_request"), "{{instance}} {{source}}"),
        width=6,
    ),
    graph(
        "Requests per minute by status",
        "429 is upstream's limit, `timeout`, `connect` and `protocol` are no answer at all. An "
        "estimate.",
        "short",
        (
            f"sum by (source, code) ({rate('watcher_upstream_requests_total')}) * 60 > 0",
            "{{source}} {{code}}",
        ),
        stacked=True,
        width=6,
    ),
    bars(
        "Requests in the time range",
        "Requests by source and status, exact as of the last scrape.",
        (
            f"sum by (source, code) ({total('watcher_upstream_requests_total')}) > 0",
            "{{source}} {{code}}",
        ),
        steps=NEUTRAL,
        width=6,
    ),
]

_DISCOVERY = [
    bars(
        "Tasks added by discovery in the time range",
        "Tasks that each rule added, exact as of the last scrape.",
        (
            f"sum by (source, rule) ({total('watcher_discovery_tasks_total')})",
            "{{source}} {{rule}}",
        ),
        steps=NEUTRAL,
    ),
    graph(
        "Requests of discovery rules",
        "List pages per minute that each rule reads, an estimate. They use the same request "
        "budget.",
        "short",
        (
            f"sum by (source, rule) ({rate('watcher_discovery_requests_total')}) * 60",
            "{{source}} {{rule}}",
        ),
    ),
    timeline(
        "Discovery rules",
        "FAILING while the last run has failed. TRUNCATED where max_pages was not enough, so older "
        "tasks are not found.",
        (
            "max by (instance, source, rule) "
            f"({metric('watcher_discovery_failing')} * 2 > 0"
            f" or {metric('watcher_discovery_truncated')})",
            "{{instance}} {{source}} {{rule}}",
        ),
        states=[("OK", "green"), ("TRUNCATED", "yellow"), ("FAILING", "red")],
        width=8,
    ),
]

SOURCES: list[Json] = [*_STATE, *_TASKS, *_DELAY, *_DISCOVERY]
