"""Dashboard and alerts, requested of a real Prometheus that scrapes a real daemon through a
scripted run.
"""

import importlib.util
import json
import re
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import yaml

from tests.acceptance.daemon import PATIENCE, Daemon, Site, add, site_in
from tests.shipped.tools import ROOT, free_port, run, tool
from watcher.testing.faults import answers

pytestmark = pytest.mark.anyio

RULES = ROOT / "config/prometheus/watcher-rules.yaml"
DASHBOARD = ROOT / "config/grafana/watcher.json"
RUNBOOKS = ROOT / "docs/runbooks.md"


def rules() -> Sequence[Mapping[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    found: Sequence[Mapping[str, Any]] = group["rules"]
    return found


def dashboard() -> Mapping[str, Any]:
    shown: Mapping[str, Any] = json.loads(DASHBOARD.read_text())
    return shown


def panels() -> list[Mapping[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


# As they are written


def test_promtool_finds_nothing_wrong_with_the_rules_and_each_fires_when_it_should() -> None:
    promtool = tool("promtool")
    run(promtool, "check", "rules", "--lint=all", "--lint-fatal", RULES)
    run(promtool, "test", "rules", RULES.with_name("watcher-rules.test.yaml"))
    run(promtool, "check", "config", RULES.with_name("prometheus.yaml"))
    run(tool("amtool"), "check-config", RULES.with_name("alertmanager.yaml"))


def test_each_alert_is_tried_and_kept_silent_and_has_its_heading() -> None:
    headings = re.findall(r"^## (\w+)$", RUNBOOKS.read_text(), re.MULTILINE)
    tests = yaml.safe_load(RULES.with_name("watcher-rules.test.yaml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    assert list(dict.fromkeys(rule["alert"] for rule in rules())) == headings
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"].keys() == {"summary", "description", "runbook"}
        assert rule["annotations"]["runbook"] == f"docs/runbooks.md#{rule['alert'].lower()}"
        tried = [bool(case["exp_alerts"]) for case in cases if case["alertname"] == rule["alert"]]
        assert {*tried} == {True, False}, rule["alert"]


def test_the_dashboard_is_what_its_program_writes() -> None:
    spec = importlib.util.spec_from_file_location("dashboard", DASHBOARD.with_name("dashboard.py"))
    assert spec is not None
    assert spec.loader is not None
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    assert program.dashboard() == dashboard()


def test_each_panel_says_what_it_shows_in_which_unit_for_the_chosen_daemon() -> None:
    places: set[tuple[int, int]] = set()
    for panel in panels():
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}"
            assert 'job=~"$job", instance=~"$instance"' in target["expr"]
            assert "rate(" not in target["expr"] or "[$__rate_interval]" in target["expr"]
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & places, f"{panel['title']} lies on another"
        places |= cells


# As they work


@contextmanager
def process(*command: str | Path, log: Path) -> Iterator[None]:
    with (
        log.open("w") as said,
        subprocess.Popen([str(one) for one in command], stdout=said, stderr=said) as running,
    ):
        try:
            yield
        finally:
            running.terminate()


class Monitoring:
    """A Prometheus and an Alertmanager with the shipped rules, their patience shortened, and a
    stand-in for Slack.
    """

    def __init__(self, client: httpx.AsyncClient, slack: list[Mapping[str, Any]]) -> None:
        self._http = client
        self.slack = slack

    def notifications(self, text: str) -> list[Mapping[str, Any]]:
        """Return the Slack messages that hold this text."""
        return [message for message in self.slack if text in json.dumps(message)]

    async def query(self, expression: str) -> list[Mapping[str, Any]]:
        answer = await self._http.get("/api/v1/query", params={"query": expression})
        assert answer.is_success, f"{expression}: {answer.text}"
        found: list[Mapping[str, Any]] = answer.json()["data"]["result"]
        return found

    async def until(self, expression: str) -> None:
        with anyio.fail_after(PATIENCE):
            while not await self.query(expression):
                await anyio.sleep(0.1)


@asynccontextmanager
async def monitoring(folder: Path, site: Site, target: int) -> AsyncIterator[Monitoring]:
    prometheus, alertmanager = tool("prometheus"), tool("prometheus-alertmanager")
    shipped = RULES.parent
    ports = [free_port(), free_port()]
    hasty = re.sub(r"\bfor: \w+", "for: 0s", RULES.read_text())
    (folder / RULES.name).write_text(hasty)
    settings = (shipped / "prometheus.yaml").read_text().replace("15s", "500ms")
    settings = settings.replace("127.0.0.1:9464", f"127.0.0.1:{target}").replace(
        ":9093", f":{ports[1]}"
    )
    (folder / "prometheus.yaml").write_text(settings)
    (folder / "slack").write_text(site.hook.replace("/hook", "/slack"))
    settings = (
        (shipped / "alertmanager.yaml")
        .read_text()
        .replace("/run/secrets/slack-webhook", f"{folder}/slack")
    )
    (folder / "alertmanager.yaml").write_text(settings.replace("group_wait: 30s", "group_wait: 0s"))
    with (
        process(
            *(
                alertmanager,
                f"--config.file={folder}/alertmanager.yaml",
                f"--storage.path={folder}/alertmanager",
            ),
            *(f"--web.listen-address=127.0.0.1:{ports[1]}", "--cluster.listen-address="),
            log=folder / "alertmanager.log",
        ),
        process(
            *(
                prometheus,
                f"--config.file={folder}/prometheus.yaml",
                f"--storage.tsdb.path={folder}/prometheus",
            ),
            f"--web.listen-address=127.0.0.1:{ports[0]}",
            log=folder / "prometheus.log",
        ),
    ):
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{ports[0]}", trust_env=False
        ) as client:
            with anyio.fail_after(PATIENCE):
                while not await _ready(client):
                    await anyio.sleep(0.1)
            yield Monitoring(client, site.receiver.slack)


async def _ready(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/-/ready")).is_success
    except httpx.TransportError:
        return False


async def live(site: Site, daemon: Daemon, number: int) -> None:
    """Let tasks start and end in every way, with notifications."""
    ends = ["COMPLETED", "FAILED", "CANCELED", "COMPLETED_WITH_ERRORS", "SKIPPED"]
    names = [f"task_{number}_{one}" for one in range(10)]
    for status in ("PENDING", "IN_PROGRESS"):
        for name in names:
            site.upstream.set(name, status, task_type="api_buckets_batches_process")
        if status == "PENDING":
            await add(daemon, *names)
        await anyio.sleep(1.2)  # as long as two scrapes, which are all that Prometheus sees of it
    for one, name in enumerate(names[:8]):
        site.upstream.set(name, ends[one % len(ends)])
    await anyio.sleep(1.2)


def bound(expression: str, instance: str) -> str:
    """Return a panel's query as Grafana would send it."""
    for name, value in (
        ("$job", "watcher"),
        ("$instance", instance),
        ("$__rate_interval", "1m"),
        ("$__range", "1h"),
    ):
        expression = expression.replace(name, value)
    return expression


async def test_every_query_returns_data_and_an_alert_reaches_slack(tmp_path: Path) -> None:
    port = free_port()
    settings = {
        "WATCHER_TELEMETRY__HOST": "127.0.0.1",
        "WATCHER_TELEMETRY__PORT": str(port),
        "WATCHER_DISCOVERY": json.dumps([{"list": "tasks", "every": "500ms"}]),
    }
    sources = [{"requests_per_minute": 6000, "timeout": "2s", "unreachable_after": "1s"}]
    async with site_in(tmp_path) as site, monitoring(tmp_path, site, port) as seen:
        await seen.until("up")  # which takes Prometheus some seconds
        async with site.daemon(**settings, WATCHER_SOURCES=json.dumps(sources)) as daemon:
            await live(site, daemon, 1)
            async with httpx.AsyncClient(trust_env=False) as client:
                shown = await client.get(f"http://127.0.0.1:{port}/metrics")
            checked = await anyio.run_process(
                [tool("promtool"), "check", "metrics"], input=shown.content, check=False
            )
            assert checked.stderr + checked.stdout == b""
            assert await daemon.stop() == 0
        async with site.daemon(**settings, WATCHER_SOURCES=json.dumps(sources)) as daemon:
            await live(site, daemon, 2)
            instance = f"127.0.0.1:{port}"
            expressions = [target["expr"] for panel in panels() for target in panel["targets"]]
            expressions += [one["expr"] for one in dashboard()["annotations"]["list"]]
            empty = [one for one in expressions if not await seen.query(bound(one, instance))]
            assert empty == []
            assert await seen.query('ALERTS{alertname!="WatcherGone"}') == []

            site.upstream.fault = answers(500, "no")
            await seen.until('ALERTS{alertname="WatcherSourceDown", alertstate="firing"}')
            await site.until(lambda: seen.notifications("mixpeek does not respond"))
            (alarm,) = seen.notifications("mixpeek does not respond")[0]["attachments"]
            assert alarm["color"] == "danger"
            assert "docs/runbooks.md#watchersourcedown" in alarm["text"]
