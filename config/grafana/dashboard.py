"""Write watcher.json, the Grafana dashboard: an operator's questions, in their order.

python config/grafana/dashboard.py
"""

import json
from pathlib import Path

from channels_row import CHANNELS
from daemon_rows import PROCESS, REPLICAS, STORE
from panels import SOURCE, WIDTH, Json
from queries import metric
from sources_row import SOURCES
from tasks_row import TASKS

FILE = Path(__file__).with_name("watcher.json")

_ROWS = {
    "Tasks": TASKS,
    "Sources": SOURCES,
    "Channels": CHANNELS,
    "Store": STORE,
    "Replicas": REPLICAS,
    "Process": PROCESS,
}
"""Only the first is open: a collapsed row sends no queries."""


def _placed(panels: list[Json], y: int) -> tuple[list[Json], int]:
    """Return the panels from left to right and top to bottom, from `y` on, and where they end."""
    placed: list[Json] = []
    x = height = 0
    for panel in panels:
        size = panel["gridPos"]
        if x + size["w"] > WIDTH:
            x, y, height = 0, y + height, 0
        placed.append(panel | {"gridPos": size | {"x": x, "y": y}})
        x += size["w"]
        height = max(height, size["h"])
    return placed, y + height


def _laid_out() -> list[Json]:
    """Return rows and panels, numbered. A collapsed row holds its panels."""
    shown: list[Json] = []
    y = number = 0
    for title, panels in _ROWS.items():
        collapsed = bool(shown)
        row: Json = {"type": "row", "title": title, "collapsed": collapsed, "panels": []}
        row["gridPos"] = {"x": 0, "y": y, "w": WIDTH, "h": 1}
        placed, end = _placed(panels, y + 1)
        placed = [{"id": number + 2 + one, **panel} for one, panel in enumerate(placed)]
        row["id"] = number + 1
        number += len(placed) + 1
        shown.append(row)
        if collapsed:
            row["panels"] = placed
            y += 1
        else:
            shown += placed
            y = end
    return shown


def _chosen(name: str, label: str, query: str, *, everything: str, includes_all: bool) -> Json:
    """Return a variable with the values of a label; `everything` is the pattern of All."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": includes_all,
        "allValue": everything,
        "current": {"text": ["All"], "value": ["$__all"]} if includes_all else {},
    }


def _typed(name: str, label: str, description: str, value: str) -> Json:
    """Return a variable whose value a person types."""
    current = {"selected": True, "text": value, "value": value}
    return {
        "name": name,
        "label": label,
        "description": description,
        "type": "textbox",
        "query": value,
        "current": current,
        "options": [current],
    }


def _scrape_interval() -> Json:
    choices = ("5s", "10s", "15s", "30s", "1m")
    options = [{"selected": one == "10s", "text": one, "value": one} for one in choices]
    return {
        "name": "scrape",
        "label": "Scrape interval",
        "description": "How often Prometheus scrapes the daemons, or less. Counts are exact if a "
        "restart lies between two scrapes.",
        "type": "interval",
        "query": ",".join(choices),
        "auto": False,
        "refresh": 2,
        "current": options[1],
        "options": options,
    }


def _variables() -> list[Json]:
    build = "watcher_build_info"
    cluster = 'cluster=~"$cluster"'
    place = f'{cluster}, namespace=~"$namespace"'
    return [
        {
            "name": "datasource",
            "label": "Data source",
            "type": "datasource",
            "query": "prometheus",
            "current": {},
        },
        # `.*` also matches series without the label: nothing but an agent may set these two.
        _chosen(
            "cluster",
            "Cluster",
            f"label_values({build}, cluster)",
            everything=".*",
            includes_all=True,
        ),
        _chosen(
            "namespace",
            "Namespace",
            f"label_values({build}{{{cluster}}}, namespace)",
            everything=".*",
            includes_all=True,
        ),
        # Without All, which would count the `up` of every other job.
        _chosen(
            "job",
            "Job",
            f"label_values({build}{{{place}}}, job)",
            everything=".+",
            includes_all=False,
        ),
        _chosen(
            "instance",
            "Instance",
            f'label_values({build}{{{place}, job=~"$job"}}, instance)',
            everything=".+",
            includes_all=True,
        ),
        _scrape_interval(),
        _typed(
            "page",
            "Page",
            "The address of the daemon that the link above leads to.",
            "http://127.0.0.1:8080/v1/status",
        ),
        _typed("runbooks", "Runbooks", "Where docs/runbooks.md can be read.", "docs/runbooks.md"),
    ]


def _links() -> list[Json]:
    here: Json = {"type": "link", "icon": "external link", "targetBlank": True}
    return [
        here | {"title": "Status of the daemon", "url": "${page}"},
        here | {"title": "Runbooks", "url": "${runbooks}", "icon": "doc"},
        {
            "type": "dashboards",
            "title": "Other dashboards of the watcher",
            "tags": ["watcher"],
            "asDropdown": True,
            "keepTime": True,
            "includeVars": True,
        },
    ]


def _restarts() -> Json:
    """Mark each start at its own time, however long it was before Prometheus saw it."""
    return {
        "name": "Restarts",
        "datasource": SOURCE,
        "enable": True,
        "iconColor": "orange",
        "expr": f"{metric('process_start_time_seconds')} * 1000",
        "useValueForTime": "on",
        "titleFormat": "Start",
        "textFormat": "{{instance}}",
    }


def dashboard() -> Json:
    """Return the dashboard."""
    return {
        "uid": "mixpeek-watcher",
        "title": "Watcher",
        "description": "Tasks, notifications and cost of the watcher.",
        "tags": ["watcher"],
        "schemaVersion": 38,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": _variables()},
        "annotations": {"list": [_restarts()]},
        "links": _links(),
        "panels": _laid_out(),
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n")
