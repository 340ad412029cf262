"""The forms of an event for receivers that do not take all of it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.core.event_forms import EventForms

DATA: dict[str, Any] = {
    "task_id": "task_1",
    "status": "FAILED",
    "sequence": 3,
    "error_message": "boom",
    "inputs": ["x" * 1000],
    "outputs": ["y" * 1000],
    "additional_data": {"batch_id": "b", "log": "z" * 1000},
    "labels": {"team": "search"},
    "queue_position": 4,
}


def body(data: dict[str, Any]) -> bytes:
    return json.dumps({"type": "task.failed", "timestamp": "t", "data": data}).encode()


def sent(data: dict[str, Any], *, limit: int = 256 * 1024, omit: tuple[str, ...] = ()) -> list[Any]:
    forms = EventForms(limit=limit, omit=omit).of(body(data))
    return [json.loads(form)["data"] for form in forms]


def test_each_form_is_smaller_and_marked() -> None:
    whole, without_large, smallest = sent(DATA)
    assert whole == DATA
    assert without_large == {
        **{name: DATA[name] for name in DATA if name not in ("inputs", "outputs")},
        "truncated": True,
    }
    assert smallest == {
        **{name: DATA[name] for name in ("task_id", "status", "sequence", "error_message")},
        "labels": DATA["labels"],
        "truncated": True,
    }


@pytest.mark.parametrize(("limit", "first"), [(1500, 1), (700, 2), (10, 2)])
def test_the_first_form_is_the_largest_within_the_limit(limit: int, first: int) -> None:
    assert sent(DATA, limit=limit) == sent(DATA)[first:]


def test_the_whole_body_is_sent_byte_for_byte() -> None:
    whole = body(DATA)
    assert next(EventForms(limit=len(whole), omit=()).of(whole)) is whole


def test_omitted_fields_are_in_no_form() -> None:
    for form in sent(DATA, omit=("labels", "outputs")):
        assert form.keys().isdisjoint({"labels", "outputs"})
    assert "truncated" not in sent(DATA, omit=("labels",))[0]


def test_an_event_about_a_source_has_one_form() -> None:
    data = {"source": "mixpeek", "reason": "timeout" * 100}
    assert sent(data, limit=10) == [data]


@given(st.integers(1, 5000), st.integers(0, 3000), st.integers(0, 3000))
def test_there_is_always_a_form_and_sizes_decrease(limit: int, inputs: int, extra: int) -> None:
    data = DATA | {"inputs": ["x" * inputs], "additional_data": {"e": "y" * extra}}
    forms = list(EventForms(limit=limit, omit=()).of(body(data)))
    sizes = [len(form) for form in forms]
    assert sizes
    assert sizes == sorted(set(sizes), reverse=True)
    assert all(size <= limit for size in sizes[:-1])
