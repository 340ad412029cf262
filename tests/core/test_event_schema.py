"""The JSON Schema of the events against the events that are built."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.support.event_schema import fault_of, schema_in_package
from tests.support.records import observed
from watcher.core.event_forms import EventForms
from watcher.core.event_schema import SENT_WHEN, event_schemas, json_schema
from watcher.core.events import task_alert_event, task_event
from watcher.core.example_events import EXAMPLE_TYPES, example_event
from watcher.core.selectors import KNOWN_EVENTS
from watcher.core.statuses import StatusTable
from watcher.core.tasks import KNOWN_STATUSES, TaskKey, Watch

WATCH = Watch(key=TaskKey("mixpeek", "task_1"), labels={"team": "search"}, added_at=0.0)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=10,
)
FIELDS = st.sampled_from(["inputs", "outputs", "additional_data", "labels", "reason", "terminal"])
STATUSES = st.sampled_from(sorted(KNOWN_STATUSES)) | st.text(max_size=30)


def example(kind: str) -> dict[str, Any]:
    event = example_event(kind, channel="a", at=1_795_417_200.0, event_id="msg_1")
    body: dict[str, Any] = json.loads(event.body)
    return body


def fault(body: object) -> str | None:
    return fault_of(json.dumps(body).encode())


@given(
    status=STATUSES,
    previous=st.none() | st.just("IN_PROGRESS"),
    task=st.dictionaries(FIELDS | st.text(max_size=9), JSON, max_size=6),
    unreadable=st.lists(st.text(max_size=9), max_size=2),
    limit=st.sampled_from([0, 300, 10_000]),
)
def test_every_transition_matches_whatever_upstream_shows(
    status: str, previous: str | None, task: Any, unreadable: list[str], limit: int
) -> None:
    canonical = StatusTable().canonical(status)
    if not canonical:
        return
    raw = json.dumps(task).encode()
    seen = observed("task_1", canonical, raw, error="boom", unreadable=unreadable)
    watch = replace(WATCH, status=previous)
    event = task_event(
        watch, seen, namespace=None, sequence=1, at=0.0, event_id="msg_1", channels=()
    )
    for form in (event.body, *EventForms(limit=limit, omit=()).of(event.body)):
        assert fault_of(form) is None


@pytest.mark.parametrize("kind", ["task.lost", "task.stalled"])
@pytest.mark.parametrize("status", [None, "PENDING", "SOMETHING NEW"])
def test_every_alert_of_a_task_matches(kind: str, status: str | None) -> None:
    watch = replace(WATCH, status=status)
    event = task_alert_event(watch, kind, reason="x", at=0.0, event_id="msg_1", channels=())
    assert fault_of(event.body) is None


@pytest.mark.parametrize("kind", EXAMPLE_TYPES)
def test_every_example_matches(kind: str) -> None:
    assert fault(example(kind)) is None


@pytest.mark.parametrize("kind", EXAMPLE_TYPES)
def test_nothing_that_is_required_may_be_absent_or_of_another_kind(kind: str) -> None:
    body = example(kind)
    for name in body:
        assert fault({**body, name: None})
        assert fault({key: value for key, value in body.items() if key != name})
    for name, value in body["data"].items():
        rest = {key: other for key, other in body["data"].items() if key != name}
        if name not in ("inputs", "outputs", "additional_data"):
            assert fault({**body, "data": {**rest, name: [1]}}), name
            assert fault({**body, "data": rest}) or name == "reason", name
        else:
            assert fault({**body, "data": {**rest, name: [value]}}) is None


@pytest.mark.parametrize(
    "change",
    [
        {"type": "source.failed"},
        {"type": "task"},
        {"type": "task.completed"},
        {"type": "source.unreachable"},
        {"timestamp": "2026-11-23 07:00:00"},
        {"timestamp": "2026-11-23T07:00:00.123456+01:00"},
    ],
)
def test_a_body_that_contradicts_its_type_does_not_match(change: dict[str, str]) -> None:
    body = example("task.failed")
    assert fault(body) is None
    assert fault({**body, **change})


def test_every_type_is_described_under_a_name_of_its_own() -> None:
    names, schemas = event_schemas("{name}")
    assert [*SENT_WHEN] == [*KNOWN_EVENTS]
    assert names.keys() == {*EXAMPLE_TYPES, "task.*"}
    assert len({*names.values()}) == len(names)
    assert {*names.values()} < schemas.keys()


def test_the_package_has_one_schema_of_all() -> None:
    schema = schema_in_package()
    assert schema == json_schema()
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    for kind in EXAMPLE_TYPES:
        assert validator.is_valid(example(kind))
        assert not validator.is_valid({**example(kind), "data": {}})
