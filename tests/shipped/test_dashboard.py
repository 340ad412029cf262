"""The dashboard: as it is written, and its figures in a real Prometheus that scrapes a real daemon
through a scripted run.
"""

import itertools
import json
import re
import shutil
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from statistics import fmean
from typing import Any

import anyio
import pytest
import yaml
from aiohttp import web

from tests.acceptance.daemon import PATIENCE, Daemon, Site, site_in
from tests.shipped.prometheus import Prometheus, prometheus
from tests.shipped.tools import ROOT, free_port, run, tool
from tests.support.records import SECRET
from watcher.testing.receiver import Receiver

pytestmark = pytest.mark.anyio

DASHBOARD = ROOT / "config/grafana/watcher.json"
METRICS = ROOT / "docs/metrics.md"
SELECTED = 'cluster=~"$cluster", namespace=~"$namespace", job=~"$job", instance=~"$instance"'

Json = Mapping[str, Any]


def dashboard() -> Json:
    shown: Json = json.loads(DASHBOARD.read_text())
    return shown


def rows() -> Iterator[tuple[Json, Sequence[Json]]]:
    """Return each row with its panels, which follow it or, where it is collapsed, are in it."""
    row: Json = {}
    open_panels: list[Json] = []
    for panel in dashboard()["panels"]:
        if panel["type"] != "row":
            open_panels.append(panel)
            continue
        if row:
            yield row, [*open_panels, *row["panels"]]
        row, open_panels = panel, []
    yield row, [*open_panels, *row["panels"]]


def panels() -> list[Json]:
    return [panel for _, row in rows() for panel in row]


def targets() -> list[Json]:
    return [target for panel in panels() for target in panel.get("targets", ())]


def expressions() -> list[str]:
    marks = [mark["expr"] for mark in dashboard()["annotations"]["list"]]
    return [target["expr"] for target in targets()] + marks


def of_replicas() -> list[str]:
    """Return the expressions of the row that is empty where replicas share no store."""
    ((_, inside),) = [row for row in rows() if row[0]["title"] == "Replicas"]
    return [target["expr"] for panel in inside for target in panel["targets"]]


def panel_named(title: str) -> Json:
    (panel,) = [panel for panel in panels() if panel["title"] == title]
    return panel


def bound(expression: str, **variables: str) -> str:
    """Return a query as Grafana would send it, for all daemons unless `variables` choose one."""
    values = {
        "cluster": ".*",
        "namespace": ".*",
        "job": "watcher",
        "instance": ".+",
        "scrape": f"{STEP * 1000:.0f}ms",
        "__rate_interval": "1m",
        "__range": "5m",
        **variables,
    }
    return re.sub(r"\$(\w+)", lambda name: values[name[1]], expression)


# As it is written


def test_it_is_what_its_program_writes(tmp_path: Path) -> None:
    for module in DASHBOARD.parent.glob("*.py"):
        shutil.copy(module, tmp_path)
    run(sys.executable, tmp_path / "dashboard.py")
    assert (tmp_path / DASHBOARD.name).read_text() == DASHBOARD.read_text()


def test_each_panel_says_what_it_shows_in_which_unit() -> None:
    for panel in panels():
        assert panel["description"].endswith("."), panel["title"]
        if panel["type"] != "alertlist":  # Grafana's own, which has no value
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
            assert panel["targets"], panel["title"]


def test_each_figure_of_now_is_one_instant_query() -> None:
    for panel in panels():
        instant = [target.get("instant", False) for target in panel.get("targets", ())]
        of_now = panel["type"] in ("stat", "bargauge", "table")
        assert {*instant} <= {of_now}, panel["title"]


def test_each_query_is_of_the_chosen_daemons_and_of_metrics_that_exist() -> None:
    documented = {*re.findall(r"^\| `(\w+)`", METRICS.read_text(), re.MULTILINE)}
    for target in targets():
        assert target["datasource"]["uid"] == "${datasource}"
    for expression in expressions():
        chosen = re.findall(r"\b(\w+)\{([^}]*)\}", expression)
        assert chosen
        assert all(condition.startswith(SELECTED) for _, condition in chosen), expression
        names = {re.sub(r"_(bucket|sum|count)$", "", name) for name, _ in chosen}
        ours = {name for name in names if name.startswith("watcher_")}
        assert ours <= documented, expression
        assert names - ours <= {"up"} | {n for n in names if n.startswith("process_")}, expression


