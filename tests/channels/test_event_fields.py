"""What is read of an event for a message: the fields that are shown, whatever else it holds."""

import json
import tracemalloc
from typing import Any

import pytest

from watcher.channels._event_fields import fields_of
from watcher.channels._text import batch_of, names_by_event_type
from watcher.core.deliveries import Message

MEBIBYTE = 1024 * 1024


def body_of(**data: Any) -> bytes:
    return json.dumps({"type": "task.failed", "data": data}).encode()


def peak_of(body: bytes) -> int:
    """Return the most bytes that reading `body` took."""
    tracemalloc.start()
    fields_of(body)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize("status", ["FAILED", "COMPLETED_WITH_ERRORS"])
@pytest.mark.parametrize(
    "large",
    [
        {"outputs": {"rows": [{"x": "y" * 50}] * 15_000}},
        {"outputs": [{"text": "y" * MEBIBYTE}]},
        {"inputs": ["y" * 50] * 18_000},
        {"additional_data": {"batch_id": "batch_1", "rows": [{"x": "y" * 50}] * 15_000}},
        {"of_a_later_year": [list(range(150_000))]},
    ],
    ids=["rows", "text", "inputs", "additional", "unknown"],
)
def test_a_megabyte_that_is_not_shown_takes_no_memory(status: str, large: dict[str, Any]) -> None:
    body = body_of(task_id="task_1", status=status, **large)
    assert len(body) > 0.8 * MEBIBYTE
    assert peak_of(body) < 64 * 1024


def test_a_digest_of_large_events_takes_little_memory() -> None:
    body = body_of(task_id="task_1", status="FAILED", outputs=["y" * MEBIBYTE])
    messages = [Message(event_id="msg_1", type="task.failed", body=body)] * 400
    tracemalloc.start()
    assert names_by_event_type(messages) == {"task.failed": ["task_1"] * 400}
    assert [batch_of(message) for message in messages] == [None] * 400
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MEBIBYTE


def test_long_texts_and_lists_are_cut() -> None:
    items = [
        {"id": number, "error": {"message": "x" * 20_000, "trace": []}} for number in range(99)
    ]
    shown = fields_of(
        body_of(
            error_message="x" * MEBIBYTE,
            status="COMPLETED_WITH_ERRORS",
            outputs=[{"failed_count": 99, "success_rate": 0.5, "errors": items}, 5, None],
            labels={str(number): "x" for number in range(99)},
        )
    )
    assert len(shown["error_message"]) == 10_000
    assert len(shown["labels"]) == 50
    (output,) = shown["outputs"]
    assert (output["failed_count"], output["success_rate"]) == (99, 0.5)
    assert len(output["errors"]) == 50
    assert output["errors"][0]["id"] == 0
    assert len(output["errors"][0]["error"]["message"]) == 10_000


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        ({}, {}),
        ({"task_id": "a", "x": 1}, {"task_id": "a"}),
        ({"task_id": None, "status": 5}, {"task_id": None, "status": 5}),
        ({"task_id": ["a"], "error_message": {"a": 1}}, {"task_id": None, "error_message": None}),
        ({"status": "FAILED", "outputs": [{"failed_count": 1}]}, {"status": "FAILED"}),
        ({"additional_data": {"batch_id": "b", "x": 1}}, {"additional_data": {"batch_id": "b"}}),
        ({"additional_data": ["b"], "labels": "x"}, {}),
        ({"sequence": 3, "since": "s", "pending": 4}, {"sequence": 3, "since": "s", "pending": 4}),
    ],
)
def test_fields(data: dict[str, Any], shown: dict[str, Any]) -> None:
    assert fields_of(body_of(**data)) == shown


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'{"data":5}',
        b'{"data":[]}',
        b"\xff",
        b'{"data":{"status":"\xff"}}',
    ],
)
def test_what_is_no_event_has_no_fields(body: bytes) -> None:
    assert fields_of(body) == {}
