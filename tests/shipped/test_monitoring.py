"""Alerts of a real Prometheus and Alertmanager, with a real daemon in a scripted run."""

import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import yaml

from tests.acceptance.daemon import Daemon, Site, add, site_in
from tests.shipped.alertmanager import alertmanager
from tests.shipped.prometheus import Prometheus, prometheus
from tests.shipped.tools import ROOT, free_port, run, tool
from watcher.core.errors import DeliveryFailure, SourceFailure, StoreFailure
from watcher.testing.faults import answers

pytestmark = pytest.mark.anyio

RULES = ROOT / "config/prometheus/watcher-rules.yaml"
RUNBOOKS = ROOT / "docs/runbooks.md"
LINKS = yaml.safe_load(RULES.read_text())["groups"][0]["rules"][0]["labels"]
NOTES = {"summary", "description", "runbook_url", "dashboard_url"}


def rules() -> Sequence[Mapping[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for rule in group["rules"] if "alert" in rule]


def expected() -> Sequence[Mapping[str, Any]]:
    """Return every alert that the tests of the rules expect, with its words."""
    tests = yaml.safe_load(RULES.with_name("watcher-rules.test.yaml").read_text())["tests"]
    cases = [case for test in tests for case in test.get("alert_rule_test", ())]
    return [alert for case in cases for alert in case["exp_alerts"]]


# As they are written


@pytest.mark.parametrize("promtool", ["promtool", "promtool3"])
def test_promtool_finds_nothing_wrong_with_the_rules_and_each_fires_when_it_should(
    promtool: str,
) -> None:
    program = tool(promtool)
    run(program, "check", "rules", "--lint=all", "--lint-fatal", RULES)
    run(program, "test", "rules", RULES.with_name("watcher-rules.test.yaml"))
    run(program, "check", "config", RULES.with_name("prometheus.yaml"))


def test_amtool_finds_nothing_wrong_with_the_example() -> None:
    run(tool("amtool"), "check-config", RULES.with_name("alertmanager.yaml"))


def test_each_alert_is_tried_and_kept_silent_and_has_its_heading() -> None:
    headings = re.findall(r"^## (\w+)$", RUNBOOKS.read_text(), re.MULTILINE)
    tests = yaml.safe_load(RULES.with_name("watcher-rules.test.yaml").read_text())["tests"]
    cases = [case for test in tests for case in test.get("alert_rule_test", ())]
    assert list(dict.fromkeys(rule["alert"] for rule in rules())) == headings
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"].keys() == NOTES
        tried = [bool(case["exp_alerts"]) for case in cases if case["alertname"] == rule["alert"]]
        assert {*tried} == {True, False}, rule["alert"]


def test_the_guide_says_for_each_gauge_how_to_put_those_of_replicas_together() -> None:
    reference = (ROOT / "docs" / "metrics.md").read_text()
    gauges = re.findall(r"^\| `watcher_(\w+)` \| gauge \|", reference, re.MULTILINE)
    guide = (ROOT / "docs" / "fleet.md").read_text()
    section = guide.split("## Metrics of several replicas")[1].split("\n## ")[0]
    table = "".join(line for line in section.splitlines() if line.startswith("| "))
    assert sorted(re.findall(r"`(\w+)`", table)) == sorted(gauges)


def test_the_words_of_each_alert_link_to_a_heading_and_are_true_when_it_has_ended() -> None:
    anchors = {
        re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", RUNBOOKS.read_text(), re.MULTILINE)
    }
    present = re.compile(r"\b(?:is|are|has|have|does|do|cannot|fails?|rejects?|grows?)\b")
    for alert in expected():
        notes = alert["exp_annotations"]
        page, _, anchor = notes["runbook_url"].partition("#")
        assert page == LINKS["runbooks"]
        assert anchor in anchors
        assert notes["dashboard_url"].startswith(LINKS["dashboard"])
        assert not present.search(notes["summary"]), notes["summary"]
        assert "\n" not in notes["summary"]


def test_no_alert_rests_on_the_last_scrape_alone() -> None:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    for rule in group["rules"]:
        read = re.findall(r"\b(watcher[_:][\w:]+)(?:\{[^}]*\})?(\[\w+\])?", rule["expr"])
        assert [name for name, window in read if not window] == [], rule


@pytest.mark.parametrize(
    ("alert", "reasons"),
    [
        ("WatcherSourceDown", SourceFailure),
        ("WatcherStoreUnwritable", StoreFailure),
        ("WatcherOutboxOld", DeliveryFailure),
    ],
)
def test_each_reason_has_a_summary_of_its_own(alert: str, reasons: type[StrEnum]) -> None:
    rule = next(rule for rule in rules() if rule["alert"] == alert)
    known = {*map(str, reasons)}
    named = {
        name
        for words in re.findall(r'eq \$labels\.reason ("[^}]+")', rule["annotations"]["summary"])
        for name in re.findall(r'"(\w+)"', words)
    }
    assert named < known
    assert len(known - named) == 1  # what remains is the last branch
    summaries = {
        labels["reason"]: notes["summary"]
        for labels, notes in ((one["exp_labels"], one["exp_annotations"]) for one in expected())
        if notes["runbook_url"].partition("#")[2].startswith(alert.lower()) and "reason" in labels
    }
    assert summaries.keys() == known
    assert len({*summaries.values()}) == len(known)


# As they work


class Monitoring(Prometheus):
    """A Prometheus and an Alertmanager with the shipped rules, their patience shortened, and a
    stand-in for Slack.
    """

    def __init__(self, client: httpx.AsyncClient, slack: list[Mapping[str, Any]]) -> None:
        super().__init__(client)
        self.slack = slack

    def notifications(self, text: str) -> list[Mapping[str, Any]]:
        """Return the Slack messages that hold this text."""
        return [message for message in self.slack if text in json.dumps(message)]


@asynccontextmanager
async def monitoring(folder: Path, site: Site, target: int) -> AsyncIterator[Monitoring]:
    async with alertmanager(folder, site.hook.replace("/hook", "/slack")) as alerts:
        hasty = re.sub(r"\bfor: \w+", "for: 0s", RULES.read_text())
        (folder / RULES.name).write_text(hasty)
        settings = RULES.with_name("prometheus.yaml").read_text().replace("15s", "500ms")
        settings = settings.replace("127.0.0.1:9464", f"127.0.0.1:{target}")
        settings = settings.replace("127.0.0.1:9093", f"127.0.0.1:{alerts.base_url.port}")
        (folder / "prometheus.yaml").write_text(settings)
        async with prometheus(folder) as client:
            yield Monitoring(client, site.receiver.slack)


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


async def test_a_run_fires_no_alert_and_an_alert_reaches_slack(tmp_path: Path) -> None:
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
            assert await seen.query('ALERTS{alertname!="WatcherGone"}') == []

            site.upstream.fault = answers(500, "no")
            await seen.until('ALERTS{alertname="WatcherSourceDown", alertstate="firing"}')
            await site.until(lambda: seen.notifications("Only server errors from mixpeek (5xx)"))
            (alarm,) = seen.notifications("Only server errors from mixpeek")[0]["attachments"]
            assert alarm["color"] == "danger"
            assert alarm["title"] == "Only server errors from mixpeek (5xx)"
            assert "docs/runbooks.md#watchersourcedown-unavailable|Runbook>" in alarm["text"]