def test_what_is_estimated_or_exact_is_described_so() -> None:
    for panel in panels():
        queries = " ".join(target["expr"] for target in panel.get("targets", ()))
        estimated = re.search(r"\brate\(", queries) is not None
        assert estimated == ("estimate" in panel["description"]), panel["title"]
        assert "increase(" not in queries, panel["title"]
        if "$scrape" in queries:
            assert re.search("exact as of|one scrape interval", panel["description"]), panel


def test_no_two_panels_lie_on_each_other_and_only_the_first_row_is_open() -> None:
    taken: set[tuple[int, int]] = set()
    numbers: list[int] = []
    for number, (row, inside) in enumerate(rows()):
        assert row["collapsed"] == (number > 0)
        cells = set() if row["collapsed"] else taken
        for panel in (row, *inside):
            numbers.append(panel["id"])
            place = panel["gridPos"]
            assert place["x"] + place["w"] <= 24
            own = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not own & (cells | (taken if panel is row else set())), panel["title"]
            cells |= own
            if panel is row:
                taken |= own
    assert len({*numbers}) == len(numbers)
    titles = [(row["title"], panel["title"]) for row, inside in rows() for panel in inside]
    assert len({*titles}) == len(titles)


def test_how_many_tasks_a_request_covers_is_beside_the_budget_of_requests() -> None:
    budget, size = panel_named("Remaining requests"), panel_named("Task IDs per list request")
    assert "watcher_list_ids_per_request{" in size["targets"][0]["expr"]
    assert size["gridPos"]["y"] == budget["gridPos"]["y"]
    assert size["gridPos"]["x"] == budget["gridPos"]["x"] + budget["gridPos"]["w"]


def test_promtool_can_read_every_expression(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": bound(expression)}
        for number, expression in enumerate(expressions())
    ]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    run(tool("promtool"), "check", "rules", "--lint=none", file)


# As it counts

FAILED = 'watcher_transitions_by_type_total{job="watcher",instance="a",status="FAILED"}'
STARTED = 'process_start_time_seconds{job="watcher",instance="a"}'


@pytest.mark.parametrize(
    ("counter", "process", "counted"),
    [
        pytest.param("0 0 1 1 3", "1 1 1 1 1", 3, id="one process"),
        pytest.param("0 stale 2 stale 3", "1 stale 1 stale 1", 3, id="failed scrapes"),
        pytest.param("_ _ 1 1 2", "1 1 1 1 1", 2, id="born with its first value"),
        pytest.param("0 2 stale 0 1", "1 1 stale 45 45", 3, id="a restart"),
        pytest.param(
            "0 2 stale 4 4", "1 1 stale 45 45", 6, id="a restart that counted more at once"
        ),
        pytest.param("0 2 stale _ 2", "1 1 stale 45 45", 4, id="a restart, and born later"),
        pytest.param("0 2 stale 1 2", "1 1 1 1 1", 4, id="a source removed and added by reloads"),
        pytest.param("0 0 0 0 0", "1 1 1 1 1", 0, id="nothing"),
        pytest.param(
            "5 5 6 6 7", "-9e5 -9e5 -9e5 -9e5 -9e5", 2, id="a daemon that was there before"
        ),
    ],
)
def test_a_count_is_exact(tmp_path: Path, counter: str, process: str, counted: int) -> None:
    """Values are of scrapes a quarter of a minute apart. The last scrape is a minute after the
    first.
    """
    (query,) = [target["expr"] for target in panel_named("Ended today, by type")["targets"]][:1]
    case = {
        "interval": "15s",
        "input_series": [
            {"series": FAILED, "values": counter},
            {"series": STARTED, "values": process},
        ],
        "promql_expr_test": [
            {
                "expr": bound(query, scrape="15s"),
                "eval_time": "61s",
                "exp_samples": [{"labels": "{}", "value": counted}],
            }
        ],
    }
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [], "tests": [case]}))
    run(tool("promtool"), "test", "rules", file)


