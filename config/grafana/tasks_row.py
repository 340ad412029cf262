"""The first row, for people who run tasks: what failed, what is slow, what runs, what is down."""

from panels import (
    COUNT,
    GOOD_IS_ZERO,
    NEUTRAL,
    Json,
    alerts,
    bars,
    by_status,
    rising,
    stat,
    table,
    today,
)
from queries import last_increase, metric, once, total

_ENDED = "watcher_transitions_by_type_total"
_DURATION = "watcher_task_duration_seconds"
_RATED = 'status=~"COMPLETED|COMPLETED_WITH_ERRORS|FAILED"'
_FAILED = 'status="FAILED"'
_UNSUCCESSFUL = 'status=~"FAILED|CANCELED|COMPLETED_WITH_ERRORS"'
_RATE = (
    "Success rate: the share of COMPLETED of all that ended COMPLETED, COMPLETED_WITH_ERRORS or "
    "FAILED."
)


def _of_type(status: str) -> str:
    return f"sum by (task_type) ({total(_ENDED, status)})"


def _success(counter: str, by: str = "") -> str:
    completed, rated = total(counter, 'status="COMPLETED"'), total(counter, _RATED)
    return f"sum{by} ({completed}) / (sum{by} ({rated}) > 0)"


_DOWN_CHANNELS = (
    "(max by (cluster, namespace, job, instance, channel) "
    f"({metric('watcher_channel_held')} or {metric('watcher_channel_breaker_open')}))"
)
_SOURCES_DOWN = f"({metric('watcher_source_up')} == bool 0)"

_FAILED_DELIVERIES = metric("watcher_deliveries_kept", 'state="failed"')

_NUMBERS = [
    today(
        stat(
            "Failed today",
            "Changes of a task to FAILED since midnight, exact as of the last scrape. A task that "
            "runs again and fails again counts twice.",
            COUNT,
            (f"sum({total('watcher_transitions_total', _FAILED)})", ""),
            steps=GOOD_IS_ZERO,
        )
    ),
    today(
        stat(
            "Success rate today",
            f"{_RATE} Since midnight, of all types, exact as of the last scrape.",
            "percentunit",
            (_success("watcher_transitions_total"), ""),
            steps=[(None, "red"), (0.9, "yellow"), (0.99, "green")],
        )
    ),
    stat(
        "Running now",
        "Tasks that are watched and have not ended, as of the last scrape.",
        COUNT,
        (f"sum({metric('watcher_watches')})", ""),
        steps=NEUTRAL,
    ),
    stat(
        "Lost or stalled now",
        "Lost: upstream does not know the task any more. Stalled: its status has not changed for "
        "longer than stalled_after. As of the last scrape; a task may be both.",
        COUNT,
        (f"sum({metric('watcher_tasks_lost')})", "lost"),
        (f"sum({metric('watcher_tasks_stalled')})", "stalled"),
        steps=GOOD_IS_ZERO,
    ),
    stat(
        "Down now",
        "Daemons that Prometheus cannot scrape, sources that do not answer, and channels that are "
        "suspended or whose circuit breaker is open, as of the last scrape.",
        COUNT,
        (f"sum({metric('up')} == bool 0)", "daemons"),
        (f"sum({once(_SOURCES_DOWN, 'source')})", "sources"),
        (f"sum({once(_DOWN_CHANNELS, 'channel')})", "channels"),
        steps=GOOD_IS_ZERO,
    ),
    stat(
        "Notifications not delivered",
        "Pending: will be sent. Failed: ended permanently, and are kept for watcher retry. As of "
        "the last scrape, all channels.",
        COUNT,
        (f"sum({once(metric('watcher_outbox_pending'), 'channel')})", "pending"),
        (f"sum({once(_FAILED_DELIVERIES, 'channel')})", "failed"),
        steps=rising(1, 1000),
    ),
]

_TABLES = [
    today(
        table(
            "Ended today, by type",
            f"How tasks have ended since midnight, exact as of the last scrape. {_RATE} Types "
            "beyond the first hundred are `other`.",
            ("Failed", COUNT, _of_type(_FAILED)),
            ("With errors", COUNT, _of_type('status="COMPLETED_WITH_ERRORS"')),
            ("Canceled", COUNT, _of_type('status="CANCELED"')),
            ("Completed", COUNT, _of_type('status="COMPLETED"')),
            ("Success rate", "percentunit", _success(_ENDED, " by (task_type)")),
            width=12,
            sort="Failed",
        )
    ),
    today(
        table(
            "Slowest types today",
            "The ten types with the longest mean time from the first observation of a task to its "
            "end, of those that have ended since midnight; exact as of the last scrape. Tasks that "
            "had ended when they were first seen are left out.",
            (
                "Mean duration",
                "s",
                f"topk(10, sum by (task_type) ({total(f'{_DURATION}_sum')})"
                f" / (sum by (task_type) ({total(f'{_DURATION}_count')}) > 0))",
            ),
            width=6,
            sort="Mean duration",
        )
    ),
    by_status(
        bars(
            "Running now, by status",
            "Tasks that are watched and have not ended, as of the last scrape. UNSEEN: upstream "
            "has not returned the task yet.",
            (f"sum by (status) ({metric('watcher_watches')}) > 0", "{{status}}"),
            width=6,
            steps=NEUTRAL,
        )
    ),
    table(
        "Last failures",
        "When tasks of each type last ended FAILED, CANCELED or COMPLETED_WITH_ERRORS within the "
        "time range, to one scrape interval. `watcher ls --status FAILED` lists the tasks.",
        (
            "Last",
            "dateTimeAsIso",
            f"max by (task_type, status) ({last_increase(_ENDED, _UNSUCCESSFUL)})",
        ),
        width=12,
        sort="Last",
    ),
    alerts(
        "Alerts",
        "Alerts of config/prometheus/watcher-rules.yaml that are firing or pending, from Grafana's "
        "own rules and from the data sources whose rules it shows.",
        names="Watcher",
        width=12,
    ),
]

TASKS: list[Json] = [*_NUMBERS, *_TABLES]
