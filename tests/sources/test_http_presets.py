"""Each preset reads the answers of its API's public documentation."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from watcher.core.settings import PollingSettings
from watcher.core.tasks import KNOWN_STATUSES, Observation
from watcher.net.exchange import Reply
from watcher.sources.http import Settings, preset_files
from watcher.sources.http.items import ItemReader
from watcher.sources.http.pages import PageDecoder
from watcher.sources.http.requests import GetRequests, ListRequests, Position

pytestmark = pytest.mark.anyio

FOLDER = Path(preset_files.__file__).parent / "presets"
ELSEWHERE = {
    "databricks-runs": "https://acme.cloud.databricks.com",
    "airflow-runs": "https://a/api/v2",
}


def settings(preset: str, **changes: Any) -> Settings:
    values: dict[str, Any] = {"name": "x", "preset": preset, "token": "tk_made_up", **changes}
    if preset in ELSEWHERE:
        values.setdefault("base_url", ELSEWHERE[preset])
    return Settings.model_validate(values)


async def shown(preset: str, item: dict[str, Any], **changes: Any) -> Observation:
    """Return what a preset makes of an item of its list."""
    of = settings(preset, **changes)
    assert of.list is not None
    page = {of.list.items: [item]}
    reply = Reply(status=200, headers={}, body=json.dumps(page).encode(), truncated=False)
    reader = PageDecoder(of.list, ItemReader(of.language(), of.id_form))
    (task,) = (await reader.read(reply)).tasks
    assert isinstance(task, Observation)
    return task


@pytest.mark.parametrize("name", preset_files.names())
def test_each_preset_is_dated_and_valid(name: str) -> None:
    text = (FOLDER / f"{name}.yaml").read_text("utf-8")
    assert text.startswith("# From https://")
    assert "as of 20" in text
    assert "not tried against the API" in text.replace("\n# ", " ")
    found = settings(name)
    assert found.rate is not None
    assert found.polling_with(PollingSettings()).max_interval >= 30
    assert yaml.safe_load(text).keys() <= Settings.model_fields.keys()


def test_the_presets_that_are_documented_exist() -> None:
    assert preset_files.names() == [
        "airflow-runs",
        "anthropic-batches",
        "databricks-runs",
        "github-runs",
        "openai-batches",
        "replicate",
    ]


OPENAI = {
    "id": "batch_abc123",
    "object": "batch",
    "endpoint": "/v1/chat/completions",
    "errors": None,
    "input_file_id": "file-abc123",
    "completion_window": "24h",
    "status": "completed",
    "output_file_id": "file-cvaTdG",
    "error_file_id": "file-HOWS94",
    "request_counts": {"total": 100, "completed": 95, "failed": 5},
    "metadata": {"customer_id": "user_123456789"},
}


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({}, "COMPLETED_WITH_ERRORS", None),
        ({"request_counts": {"total": 100, "completed": 100, "failed": 0}}, "COMPLETED", None),
        ({"status": "validating", "request_counts": None}, "QUEUED", None),
        ({"status": "in_progress"}, "IN_PROGRESS", None),
        ({"status": "finalizing"}, "IN_PROGRESS", None),
        ({"status": "cancelling"}, "IN_PROGRESS", None),
        ({"status": "cancelled"}, "CANCELED", None),
        ({"status": "expired"}, "FAILED", None),
        (
            {
                "status": "failed",
                "errors": {
                    "object": "list",
                    "data": [{"code": "invalid_json_line", "message": "not JSON", "line": 1}],
                },
            },
            "FAILED",
            "not JSON",
        ),
    ],
)
async def test_openai_batches(changes: dict[str, Any], status: str, error: str | None) -> None:
    task = await shown("openai-batches", OPENAI | changes)
    detail = task.detail()
    assert (task.task_id, task.status, detail.error_message) == ("batch_abc123", status, error)
    assert task.task_type == "/v1/chat/completions"
    assert detail.upstream_status == (OPENAI | changes)["status"]
    sent = json.loads(bytes(detail.raw))["additional_data"]
    assert sent["output_file"] == "file-cvaTdG"


ANTHROPIC = {
    "id": "msgbatch_01HkcTjaV5uDC8jWR4ZsDV8d",
    "type": "message_batch",
    "processing_status": "ended",
    "request_counts": {"processing": 0, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0},
    "ended_at": "2024-08-20T18:37:24.100435Z",
    "archived_at": None,
    "cancel_initiated_at": None,
    "results_url": "https://api.anthropic.com/v1/messages/batches/msgbatch_01/results",
}


@pytest.mark.parametrize(
    ("processing", "counts", "status"),
    [
        ("in_progress", {"processing": 100}, "IN_PROGRESS"),
        ("canceling", {"processing": 100}, "IN_PROGRESS"),
        ("ended", {"succeeded": 50}, "COMPLETED"),
        ("ended", {"succeeded": 50, "errored": 30}, "COMPLETED_WITH_ERRORS"),
        ("ended", {"succeeded": 50, "expired": 10}, "COMPLETED_WITH_ERRORS"),
        ("ended", {"succeeded": 50, "canceled": 10}, "COMPLETED_WITH_ERRORS"),
        ("ended", {"errored": 30, "canceled": 10}, "FAILED"),
        ("ended", {"expired": 100}, "FAILED"),
        ("ended", {"canceled": 100}, "CANCELED"),
    ],
)
async def test_anthropic_batches(processing: str, counts: dict[str, int], status: str) -> None:
    item = ANTHROPIC | {"processing_status": processing}
    item["request_counts"] = ANTHROPIC["request_counts"] | counts  # type: ignore[operator]
    task = await shown("anthropic-batches", item)
    assert (task.status, task.task_type) == (status, "anthropic-batches")
    assert task.detail().upstream_status == processing


REPLICATE = {
    "id": "gm3qorzdhgbfurvjtvhg6dckhu",
    "model": "replicate/hello-world",
    "version": "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa",
    "input": {"text": "Alice"},
    "logs": "",
    "error": None,
    "status": "starting",
    "created_at": "2023-09-08T16:19:34.765994657Z",
    "urls": {
        "cancel": "https://api.replicate.com/v1/predictions/gm3qorzdhgbfurvjtvhg6dckhu/cancel",
        "web": "https://replicate.com/p/gm3qorzdhgbfurvjtvhg6dckhu",
    },
}


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("starting", "QUEUED"),
        ("processing", "PROCESSING"),
        ("succeeded", "COMPLETED"),
        ("failed", "FAILED"),
        ("aborted", "FAILED"),
        ("canceled", "CANCELED"),
    ],
)
async def test_replicate(word: str, status: str) -> None:
    task = await shown("replicate", REPLICATE | {"status": word, "error": "out of memory"})
    assert (task.status, task.task_type) == (status, "replicate/hello-world")
    assert task.detail().error_message == "out of memory"


DATABRICKS = {
    "job_id": 11223344,
    "run_id": 455644833004935681,
    "run_name": "A multitask job run",
    "run_page_url": "https://my-workspace.cloud.databricks.com/#job/11223344/run/123",
    "state": {"life_cycle_state": "TERMINATED", "result_state": "SUCCESS", "state_message": ""},
}


@pytest.mark.parametrize(
    ("life_cycle", "result", "status"),
    [
        ("PENDING", None, "PENDING"),
        ("QUEUED", None, "QUEUED"),
        ("BLOCKED", None, "QUEUED"),
        ("RUNNING", None, "IN_PROGRESS"),
        ("TERMINATING", None, "IN_PROGRESS"),
        ("WAITING_FOR_RETRY", None, "QUEUED"),
        ("SKIPPED", None, "SKIPPED"),
        ("INTERNAL_ERROR", "FAILED", "FAILED"),
        ("INTERNAL_ERROR", None, "FAILED"),
        ("TERMINATED", "SUCCESS", "COMPLETED"),
        ("TERMINATED", "FAILED", "FAILED"),
        ("TERMINATED", "TIMEDOUT", "FAILED"),
        ("TERMINATED", "CANCELED", "CANCELED"),
        ("TERMINATED", "SUCCESS_WITH_FAILURES", "COMPLETED_WITH_ERRORS"),
        ("TERMINATED", "MAXIMUM_CONCURRENT_RUNS_REACHED", "SKIPPED"),
        ("TERMINATED", "EXCLUDED", "SKIPPED"),
        ("TERMINATED", "UPSTREAM_FAILED", "FAILED"),
        ("TERMINATED", "UPSTREAM_CANCELED", "CANCELED"),
        ("TERMINATED", "DISABLED", "SKIPPED"),
    ],
)
async def test_databricks_runs(life_cycle: str, result: str | None, status: str) -> None:
    state = {"life_cycle_state": life_cycle, "state_message": "in cell 3"}
    if result is not None:
        state["result_state"] = result
    task = await shown("databricks-runs", DATABRICKS | {"state": state})
    assert (task.task_id, task.status) == ("455644833004935681", status)
    assert task.detail().error_message == "in cell 3"


AIRFLOW: dict[str, Any] = {
    "dag_run_id": "manual__2026-11-01T00:00:00+00:00",
    "dag_id": "nightly",
    "logical_date": "2026-11-01T00:00:00Z",
    "start_date": "2026-11-01T00:00:01Z",
    "end_date": None,
    "run_type": "manual",
    "state": "running",
    "conf": {},
}


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("queued", "QUEUED"),
        ("running", "IN_PROGRESS"),
        ("success", "COMPLETED"),
        ("failed", "FAILED"),
    ],
)
async def test_airflow_runs(word: str, status: str) -> None:
    task = await shown("airflow-runs", AIRFLOW | {"state": word})
    assert task.task_id == "nightly:manual__2026-11-01T00:00:00+00:00"
    assert (task.status, task.task_type) == (status, "nightly")
    call = GetRequests(settings("airflow-runs")).call(task.task_id)
    assert call.path == "/dags/nightly/dagRuns/manual__2026-11-01T00%3A00%3A00%2B00%3A00"


GITHUB = {
    "id": 30433642,
    "name": "Build",
    "path": ".github/workflows/build.yml@main",
    "head_branch": "main",
    "run_number": 562,
    "run_attempt": 1,
    "status": "completed",
    "conclusion": "success",
    "html_url": "https://github.com/octo-org/octo-repo/actions/runs/30433642",
}
OCTO = {"vars": {"owner": "octo-org", "repo": "octo-repo"}}


@pytest.mark.parametrize(
    ("word", "conclusion", "status"),
    [
        ("queued", None, "QUEUED"),
        ("requested", None, "QUEUED"),
        ("waiting", None, "QUEUED"),
        ("pending", None, "PENDING"),
        ("in_progress", None, "IN_PROGRESS"),
        ("completed", "success", "COMPLETED"),
        ("completed", "neutral", "COMPLETED"),
        ("completed", "failure", "FAILED"),
        ("completed", "timed_out", "FAILED"),
        ("completed", "startup_failure", "FAILED"),
        ("completed", "stale", "FAILED"),
        ("completed", "cancelled", "CANCELED"),
        ("completed", "skipped", "SKIPPED"),
        ("completed", "action_required", "INTERRUPTED"),
    ],
)
async def test_github_runs(word: str, conclusion: str | None, status: str) -> None:
    task = await shown("github-runs", GITHUB | {"status": word, "conclusion": conclusion}, **OCTO)
    assert (task.task_id, task.status) == ("30433642", status)
    assert status in KNOWN_STATUSES
    assert task.detail().upstream_status == (conclusion or word)


def test_a_github_run_has_an_id_of_three_parts_or_a_source_of_its_own() -> None:
    alone = GetRequests(settings("github-runs")).call("octo-org:octo-repo:30433642")
    fixed = settings("github-runs", **OCTO)
    assert alone.path == "/repos/octo-org/octo-repo/actions/runs/30433642"
    assert GetRequests(fixed).call("30433642").path == alone.path
    assert settings("github-runs").usable_list is None
    assert "list is not used" in settings("github-runs").warnings()[0]
    assert fixed.usable_list is not None
    call = ListRequests(fixed, fixed.usable_list).call(Position())
    assert (call.path, call.query_text) == (
        "/repos/octo-org/octo-repo/actions/runs",
        "per_page=100",
    )


def test_what_a_user_sets_comes_on_top_of_the_preset() -> None:
    found = settings(
        "databricks-runs",
        item={"type": "creator_user_name"},
        statuses={"Internal-Error": "CANCELED", "NEW_WORD": "SKIPPED"},
        polling={"max_interval": "5s"},
        requests_per_minute=10,
        list=None,
    )
    assert found.item.type == ("creator_user_name",)
    assert found.item.status == ("state.result_state", "state.life_cycle_state")
    statuses = found.language().statuses
    assert statuses.canonical("INTERNAL_ERROR") == "CANCELED"
    assert statuses.canonical("new_word") == "SKIPPED"
    assert statuses.canonical("EXCLUDED") == "SKIPPED"
    polling = found.polling_with(PollingSettings(lost_after="1m"))
    assert (polling.min_interval, polling.max_interval, polling.lost_after) == (5, 5, 60)
    assert (found.rate, found.list) == ((10, 60.0), None)
