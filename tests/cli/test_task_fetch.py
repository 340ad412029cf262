"""What is extracted from an answer, and from where."""

from typing import Any

import pytest

from tests.support.records import observed
from watcher.cli.task_fetch import extracted, path_of
from watcher.core.tasks import TaskNotFound, TaskUnreadable

ANSWER: Any = {
    "status": "FAILED",
    "nested": {"error": {"details": ["x", {"message": "Object not found"}]}},
    "message": "Object not found",
    "number": 7,
    "empty": "",
}


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("FAILED", "status"),
        ("Object not found", "message"),  # the shorter of two paths
        ("x", "nested.error.details[0]"),
        ("failed: Object not found", "message"),  # a part of it
        ("7", None),
        ("other", None),
        ("", None),
        (None, None),
    ],
)
def test_the_path_of_a_text(text: str | None, path: str | None) -> None:
    assert path_of(ANSWER, text) == path


def test_status_type_and_error_have_a_value_and_a_path() -> None:
    raw = b'{"state": "errored", "kind": "api_x", "error": {"message": "no space"}}'
    fields = extracted(observed("t", "FAILED", raw, error="no space", upstream_status="errored"))
    assert fields == {
        "status": {"value": "FAILED", "upstream": "errored", "from": "state"},
        "type": {"value": "api_x", "from": "kind"},
        "error": {"value": "no space", "from": "error.message"},
    }


def test_an_unknown_task_has_no_fields_and_an_unreadable_one_says_why() -> None:
    assert extracted(TaskNotFound(task_id="t")) is None
    fields = extracted(TaskUnreadable(task_id="t", reason="the answer has no status"))
    assert fields is not None
    assert (fields["status"]["value"], fields["status"]["why"]) == (
        None,
        "the answer has no status",
    )