@pytest.mark.parametrize(("shared", "counted"), [(True, 5), (False, 10)])
def test_what_replicas_share_counts_once(tmp_path: Path, *, shared: bool, counted: int) -> None:
    daemons = [f'job="watcher",instance="{one}"' for one in "ab"]
    pending = [f'watcher_outbox_pending{{{one},channel="c"}}' for one in daemons]
    replicas = [f"watcher_replicas{{{one}}}" for one in daemons]
    (query, *_) = [target["expr"] for target in panel_named("Pending by channel")["targets"]]
    case = {
        "interval": "15s",
        "input_series": [
            *({"series": one, "values": "5"} for one in pending),
            *({"series": one, "values": "2"} for one in replicas if shared),
        ],
        "promql_expr_test": [
            {
                "expr": bound(query),
                "eval_time": "0s",
                "exp_samples": [{"labels": '{channel="c"}', "value": counted}],
            }
        ],
    }
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [], "tests": [case]}))
    run(tool("promtool"), "test", "rules", file)


# As it works

SCRAPE = 1.0
"""Seconds between two scrapes."""
STEP = 0.2
"""Seconds between two points of a count: less than a scrape interval."""
PLACE = {"cluster": "east", "namespace": "tasks", "instance": "second"}
TYPES = ("api_buckets_batches_process", "ingest", "cluster")
ENDS = ("COMPLETED", "FAILED", "CANCELED", "COMPLETED_WITH_ERRORS", "COMPLETED", "SKIPPED")
UNSUCCESSFUL = ("FAILED", "CANCELED", "COMPLETED_WITH_ERRORS")


class Board(Prometheus):
    """The figures of the dashboard's panels."""

    async def scraped(self) -> float:
        """Wait until Prometheus has scraped the daemon as it is now; return just after."""
        now = time.time()
        # Of anything but a selector, timestamp() is the time of the query.
        await self.until(f"min(timestamp(up)) > {now} and count(up == 1) == 2")
        (scrapes,) = await self.query("max(timestamp(up))")
        return float(scrapes["value"][1]) + 2 * STEP

    async def figures(self, title: str, at: float, **variables: str) -> dict[str, float]:
        """Return what a panel shows by the texts beside each figure, joined by spaces."""
        panel = panel_named(title)
        columns = _columns(panel)
        shown: dict[str, float] = {}
        for target, column in zip(panel["targets"], columns, strict=True):
            for series in await self.query(bound(target["expr"], **variables), at):
                texts = _texts(target["legendFormat"], series["metric"], column)
                shown[texts] = float(series["value"][1])
        return shown


def _columns(panel: Json) -> list[str]:
    if panel["type"] != "table":
        return ["" for _ in panel["targets"]]
    names = panel["transformations"][1]["options"]["renameByName"]
    single = len(panel["targets"]) == 1
    refs = [target["refId"] for target in panel["targets"]]
    return [names["Value" if single else f"Value #{ref}"] for ref in refs]


def _texts(legend: str, labels: Mapping[str, str], column: str) -> str:
    if column:
        return " ".join((*(labels[name] for name in sorted(labels)), column))
    return re.sub(r"{{(\w+)}}", lambda name: labels[name[1]], legend)


@asynccontextmanager
async def board(folder: Path, target: int) -> AsyncIterator[Board]:
    """Scrape the daemon twice: without the labels of a cluster, and as another instance with
    them.
    """
    address = f"127.0.0.1:{target}"
    groups = [
        {"targets": [address], "labels": {"instance": "first"}},
        {"targets": [address], "labels": PLACE},
    ]
    settings = {
        "global": {"scrape_interval": f"{SCRAPE * 1000:.0f}ms"},
        "scrape_configs": [{"job_name": "watcher", "static_configs": groups}],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(settings))
    async with prometheus(folder) as client:
        yield Board(client)


