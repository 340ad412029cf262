"""The example for Alertmanager, as a real one applies it: what inhibits what, and each message."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import yaml

from tests.acceptance.daemon import PATIENCE, Site, site_in
from tests.shipped.alertmanager import SHIPPED, alertmanager

pytestmark = pytest.mark.anyio

Labels = Mapping[str, str]

NOW = datetime.now(UTC).replace(microsecond=0)
BEGAN = NOW - timedelta(hours=1)


def alert(name: str, severity: str = "critical", **labels: str) -> Labels:
    return {"alertname": f"Watcher{name}", "severity": severity, **labels}


SOURCE = {"source": "mixpeek"}
CHANNEL = {"channel": "backend"}
OLD = alert("OutboxOld", **CHANNEL, reason="timeout")
SLOW = alert("OutboxOld", "warning", **CHANNEL)
FAILED = alert("DeliveriesFailing", "warning", **CHANNEL, state="failed")
GROWING = alert("BacklogGrowing", "warning", **CHANNEL)
DOWN = alert("SourceDown", **SOURCE, reason="rate_limited")
BUDGET = alert("BudgetExhausted", "warning", **SOURCE, route="GET /v1/tasks/{task_id}")
BEHIND = alert("FallingBehind", "warning", **SOURCE)
LIMITED = alert("RateLimited", "warning", **SOURCE, route="GET /v1/tasks/{task_id}")

INHIBITED = [
    (alert("Gone"), DOWN),
    (alert("Gone"), OLD),
    (alert("CrashLoop"), alert("Gone")),
    (alert("CrashLoop"), FAILED),
    (alert("StoreUnwritable", reason="max_size"), alert("StoreErrors")),
    (alert("StoreUnwritable", reason="disk_full"), SLOW),
    (alert("StoreUnwritable", reason="moved"), alert("NotPolling", **SOURCE)),
    (alert("RetryAfter", **SOURCE), DOWN),
    (DOWN, BUDGET),
    (DOWN, LIMITED),
    (DOWN, BEHIND),
    (DOWN, alert("DiscoveryFailing", "warning", **SOURCE, rule="1 tasks")),
    (BUDGET, BEHIND),
    (LIMITED, BEHIND),
    (alert("ChannelStopped", **CHANNEL, kind="stopped"), OLD),
    (alert("ChannelOff", **CHANNEL, kind="off"), OLD),
    (OLD, SLOW),
    (OLD, FAILED),
    (OLD, GROWING),
    (SLOW, GROWING),
    (alert("BacklogOverflows", **CHANNEL), FAILED),
]
INDEPENDENT = [
    (DOWN, OLD),
    (DOWN, alert("BudgetExhausted", "warning", source="second", route="x")),
    (DOWN, alert("TasksLost", "warning", **SOURCE)),
    (OLD, alert("DeliveriesFailing", "warning", channel="alerts", state="failed")),
    (FAILED, GROWING),
    (alert("StoreUnwritable", reason="max_size"), DOWN),
    (alert("StoreNearlyFull", "warning", limit="disk"), alert("StoreErrors")),
]


async def post(client: httpx.AsyncClient, *alerts: Mapping[str, Any]) -> None:
    answer = await client.post("/api/v2/alerts", json=alerts)
    assert answer.is_success, answer.text


def firing(labels: Labels, began: datetime = BEGAN, **notes: str) -> Mapping[str, Any]:
    return {"labels": labels, "annotations": notes, "startsAt": began.isoformat()}


async def test_a_cause_inhibits_its_symptoms_at_the_same_place_only(tmp_path: Path) -> None:
    cases = [(*pair, True) for pair in INHIBITED] + [(*pair, False) for pair in INDEPENDENT]
    alerts, expected = [], {}
    for number, (cause, symptom, inhibited) in enumerate(cases):
        for instance, target, wanted in (
            (f"same-{number}", symptom, inhibited),
            (f"other-{number}", symptom, False),
        ):
            alerts.append(firing({**target, "instance": instance}))
            expected[instance, target["alertname"], target["severity"]] = wanted
        alerts.append(firing({**cause, "instance": f"same-{number}"}))
        expected.setdefault((f"same-{number}", cause["alertname"], cause["severity"]), False)
    async with alertmanager(tmp_path, "http://127.0.0.1:9/unreachable") as client:
        await post(client, *alerts)
        found = (await client.get("/api/v2/alerts")).json()
    assert {
        tuple(one["labels"][name] for name in ("instance", "alertname", "severity")): bool(
            one["status"]["inhibitedBy"]
        )
        for one in found
    } == expected


def test_the_inhibitions_name_alerts_that_exist() -> None:
    (group,) = yaml.safe_load((SHIPPED / "watcher-rules.yaml").read_text())["groups"]
    known = {rule["alert"] for rule in group["rules"] if "alert" in rule}
    rules = yaml.safe_load((SHIPPED / "alertmanager.yaml").read_text())["inhibit_rules"]
    for rule in rules:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            for prefix, names in re.findall(r"(Watcher\w*)(?:\(([\w|]+)\))?", matcher):
                for name in names.split("|"):
                    assert f"{prefix}{name}" in known | {"Watcher"}, matcher


def slack_of(site: Site) -> str:
    return site.hook.replace("/hook", "/slack")


async def messages(site: Site, count: int) -> Sequence[Mapping[str, Any]]:
    """Wait until Slack has this many messages; return their attachments."""
    with anyio.fail_after(PATIENCE):
        while len(site.receiver.slack) < count:
            await anyio.sleep(0.05)
    assert len(site.receiver.slack) == count
    return [message["attachments"][0] for message in site.receiver.slack]


PLACE = {"instance": "10.0.0.1:9464", "namespace": "tasks", "pod": "watcher-0"}


def notes(summary: str, description: str) -> dict[str, str]:
    return {
        "summary": summary,
        "description": description,
        "runbook_url": "https://docs.internal/runbooks.md#watchersourcedown-timeout",
        "dashboard_url": "https://grafana.internal/d/x?var-instance=10.0.0.1%3A9464",
    }


async def test_one_message_at_the_start_and_one_at_the_end(tmp_path: Path) -> None:
    down = firing(
        {**alert("SourceDown", **SOURCE, reason="timeout"), **PLACE},
        BEGAN,
        **notes("No response from mixpeek in time", "Nothing can be detected for 5m."),
    )
    async with site_in(tmp_path) as site, alertmanager(tmp_path, slack_of(site)) as client:
        await post(client, down)
        (began,) = await messages(site, 1)
        await post(client, down)  # as Prometheus repeats it
        await post(client, {**down, "endsAt": NOW.isoformat()})
        _, ended = await messages(site, 2)
    since, until = (moment.strftime("%Y-%m-%d %H:%M:%S") for moment in (BEGAN, NOW))
    assert (began["color"], began["title"]) == ("danger", "No response from mixpeek in time")
    assert began["title_link"] == down["annotations"]["runbook_url"]
    assert began["text"].splitlines()[0] == "Nothing can be detected for 5m."
    for text in (
        f"Since {since} UTC",
        "instance `10.0.0.1:9464`",
        "namespace `tasks`",
        "pod `watcher-0`",
        "<https://docs.internal/runbooks.md#watchersourcedown-timeout|Runbook>",
        "<https://grafana.internal/d/x?var-instance=10.0.0.1%3A9464|Dashboard>",
    ):
        assert text in began["text"]
    assert (ended["color"], ended["title"]) == ("good", "Over: No response from mixpeek in time")
    assert f"From {since} to {until} UTC" in ended["text"]
    assert "Nothing can be detected" not in ended["text"]


async def test_two_alerts_in_one_message_have_a_title_and_are_kept_apart(tmp_path: Path) -> None:
    now = datetime.now(UTC)  # Alertmanager does not wait for the rest of a group that began earlier
    both = [
        firing(
            {**alert("TasksFailing", "warning", **SOURCE, task_type=kind), **PLACE},
            now,
            **notes(f"Most tasks of type {kind} failed", f"90 % of {kind}"),
        )
        for kind in ("<!channel>", "thumbnail")
    ]
    async with site_in(tmp_path) as site, alertmanager(tmp_path, slack_of(site)) as client:
        await post(client, *both)
        (began,) = await messages(site, 1)
        await post(client, {**both[0], "endsAt": datetime.now(UTC).isoformat()}, both[1])
        _, mixed = await messages(site, 2)
    plain = "Most tasks of type &lt;!channel&gt; failed"
    assert began["color"] == "warning"
    assert began["title"] == f"{plain}; Most tasks of type thumbnail failed"
    assert "<!channel>" not in str(began)
    assert "90 % of thumbnail" in began["text"]
    assert mixed["title"] == "Most tasks of type thumbnail failed"
    assert mixed["color"] == "warning"
    still, _, over = mixed["text"].partition(f"*Over: {plain}*")
    assert "*Most tasks of type thumbnail failed*\n90 % of thumbnail" in still
    assert "From " in over
    assert "90 %" not in over
