"""An event's bytes, as the contract has them."""

import json
from dataclasses import replace
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.support.records import observed
from watcher.core.events import event_type, namespace_of, new_event_id, task_alert_event, task_event
from watcher.core.tasks import Observation, TaskKey, Watch

WATCH = Watch(
    key=TaskKey("mixpeek", "task_1"),
    labels={"team": "search"},
    status="IN_PROGRESS",
    sequence=2,
    added_at=1000.0,
)


def seen(**task: Any) -> Observation:
    raw = json.dumps({"task_id": "task_1", "status": "FAILED", **task}).encode()
    return observed("task_1", "FAILED", raw, error="boom", upstream_status="failure")


def body(**task: Any) -> dict[str, Any]:
    answer = seen(**task)
    namespace = namespace_of(WATCH, answer)
    event = task_event(
        WATCH, answer, namespace=namespace, sequence=3, at=1063.5, event_id="msg_1", channels=()
    )
    decoded: dict[str, Any] = json.loads(event.body)
    return decoded


def test_the_body_of_a_transition() -> None:
    event = body(
        inputs=["batch_xyz"], outputs=None, additional_data={"batch_id": "batch_xyz"}, error="boom"
    )
    assert event == {
        "type": "task.failed",
        "timestamp": "1970-01-01T00:17:43.500000Z",
        "data": {
            "task_id": "task_1",
            "task_type": "api_x",
            "source": "mixpeek",
            "namespace": None,
            "previous_status": "IN_PROGRESS",
            "status": "FAILED",
            "upstream_status": "failure",
            "terminal": True,
            "sequence": 3,
            "error_message": "boom",
            "inputs": ["batch_xyz"],
            "outputs": None,
            "additional_data": {"batch_id": "batch_xyz"},
            "labels": {"team": "search"},
        },
    }
    assert list(event["data"])[:4] == ["task_id", "task_type", "source", "namespace"]


def test_the_words_of_the_watcher_are_not_copied_from_upstream() -> None:
    data = body(unreadable=["x"], truncated=True, observed_from="y", upstream_status="z")["data"]
    assert data.keys().isdisjoint({"unreadable", "truncated", "observed_from"})
    assert data["upstream_status"] == "failure"


def test_unknown_fields_follow_the_known_ones() -> None:
    data = body(queue_position=4, cancellation={"x": 1}, sequence=99, labels={"no": "no"})["data"]
    assert (data["queue_position"], data["cancellation"]) == (4, {"x": 1})
    assert (data["sequence"], data["labels"]) == (3, {"team": "search"})


def test_the_namespace_is_the_watchs_else_the_tasks() -> None:
    assert body(additional_data={"namespace_id": "ns_1"})["data"]["namespace"] == "ns_1"
    assert (
        namespace_of(
            replace(WATCH, namespace="own"), seen(additional_data={"namespace_id": "ns_1"})
        )
        == "own"
    )
    assert body(additional_data=[1])["data"]["namespace"] is None


def test_task_lost_has_the_last_known_fields_and_the_reason() -> None:
    event = task_alert_event(
        WATCH, "task.lost", reason="gone", at=2000.0, event_id="msg_1", channels=("backend",)
    )
    data = json.loads(event.body)["data"]
    assert (event.type, event.sequence) == ("task.lost", 2)
    assert (data["status"], data["previous_status"], data["sequence"]) == (
        "IN_PROGRESS",
        "IN_PROGRESS",
        2,
    )
    assert (data["terminal"], data["reason"]) == (False, "gone")


@given(st.text(max_size=30))
def test_a_type_holds_only_what_the_contract_allows(status: str) -> None:
    kind = event_type(status)
    assert kind.startswith("task.")
    assert all(char in "abcdefghijklmnopqrstuvwxyz0123456789_" for char in kind[5:])


def test_event_ids_are_random_and_safe_in_a_header() -> None:
    ids = {new_event_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(
        one.startswith("msg_") and one.replace("_", "").replace("-", "").isalnum() for one in ids
    )


def test_words_of_upstream_are_cut() -> None:
    event = body(additional_data={"namespace_id": "n" * 1_000_000})
    assert event["data"]["namespace"] == "n" * 255 + "…"
    long_type = msgspec.structs.replace(seen(), task_type="t" * 1_000_000)
    answer = task_event(
        WATCH, long_type, namespace=None, sequence=3, at=0.0, event_id="msg_1", channels=()
    )
    assert json.loads(answer.body)["data"]["task_type"] == "t" * 255 + "…"
