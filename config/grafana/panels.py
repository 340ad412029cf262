"""The kinds of panels. Sizes are in cells of Grafana's grid, which is 24 wide."""

from typing import Any

WIDTH = 24
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
COUNT = "locale"
"""The unit of counts: all digits, for `short` would make 1.23 K of 1,234."""

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
Query = tuple[str, str]
"""An expression and its legend."""
Steps = list[tuple[float | None, str]]
"""Colours, each from its least value on."""

NEUTRAL: Steps = [(None, "blue")]
GOOD_IS_ZERO: Steps = [(None, "green"), (1, "red")]


def rising(warning: float, critical: float) -> Steps:
    """Return colours of a value that should be low."""
    return [(None, "green"), (warning, "yellow"), (critical, "red")]


def _thresholds(steps: Steps) -> Json:
    return {
        "mode": "absolute",
        "steps": [{"value": value, "color": colour} for value, colour in steps],
    }


def _panel(
    kind: str, title: str, description: str, unit: str, size: tuple[int, int], queries: list[Query]
) -> Json:
    width, height = size
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": SOURCE,
        "gridPos": {"w": width, "h": height},
        "fieldConfig": {
            "defaults": {"unit": unit, "color": {"mode": "palette-classic"}},
            "overrides": [],
        },
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": SOURCE,
                "expr": query,
                "legendFormat": legend,
            }
            for number, (query, legend) in enumerate(queries)
        ],
    }


def _now(panel: Json) -> Json:
    """Query one value for the end of the time range, not one for each point of a graph."""
    for target in panel["targets"]:
        target |= {"instant": True, "range": False}
    return panel


def today(panel: Json) -> Json:
    """Show the day so far, whichever time range is chosen."""
    return panel | {"timeFrom": "now/d"}


def stat(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    steps: Steps,
    width: int = 4,
    text: str = "auto",
) -> Json:
    """One number for each series, coloured by `steps`; `text` is what of it is shown."""
    panel = _now(_panel("stat", title, description, unit, (width, 4), [*queries]))
    defaults = panel["fieldConfig"]["defaults"]
    defaults |= {"color": {"mode": "thresholds"}, "thresholds": _thresholds(steps)}
    panel["options"] = {
        "colorMode": "value",
        "graphMode": "none",
        "textMode": text,
        "reduceOptions": {"calcs": ["lastNotNull"]},
    }
    return panel


def bars(title: str, description: str, *queries: Query, width: int = 8, steps: Steps) -> Json:
    """A count for each series."""
    panel = _now(_panel("bargauge", title, description, COUNT, (width, 8), [*queries]))
    defaults = panel["fieldConfig"]["defaults"]
    defaults |= {"min": 0, "color": {"mode": "thresholds"}, "thresholds": _thresholds(steps)}
    panel["options"] = {
        "orientation": "horizontal",
        "displayMode": "basic",
        "showUnfilled": False,
        "reduceOptions": {"calcs": ["lastNotNull"]},
    }
    return panel


def table(
    title: str, description: str, *columns: tuple[str, str, str], width: int, sort: str
) -> Json:
    """A row for each set of labels, and a column (title, unit, expression) for each query; the
    largest of the column `sort` first.
    """
    queries = [(query, "") for _, _, query in columns]
    panel = _now(_panel("table", title, description, COUNT, (width, 8), queries))
    for target in panel["targets"]:
        target["format"] = "table"
    values = (
        ["Value"] if len(columns) == 1 else [f"Value #{one['refId']}" for one in panel["targets"]]
    )
    titles = [column for column, _, _ in columns]
    panel["transformations"] = [
        {"id": "merge", "options": {}},
        {
            "id": "organize",
            "options": {
                "excludeByName": {"Time": True},
                "renameByName": {
                    "task_type": "Type",
                    "status": "Status",
                    **dict(zip(values, titles, strict=True)),
                },
            },
        },
    ]
    panel["fieldConfig"]["overrides"] = [
        {
            "matcher": {"id": "byName", "options": column},
            "properties": [{"id": "unit", "value": unit}],
        }
        for column, unit, _ in columns
    ]
    panel["options"] = {"showHeader": True, "sortBy": [{"displayName": sort, "desc": True}]}
    return panel


def graph(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    width: int = 8,
    stacked: bool = False,
) -> Json:
    """Lines over time."""
    panel = _panel("timeseries", title, description, unit, (width, 8), [*queries])
    custom: Json = {"lineWidth": 1, "fillOpacity": 60 if stacked else 5, "showPoints": "never"}
    if stacked:
        custom["stacking"] = {"mode": "normal"}
    panel["fieldConfig"]["defaults"] |= {"custom": custom, "min": 0}
    panel["options"] = {
        "legend": {"displayMode": "list", "placement": "bottom"},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return panel


def timeline(
    title: str, description: str, *queries: Query, states: list[tuple[str, str]], width: int = 24
) -> Json:
    """Bars over time, one for each series; the value N is shown as the Nth of `states` (a text and
    its colour).
    """
    panel = _panel("state-timeline", title, description, "none", (width, 6), [*queries])
    panel["fieldConfig"]["defaults"] |= {
        "color": {"mode": "thresholds"},
        "custom": {"fillOpacity": 75, "lineWidth": 0},
        "mappings": [
            {
                "type": "value",
                "options": {
                    str(number): {"text": text, "color": colour, "index": number}
                    for number, (text, colour) in enumerate(states)
                },
            }
        ],
    }
    panel["options"] = {
        "mergeValues": True,
        "showValue": "auto",
        "rowHeight": 0.9,
        "legend": {"showLegend": False, "displayMode": "list", "placement": "bottom"},
        "tooltip": {"mode": "single"},
    }
    return panel


def alerts(title: str, description: str, *, names: str, width: int) -> Json:
    """Grafana's own list of the alerts whose names contain `names`, firing or pending."""
    return {
        "type": "alertlist",
        "title": title,
        "description": description,
        "gridPos": {"w": width, "h": 8},
        "options": {
            "viewMode": "list",
            "groupMode": "default",
            "groupBy": [],
            "maxItems": 20,
            "sortOrder": 3,
            "dashboardAlerts": False,
            "alertName": names,
            "alertInstanceLabelFilter": "",
            "stateFilter": {
                "firing": True,
                "pending": True,
                "error": True,
                "noData": False,
                "normal": False,
            },
        },
    }


def by_status(panel: Json) -> Json:
    """Give each status its colour."""
    panel["fieldConfig"]["overrides"] = [
        {
            "matcher": {"id": "byName", "options": status},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}],
        }
        for status, colour in _COLOURS.items()
    ]
    return panel
