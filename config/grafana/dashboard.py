"""Write watcher.json, the Grafana dashboard: an operator's questions, in their order.

python config/grafana/dashboard.py
"""

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("watcher.json")

_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_CHOSEN = 'job=~"$job", instance=~"$instance"'
_WIDTH = 24
_COLOURS = {
    "COMPLETED": "green",
    "COMPLETED_WITH_ERRORS": "yellow",
    "FAILED": "red",
    "CANCELED": "orange",
    "SKIPPED": "purple",
    "PENDING": "light-blue",
    "QUEUED": "blue",
    "IN_PROGRESS": "dark-blue",
    "PROCESSING": "super-light-blue",
    "INTERRUPTED": "dark-orange",
    "SUSPENDED": "dark-yellow",
    "DRAFT": "light-purple",
    "ACTIVE": "light-green",
    "DEACTIVATED": "dark-purple",
    "ARCHIVED": "dark-green",
    "UNKNOWN": "text",
    "UNSEEN": "super-light-purple",
    "OTHER": "super-light-orange",
}
"""The same status has the same colour in every panel."""

Json = dict[str, Any]


def _metric(name: str, *conditions: str) -> str:
    return f"{name}{{{', '.join((_CHOSEN, *conditions))}}}"


def _rate(name: str, *conditions: str) -> str:
    return f"rate({_metric(name, *conditions)}[$__rate_interval])"


def _quantiles(histogram: str, by: str) -> list[tuple[str, str]]:
    return [
        (
            f"histogram_quantile({share}, sum by (le, {by}) ({_rate(f'{histogram}_bucket')}))",
            f"p{name} {{{{{by}}}}}",
        )
        for share, name in ((0.5, 50), (0.99, 99))
    ]


def _panel(
    kind: str, title: str, description: str, unit: str, width: int, queries: list[tuple[str, str]]
) -> Json:
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": _SOURCE,
        "gridPos": {"w": width, "h": 4 if kind == "stat" else 8},
        "fieldConfig": {
            "defaults": {"unit": unit, "color": {"mode": "palette-classic"}},
            "overrides": [],
        },
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": _SOURCE,
                "expr": query,
                "legendFormat": legend,
            }
            for number, (query, legend) in enumerate(queries)
        ],
    }


def _stat(
    title: str,
    description: str,
    unit: str,
    query: str,
    legend: str = "",
    *,
    steps: list[tuple[float | None, str]],
) -> Json:
    """One number, coloured from each of `steps` (a least value, a colour) on."""
    panel = _panel("stat", title, description, unit, 4, [(query, legend)])
    panel["targets"][0]["instant"] = True
    defaults = panel["fieldConfig"]["defaults"]
    defaults["color"] = {"mode": "thresholds"}
    defaults["thresholds"] = {
        "mode": "absolute",
        "steps": [{"value": value, "color": one} for value, one in steps],
    }
    panel["options"] = {
        "colorMode": "value",
        "graphMode": "none",
        "reduceOptions": {"calcs": ["lastNotNull"]},
    }
    return panel


def _graph(
    title: str,
    description: str,
    unit: str,
    *queries: tuple[str, str],
    width: int = 12,
    stacked: bool = False,
) -> Json:
    panel = _panel("timeseries", title, description, unit, width, [*queries])
    custom: Json = {"lineWidth": 1, "fillOpacity": 60 if stacked else 5, "showPoints": "never"}
    if stacked:
        custom["stacking"] = {"mode": "normal"}
    panel["fieldConfig"]["defaults"] |= {"custom": custom, "min": 0}
    panel["options"] = {
        "legend": {"displayMode": "list", "placement": "bottom"},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return panel


def _by_status(panel: Json) -> Json:
    panel["fieldConfig"]["overrides"] = [
        {
            "matcher": {"id": "byName", "options": status},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}],
        }
        for status, colour in _COLOURS.items()
    ]
    return panel


_GOOD_IS_ONE: list[tuple[float | None, str]] = [(None, "red"), (1, "green")]
_NEUTRAL: list[tuple[float | None, str]] = [(None, "blue")]


def _rising(warning: float, critical: float) -> list[tuple[float | None, str]]:
    return [(None, "green"), (warning, "yellow"), (critical, "red")]


