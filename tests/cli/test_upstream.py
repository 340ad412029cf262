"""`tasks`, `batches`, `cancel-batch`, `kill` and `confirm-uploads` against the real API and a fake
upstream.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.harness import Harness, run
from watcher.testing.mixpeek_request import Request


def add_batch(harness: Harness, number: int, **fields: object) -> None:
    harness.upstream.set(f"task_{number}", "IN_PROGRESS", task_type="api_x")
    harness.upstream.api.batches[f"batch_{number}"] = {
        "batch_id": f"batch_{number}",
        "bucket_id": "bkt",
        "status": "IN_PROGRESS",
        "task_id": f"task_{number}",
        "tier_tasks": [],
        **fields,
    }


def test_tasks_are_listed_with_criteria(harness: Harness) -> None:
    for number in range(3):
        harness.upstream.set(f"task_{number}", "IN_PROGRESS", task_type="api_x")
    harness.upstream.set("task_9", "FAILED", error="Object\x1b[31m not found", task_type="api_y")

    def listed(*arguments: str) -> list[str]:
        return [item["task_id"] for item in json.loads(harness.run(*arguments, "--json").stdout)]

    rows = harness.run("tasks").rows
    assert rows[0] == ["TASK_ID", "STATUS", "TASK_TYPE", "ERROR"]
    assert rows[-1] == ["task_9", "FAILED", "api_y", "Object\\x1b[31m", "not", "found"]
    assert listed("tasks", "--status", "failed") == ["task_9"]
    assert listed("tasks", "--type", "api_y") == ["task_9"]
    assert listed("tasks", "--search", "task_1") == ["task_1"]
    assert listed("tasks", "--filters", '{"task_id": "task_2"}') == ["task_2"]
    assert listed("tasks", "--sort", "task_id:desc", "--limit", "2") == ["task_9", "task_2"]
    assert len(listed("tasks", "--sort", "task_id", "--limit", "0")) == 4
    invalid = harness.run("tasks", "--status", "BOILING")
    assert (invalid.exit_code, invalid.stderr.count("\n")) == (4, 1)
    assert "'BOILING' is not a status" in invalid.stderr


def test_batches_show_their_progress(harness: Harness) -> None:
    add_batch(harness, 1, progress={"percent": 39.6})
    add_batch(harness, 2, status="FAILED", failure_reason="out of memory")
    header, first, second = harness.run("batches", "bkt").rows
    assert header == ["BATCH_ID", "STATUS", "DONE", "TASK_ID", "ERROR"]
    assert first == ["batch_1", "IN_PROGRESS", "40", "%", "task_1", "-"]
    assert second == ["batch_2", "FAILED", "-", "task_2", "out", "of", "memory"]
    (failed,) = json.loads(harness.run("batches", "bkt", "--status", "FAILED", "--json").stdout)
    assert failed["batch_id"] == "batch_2"
    assert json.loads(harness.run("batches", "other", "--json").stdout) == []


def test_a_batch_is_canceled(harness: Harness) -> None:
    add_batch(harness, 1)
    add_batch(harness, 2)
    harness.upstream.api.rejected_jobs = 1
    assert harness.lines("cancel-batch", "bkt", "batch_1", "--yes", "--reason", "typo") == [
        "task_1 IN_PROGRESS: 1 cancellations requested, 0 accepted, 1 rejected: work may still "
        "be running"
    ]
    harness.upstream.api.rejected_jobs = 0
    canceled = json.loads(harness.run("cancel-batch", "bkt", "batch_2", "--yes", "--json").stdout)
    assert canceled["status"] == "CANCELED"
    missing = harness.run("cancel-batch", "bkt", "batch_9", "--yes")
    assert (missing.exit_code, "batch_9 not found" in missing.stderr) == (4, True)


def test_a_task_is_killed(harness: Harness) -> None:
    harness.upstream.set("task_1", "IN_PROGRESS")
    harness.upstream.set("task_2", "IN_PROGRESS")
    assert harness.lines("kill", "task_1", "--yes") == ["Task task_1 killed"]
    assert json.loads(harness.run("kill", "task_2", "--yes", "--json").stdout)["success"] is True
    assert harness.lines("kill", "task_9", "--yes") == ["Task task_9 killed"]
    assert json.loads(harness.run("ls", "--json").stdout) != []
    assert "task_9" not in harness.run("ls").stdout

    async def answers(request: Request) -> tuple[int, dict[str, str], bytes]:
        if request.method == "DELETE" and request.path.endswith("task_3"):
            return 200, {}, b'{"success": false, "message": "it is\\nlocked"}'
        return 204, {}, b""

    harness.upstream.answer = answers  # type: ignore[method-assign]
    locked = harness.run("kill", "task_3", "--yes")
    assert (locked.exit_code, locked.stdout) == (4, "")
    assert locked.stderr == "watcher: task_3 was not killed: it is\\nlocked\n"
    assert harness.lines("kill", "task_4", "--yes") == ["task_4 killed"]
    unknown = harness.run("kill", "task_1", "--yes", "--source", "nowhere")
    assert (unknown.exit_code, "nowhere" in unknown.stderr) == (4, True)


def write_uploads(folder: Path, count: int) -> str:
    file = folder / "uploads.csv"
    rows = [f"upl_{number},etag,{number + 1}" for number in range(count)]
    file.write_text("\n".join(["upload_id,etag,file_size_bytes", *rows]))
    return str(file)


def test_uploads_are_confirmed_once(harness: Harness, tmp_path: Path) -> None:
    file = write_uploads(tmp_path, 150)
    first = harness.run("confirm-uploads", "bkt", file, terminal=True)
    assert first.exit_code == 0
    text = "Batch confirmation is being processed in the background."
    assert first.stdout.splitlines() == [
        f"task_confirm_1 PENDING, 100 of 100 uploads: {text}",
        f"task_confirm_2 PENDING, 50 of 50 uploads: {text}",
        "150 confirmed by 2 tasks, 0 confirmed before",
    ]
    assert first.stderr == "\r100 of 150 uploads\r150 of 150 uploads\n"
    assert harness.lines("confirm-uploads", "bkt", file) == [
        "0 confirmed by 0 tasks, 150 confirmed before"
    ]
    again = json.loads(harness.run("confirm-uploads", "bkt", file, "--json").stdout)
    assert {item["state"] for item in again} == {"already"}
    assert len(harness.upstream.api.confirmed) == 150


def test_uploads_with_an_unknown_result_exit_1_until_resent(
    harness: Harness, tmp_path: Path
) -> None:
    file = write_uploads(tmp_path, 3)
    answer = harness.upstream.answer

    async def unreadable(*_: object) -> tuple[int, dict[str, str], bytes]:
        return 200, {}, b"<html>"

    harness.upstream.answer = unreadable  # type: ignore[method-assign]
    assert harness.run("confirm-uploads", "bkt", file).exit_code == 4
    harness.upstream.answer = answer  # type: ignore[method-assign]
    for options in ([], ["--json"]):
        doubtful = harness.run("confirm-uploads", "bkt", file, *options)
        assert doubtful.exit_code == 1
        assert doubtful.stderr == (
            "watcher: the result of 3 uploads is unknown; --resend-doubtful sends them again\n"
        )
    *_, summary = harness.lines("confirm-uploads", "bkt", file, "--resend-doubtful")
    assert summary == "3 confirmed by 1 tasks, 0 confirmed before"


def test_fewer_confirmations_than_uploads_are_reported(harness: Harness, tmp_path: Path) -> None:
    file = write_uploads(tmp_path, 3)
    answer = harness.upstream.answer

    async def short(*_: object) -> tuple[int, dict[str, str], bytes]:
        body = {"task_id": "task_c", "status": "PENDING", "confirmations_count": 1}
        return 200, {}, json.dumps({**body, "message": "one\n of them"}).encode()

    harness.upstream.answer = short  # type: ignore[method-assign]
    first = harness.run("confirm-uploads", "bkt", file)
    assert (first.exit_code, first.stdout.splitlines()) == (
        1,
        [
            "task_c PENDING, 1 of 3 uploads: one\\n of them",
            "0 confirmed by 0 tasks, 0 confirmed before",
        ],
    )
    assert first.stderr == (
        "watcher: upstream confirms 1 of 3 uploads and does not say which; the result of 3 uploads "
        "is unknown; --resend-doubtful sends them again\n"
    )
    harness.upstream.answer = answer  # type: ignore[method-assign]
    assert harness.run("confirm-uploads", "bkt", file).exit_code == 1
    sent = json.loads(
        harness.run("confirm-uploads", "bkt", file, "--resend-doubtful", "--json").stdout
    )
    assert {(item["state"], item["status"]) for item in sent} == {("confirmed", "PENDING")}
    assert "in the background" in sent[0]["message"]


def test_a_later_failure_does_not_hide_earlier_answers(harness: Harness, tmp_path: Path) -> None:
    file = write_uploads(tmp_path, 150)
    answer = harness.upstream.answer

    async def fails_at_second(request: Request) -> Any:
        return (500, {}, b"{}") if harness.upstream.api.confirmed else await answer(request)

    harness.upstream.answer = fails_at_second  # type: ignore[method-assign]
    finished = harness.run("confirm-uploads", "bkt", file)
    assert finished.exit_code == 4
    assert finished.stdout.startswith("task_confirm_1 PENDING, 100 of 100 uploads: ")
    assert finished.stderr.count("\n") == 1


def test_what_upstream_says_is_one_line(harness: Harness) -> None:
    entries = [{"loc": ["body", "sort"], "msg": "two\nlines", "type": "sort_type"}]

    async def rejected(*_: object) -> tuple[int, dict[str, str], bytes]:
        error = {
            "message": "Invalid",
            "code": "bad_sort",
            "details": {"validation_errors": entries},
        }
        body = {"success": False, "status": 422, "error": error}
        return 422, {"x-request-id": "req_1"}, json.dumps(body).encode()

    harness.upstream.answer = rejected  # type: ignore[method-assign]
    finished = harness.run("tasks")
    assert (finished.exit_code, finished.stdout) == (4, "")
    assert finished.stderr == (
        "watcher: HTTP 409: upstream: HTTP 422 Invalid: body.sort: two lines (sort_type) "
        "[code bad_sort, request req_1]\n"
    )


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["tasks", "--filters", "{"], "--filters: invalid JSON: "),
        (["tasks", "--filters", "[]"], "--filters: expected a JSON object"),
        (["tasks", "--limit", "-1"], "-1 is not in the range x>=0"),
        (["confirm-uploads", "b", "/nowhere/x.csv"], "/nowhere/x.csv: no such file or directory"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(arguments: list[str], error: str) -> None:
    finished = run(*arguments)
    assert (finished.exit_code, finished.stdout) == (2, "")
    assert error in finished.stderr
    assert finished.stderr.count("\n") == 1