@asynccontextmanager
async def rejecting_receiver() -> AsyncIterator[str]:
    """Serve a receiver that accepts everything but failures of tasks; yields its URL."""
    receiver = Receiver(SECRET)

    async def fault(request: web.Request) -> web.StreamResponse | None:
        event = json.loads(await request.read())
        return web.Response(status=500) if event["type"] == "task.failed" else None

    receiver.fault = fault
    async with receiver.serve() as url:
        yield f"{url}/hook"


def accepts_each_third(site: Site) -> None:
    """Let the receiver reject two of three webhooks, so that most are retried."""
    number = itertools.count()

    async def fault(_: web.Request) -> web.StreamResponse | None:
        return web.Response(status=503) if next(number) % 3 else None

    site.receiver.fault = fault


async def live(site: Site, daemon: Daemon, run_number: int) -> None:
    """Let tasks of each type start, and most of them end in every way."""
    names = [f"task_{run_number}_{number}" for number in range(3 * (len(ENDS) + 1))]
    for status in ("PENDING", "IN_PROGRESS"):
        for number, name in enumerate(names):
            site.upstream.set(name, status, task_type=TYPES[number % len(TYPES)])
        await until_polled(site, daemon)
    for number, name in enumerate(names[: 3 * len(ENDS)]):
        site.upstream.set(name, ENDS[number // 3])
    site.upstream.set(f"late_{run_number}", "FAILED", task_type=f"only_{run_number}")
    await until_polled(site, daemon)


async def until_polled(site: Site, daemon: Daemon) -> None:
    """Wait until each task of upstream is watched, in its status."""
    tasks = site.upstream.api.tasks
    statuses = {name: task["status"] for name, task in tasks.items()}
    with anyio.fail_after(PATIENCE):
        while statuses != {
            watch["task_id"]: watch["status"] for watch in await listed(daemon, "/v1/watches")
        }:
            await anyio.sleep(0.1)


async def until_settled(daemon: Daemon, channel: str) -> None:
    """Wait until nothing is pending for a channel."""
    with anyio.fail_after(PATIENCE):
        while await listed(daemon, "/v1/deliveries", state="pending", channel=channel):
            await anyio.sleep(0.1)


async def listed(daemon: Daemon, path: str, **query: str) -> list[Json]:
    """Return the items of a list, of which there are fewer than 1,000."""
    async with daemon.client() as client:
        answer = await client.get(path, params={**query, "limit": "1000"})
    items: list[Json] = answer.json()["items"]
    return items


class Truth:
    """What the store holds, as the commands list it."""

    def __init__(self, watches: Sequence[Json], deliveries: Sequence[Json]) -> None:
        self.running = [watch for watch in watches if watch["state"] == "active"]
        self.ended = [watch for watch in watches if watch["state"] == "done"]
        self.deliveries = deliveries

    @classmethod
    async def of(cls, site: Site, daemon: Daemon) -> "Truth":
        return cls(await site.json(daemon, "ls"), await site.json(daemon, "deliveries"))

    @property
    def states(self) -> Counter[str]:
        return Counter(delivery["state"] for delivery in self.deliveries)

    def ends(self, *names: str) -> Counter[str]:
        """Count ended tasks by these fields."""
        return Counter(" ".join(watch[name] for name in names) for watch in self.ended)

    def events(self) -> Counter[str]:
        """Count stored events by type. The channel `backend` takes all."""
        return Counter({one["event_id"]: one["type"] for one in self.deliveries}.values())

    def attempts(self) -> dict[str, int]:
        """Count attempts by channel and outcome."""
        counts: Counter[str] = Counter()
        for delivery in self.deliveries:
            last = delivery["state"] != "pending"
            counts[f"{delivery['channel']} retried"] += delivery["attempts"] - last
            if last:
                counts[f"{delivery['channel']} {delivery['state']}"] += 1
        return dict(+counts)

    def durations(self) -> dict[str, float]:
        """Return the mean duration of each type's tasks that were seen before they ended."""
        seconds: dict[str, list[float]] = {}
        for watch in self.ended:
            taken = moment(watch["changed_at"]) - moment(watch["first_seen_at"])
            if watch["sequence"] > 1:
                seconds.setdefault(f"{watch['task_type']} Mean duration", []).append(taken)
        return {kind: fmean(each) for kind, each in seconds.items()}

    def last_failures(self) -> dict[str, float]:
        """Return when tasks of each type last ended in each unsuccessful status."""
        found: dict[str, float] = {}
        for watch in self.ended:
            key = f"{watch['status']} {watch['task_type']} Last"
            if watch["status"] in UNSUCCESSFUL:
                found[key] = max(found.get(key, 0.0), moment(watch["changed_at"]))
        return found


def moment(text: str) -> float:
    """Return Unix seconds of an RFC 3339 time."""
    return datetime.fromisoformat(text).timestamp()


async def scraped_truth(seen: Board, site: Site, daemon: Daemon) -> tuple[Truth, float]:
    """Wait until Prometheus has scraped what the store holds; return that, and when.

    Channels are found to fail and to recover later than the deliveries end, and a result is counted
    after it is stored: what changes meanwhile is read again.
    """
    with anyio.fail_after(PATIENCE):
        before = await Truth.of(site, daemon)
        while True:
            await seen.scraped()
            at = await seen.scraped()
            truth = await Truth.of(site, daemon)
            if truth.deliveries == before.deliveries:
                return truth, at
            before = truth


def settings(site: Site, rejecting: str, port: int) -> dict[str, str]:
    webhook = {"type": "webhook", "secrets": [SECRET]}
    channels = [
        {**webhook, "name": "backend", "url": site.hook, "attempts": ["0s"] + ["100ms"] * 99},
        {**webhook, "name": "strict", "url": rejecting, "attempts": ["0s", "100ms"]},
    ]
    return {
        "WATCHER_TELEMETRY__HOST": "127.0.0.1",
        "WATCHER_TELEMETRY__PORT": str(port),
        "WATCHER_DISCOVERY": json.dumps([{"list": "tasks", "every": "500ms"}]),
        "WATCHER_SOURCES": json.dumps([{"requests_per_minute": 6000, "timeout": "10s"}]),
        "WATCHER_CHANNELS": json.dumps(channels),
        "WATCHER_ROUTES": json.dumps(
            [
                {"channels": ["backend"], "initial": True},
                {"channels": ["strict"], "events": ["task.failed", "task.completed"]},
            ]
        ),
    }


async def test_every_query_returns_what_the_store_holds(tmp_path: Path) -> None:
    port = free_port()
    async with (
        site_in(tmp_path) as site,
        rejecting_receiver() as rejecting,
        board(tmp_path, port) as seen,
    ):
        environ = settings(site, rejecting, port)
        accepts_each_third(site)
        await seen.until("up")  # which takes Prometheus some seconds
        async with site.daemon(**environ) as daemon:
            await live(site, daemon, 1)
            await until_settled(daemon, "backend")
            await until_settled(daemon, "strict")
            await scraped_truth(seen, site, daemon)
            assert await daemon.stop() == 0
        async with site.daemon(**environ) as daemon:
            await live(site, daemon, 2)
            await until_settled(daemon, "backend")
            assert (await site.command(daemon, "channels", "pause", "backend")).returncode == 0
            await live(site, daemon, 3)
            await until_settled(daemon, "strict")
            truth, at = await scraped_truth(seen, site, daemon)
            await check_variables(seen)
            await check_tasks(seen, truth, at)
            await check_deliveries(seen, truth, at)
            await check_sources(seen, site, truth, at)
            empty = [one for one in expressions() if not await seen.query(bound(one), at)]
            assert empty == of_replicas()


async def check_variables(seen: Board) -> None:
    offered = {}
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            query = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert query is not None
            offered[variable["name"]] = await seen.values(query[2], bound(query[1]))
    assert offered == {
        "cluster": [PLACE["cluster"]],
        "namespace": [PLACE["namespace"]],
        "job": ["watcher"],
        "instance": ["first", PLACE["instance"]],
    }


async def check_tasks(seen: Board, truth: Truth, at: float) -> None:
    columns = {
        "COMPLETED": "Completed",
        "FAILED": "Failed",
        "CANCELED": "Canceled",
        "COMPLETED_WITH_ERRORS": "With errors",
    }
    by_type = truth.ends("task_type", "status")
    rated = {
        kind: [by_type[f"{kind} {one}"] for one in columns] for kind in truth.ends("task_type")
    }
    counts = {
        f"{kind} {column}": by_type[f"{kind} {status}"]
        for kind in truth.ends("task_type")
        for status, column in columns.items()
        if by_type[f"{kind} {status}"]
    }
    rates = {
        f"{kind} Success rate": good / (good + bad + partly)
        for kind, (good, bad, _, partly) in rated.items()
    }
    for chosen in ({"instance": "first"}, PLACE):
        shown = await seen.figures("Ended today, by type", at, **chosen)
        assert {text: figure for text, figure in shown.items() if figure} == pytest.approx(
            counts | {kind: rate for kind, rate in rates.items() if rate}
        )
        assert {*rates} <= {*shown}
        ends = truth.ends("status")
        assert await seen.figures("Failed today", at, **chosen) == {"": ends["FAILED"]}
        good, bad, partly = (ends[one] for one in ("COMPLETED", "FAILED", "COMPLETED_WITH_ERRORS"))
        rate = await seen.figures("Success rate today", at, **chosen)
        assert rate == pytest.approx({"": good / (good + bad + partly)})
        assert await seen.figures("Running now", at, **chosen) == {"": len(truth.running)}
        running = Counter(watch["status"] for watch in truth.running)
        assert await seen.figures("Running now, by status", at, **chosen) == running
        slowest = await seen.figures("Slowest types today", at, **chosen)
        assert slowest == pytest.approx(truth.durations(), abs=0.01)
        last = await seen.figures("Last failures", at, **chosen)
        assert last.keys() == truth.last_failures().keys()
        for kind, when in truth.last_failures().items():
            assert abs(last[kind] / 1000 - when) < 3, kind  # a machine with much to do scrapes late


async def check_deliveries(seen: Board, truth: Truth, at: float) -> None:
    one = {"instance": "first"}
    assert truth.states["pending"] > 0
    assert truth.states["failed"] > 0
    assert await seen.figures("Notifications not delivered", at, **one) == {
        state: truth.states[state] for state in ("pending", "failed")
    }
    kept = Counter(
        f"{delivery['channel']} {delivery['state']}"
        for delivery in truth.deliveries
        if delivery["state"] != "delivered"
    )
    shown = await seen.figures("Kept deliveries", at, **one)
    assert {text: figure for text, figure in shown.items() if figure} == kept
    shown = await seen.figures("Attempts in the time range", at, **one)
    assert {text: figure for text, figure in shown.items() if figure} == truth.attempts()
    assert await seen.figures("Events in the time range", at, **one) == truth.events()
    assert await seen.figures("Suspended channels", at, **one) == {"": 1}
    assert (await seen.figures("Down now", at, **one))["channels"] == 1
    for nothing in ("Failed for want of space in the time range", "Failed operations"):
        assert {*(await seen.figures(nothing, at, **one)).values()} == {0}


async def check_sources(seen: Board, site: Site, truth: Truth, at: float) -> None:
    one = {"instance": "first"}
    transitions = Counter(
        {kind.removeprefix("task.").upper(): count for kind, count in truth.events().items()}
    )
    assert await seen.figures("Transitions in the time range", at, **one) == {
        status: count for status, count in transitions.items() if not status.startswith("CHANNEL")
    }
    added = await seen.figures("Tasks added by discovery in the time range", at, **one)
    assert sum(added.values()) == len(truth.running) + len(truth.ended)
    requests = await seen.figures("Requests in the time range", at, **one)
    assert 0 < requests["mixpeek 200"] <= site.upstream.responses[200]
    assert {*(await seen.figures("Restarts", at, **one)).values()} == {1}
    assert {*(await seen.figures("Sources down", at, **one)).values()} == {0}
    assert {*(await seen.figures("Daemons down", at, **one)).values()} == {0}
    assert {*(await seen.figures("Unexpected errors in the time range", at, **one)).values()} == {0}