_POLLING = [
    _stat(
        "Up",
        "Daemons that Prometheus can scrape.",
        "short",
        f"sum(up{{{_CHOSEN}}})",
        steps=_GOOD_IS_ONE,
    ),
    _stat(
        "Sources up",
        "1 while upstream answers, 0 while it does not.",
        "short",
        f"min by (source) ({_metric('watcher_source_up')})",
        "{{source}}",
        steps=_GOOD_IS_ONE,
    ),
    _stat(
        "Time without an answer",
        "Time without a successful poll although one was due, of what the settings allow.",
        "percentunit",
        f"max by (source) ({_metric('watcher_poll_silent_seconds')}"
        f" / {_metric('watcher_poll_silent_limit_seconds')})",
        "{{source}}",
        steps=_rising(0.5, 1),
    ),
    _stat(
        "Active watches",
        "Tasks that are polled.",
        "short",
        f"sum({_metric('watcher_watches')})",
        steps=_NEUTRAL,
    ),
    _stat(
        "Pending deliveries",
        "Deliveries that are stored and not delivered yet, all channels.",
        "short",
        f"sum({_metric('watcher_outbox_pending')})",
        steps=_rising(100, 10_000),
    ),
    _stat(
        "Version",
        "Running version.",
        "short",
        _metric("watcher_build_info"),
        "{{version}}",
        steps=_NEUTRAL,
    ),
    _by_status(
        _graph(
            "Active watches by status",
            "UNSEEN: upstream has not returned the task yet.",
            "short",
            (f"sum by (status) ({_metric('watcher_watches')}) > 0", "{{status}}"),
            stacked=True,
        )
    ),
    _graph(
        "Answers about tasks",
        "Tasks per second that upstream answers for. One list request answers for up to 1,000.",
        "ops",
        (f"sum by (source) ({_rate('watcher_observations_total')})", "{{source}}"),
    ),
]
_POLLING[5]["options"]["textMode"] = "name"

_BEHIND = [
    _graph(
        "Most overdue poll",
        "Delay of the most overdue poll. Grows if the request budget or upstream is too slow.",
        "s",
        (_metric("watcher_poll_behind_seconds"), "{{source}}"),
        width=8,
    ),
    _graph(
        "Poll delay",
        "Time from due to request: median and 99th percentile.",
        "s",
        *_quantiles("watcher_poll_lag_seconds", "source"),
        width=8,
    ),
    _graph(
        "Event latency",
        "Time from observation to delivery: median and 99th percentile.",
        "s",
        *_quantiles("watcher_event_latency_seconds", "channel"),
        width=8,
    ),
]

_FAILED = [
    _by_status(
        _graph(
            "Transitions by status",
            "Status changes per minute.",
            "short",
            (f"sum by (status) ({_rate('watcher_transitions_total')}) * 60 > 0", "{{status}}"),
            stacked=True,
        )
    ),
    _graph(
        "Failures by task type",
        "The ten task types with most tasks per minute that ended FAILED, CANCELED or "
        "COMPLETED_WITH_ERRORS.",
        "short",
        (
            "topk(10, sum by (task_type) ("
            + _rate(
                "watcher_transitions_by_type_total",
                'status=~"FAILED|CANCELED|COMPLETED_WITH_ERRORS"',
            )
            + ") * 60)",
            "{{task_type}}",
        ),
    ),
]

_FAILED_DELIVERIES = _metric("watcher_deliveries_total", 'outcome="failed"')

_UNDELIVERED = [
    _graph(
        "Pending by channel",
        "Deliveries that are stored and not delivered yet.",
        "short",
        (f"sum by (channel) ({_metric('watcher_outbox_pending')})", "{{channel}}"),
        width=8,
    ),
    _graph(
        "Oldest pending by channel",
        "Age of the oldest pending delivery. The alert fires above 5 minutes.",
        "s",
        (f"max by (channel) ({_metric('watcher_outbox_oldest_seconds')})", "{{channel}}"),
        width=8,
    ),
    _graph(
        "Attempts by outcome",
        "Attempts per second. `retried` will be retried; `failed` ended permanently and is kept.",
        "ops",
        (
            f"sum by (channel, outcome) ({_rate('watcher_deliveries_total')})",
            "{{channel}} {{outcome}}",
        ),
        width=8,
    ),
    _graph(
        "Suspended channels",
        "1 while nothing is sent: paused by an operator, stopped by the receiver, or off after "
        "days "
        "of failures.",
        "short",
        (f"max by (channel, kind) ({_metric('watcher_channel_held')})", "{{channel}} {{kind}}"),
        width=8,
    ),
    _graph(
        "Open circuit breakers",
        "1 while the circuit breaker is open and only probes are sent.",
        "short",
        (f"max by (channel) ({_metric('watcher_channel_breaker_open')})", "{{channel}}"),
        width=8,
    ),
    _graph(
        "Permanently failed in the time range",
        "Deliveries that are sent again only by watcher retry or watcher replay.",
        "short",
        (f"sum by (channel) (increase({_FAILED_DELIVERIES}[$__range]))", "{{channel}}"),
        width=8,
    ),
    _graph(
        "Time since the last delivery",
        "Time since the last successful delivery of each channel. Grows if there are no events.",
        "s",
        (f"time() - ({_metric('watcher_last_delivery_timestamp_seconds')} > 0)", "{{channel}}"),
    ),
    _graph(
        "Backlog size by channel",
        "Size of the pending deliveries in the store. All channels together may take half of it.",
        "bytes",
        (f"sum by (channel) ({_metric('watcher_outbox_bytes')})", "{{channel}}"),
    ),
    _graph(
        "Failed for want of space in the time range",
        "Deliveries that failed because the backlog exceeded the channel's share of the store.",
        "short",
        (
            f"sum by (channel) (increase({_metric('watcher_outbox_overflowed_total')}[$__range]))",
            "{{channel}}",
        ),
    ),
    _graph(
        "Attempt duration",
        "Median and 99th percentile.",
        "s",
        *_quantiles("watcher_delivery_duration_seconds", "channel"),
    ),
]

_BUDGET = [
    _graph(
        "Remaining requests",
        "Requests that could be sent now, by route. Near 0 is fine while no poll is late.",
        "short",
        (_metric("watcher_request_budget_remaining"), "{{source}} {{route}}"),
        width=8,
    ),
    _graph(
        "Requests per minute by status",
        "429 is upstream's limit, `timeout`, `connect` and `protocol` are no answer at all.",
        "short",
        (
            f"sum by (source, code) ({_rate('watcher_upstream_requests_total')}) * 60 > 0",
            "{{source}} {{code}}",
        ),
        width=8,
        stacked=True,
    ),
    _graph(
        "Request duration",
        "Median and 99th percentile.",
        "s",
        *_quantiles("watcher_upstream_request_duration_seconds", "route"),
        width=8,
    ),
    _graph(
        "Tasks added by discovery",
        "Tasks per minute that discovery rules added.",
        "short",
        (
            f"sum by (source, rule) ({_rate('watcher_discovery_tasks_total')}) * 60",
            "{{source}} {{rule}}",
        ),
        width=8,
    ),
    _graph(
        "Requests of discovery rules",
        "List pages per minute that each rule reads. They use the same request budget.",
        "short",
        (
            f"sum by (source, rule) ({_rate('watcher_discovery_requests_total')}) * 60",
            "{{source}} {{rule}}",
        ),
        width=8,
    ),
    _graph(
        "Truncated discovery lists",
        "1 where max_pages was not enough, so older tasks are not found.",
        "short",
        (_metric("watcher_discovery_truncated"), "{{source}} {{rule}}"),
        width=8,
    ),
]

_COST = [
    _graph(
        "CPU",
        "Share of one core. The daemon uses at most one.",
        "percentunit",
        (_rate("process_cpu_seconds_total"), "{{instance}}"),
        width=8,
    ),
    _graph(
        "Memory",
        "Resident memory of the process.",
        "bytes",
        (_metric("process_resident_memory_bytes"), "{{instance}}"),
        width=8,
    ),
    _graph(
        "Open files",
        "Connections and files of the store.",
        "short",
        (_metric("process_open_fds"), "{{instance}}"),
        width=8,
    ),
    _graph(
        "Store errors",
        "Failed store operations per second.",
        "ops",
        (_rate("watcher_store_errors_total"), "{{instance}}"),
    ),
    _graph(
        "Store",
        "Used share of the store's limit. Above four fifths, ended watches and events are removed "
        "early.",
        "percentunit",
        (
            f"{_metric('watcher_store_bytes')} / {_metric('watcher_store_limit_bytes')}",
            "{{instance}}",
        ),
    ),
]

_ROWS = {
    "Is it polling?": _POLLING,
    "How far behind is it?": _BEHIND,
    "What failed?": _FAILED,
    "What is not being delivered?": _UNDELIVERED,
    "How much of the request budget is left?": _BUDGET,
    "What does it cost?": _COST,
}


def _laid_out() -> list[Json]:
    """Return rows and panels from left to right and top to bottom, numbered."""
    panels: list[Json] = []
    y = 0
    for title, row in _ROWS.items():
        panels.append(
            {
                "type": "row",
                "title": title,
                "gridPos": {"x": 0, "y": y, "w": _WIDTH, "h": 1},
                "panels": [],
            }
        )
        y += 1
        x = height = 0
        for panel in row:
            place = panel["gridPos"]
            if x + place["w"] > _WIDTH:
                x, y = 0, y + height
            height = place["h"]
            place |= {"x": x, "y": y}
            x += place["w"]
            panels.append(panel)
        y += height
    return [{"id": number, **panel} for number, panel in enumerate(panels, 1)]


def _variable(name: str, label: str, query: str, *, several: bool) -> Json:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": several,
        "includeAll": several,
        "current": {"text": ["All"], "value": ["$__all"]} if several else {},
    }


def dashboard() -> Json:
    """Return the dashboard."""
    return {
        "uid": "mixpeek-watcher",
        "title": "Watcher",
        "description": "Polling, notifications and cost of the watcher.",
        "tags": ["watcher"],
        "schemaVersion": 38,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Data source",
                    "type": "datasource",
                    "query": "prometheus",
                    "current": {},
                },
                _variable("job", "Job", "label_values(watcher_build_info, job)", several=False),
                _variable(
                    "instance",
                    "Instance",
                    'label_values(watcher_build_info{job=~"$job"}, instance)',
                    several=True,
                ),
            ]
        },
        "annotations": {
            "list": [
                {
                    "name": "Restarts",
                    "datasource": _SOURCE,
                    "enable": True,
                    "iconColor": "orange",
                    "expr": (
                        f"changes({_metric('process_start_time_seconds')}[$__rate_interval]) > 0"
                    ),
                    "titleFormat": "Restart",
                    "textFormat": "{{instance}}",
                }
            ]
        },
        "panels": _laid_out(),
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n")
