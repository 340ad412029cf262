"""A stored event is routed as it was when it was stored."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.records import observation
from watcher.core.clock import rfc3339
from watcher.core.event_bodies import ChannelData, SourceData
from watcher.core.event_routing import context_of
from watcher.core.events import system_event, task_alert_event, task_event
from watcher.core.routing import Routing
from watcher.core.settings import RouteSettings
from watcher.core.tasks import TaskKey, Watch

WATCH = Watch(
    key=TaskKey("mixpeek", "t"), status="PENDING", labels={"team": "search"}, added_at=0.0
)


def routes(**condition: Any) -> Routing:
    return Routing([RouteSettings(channels=("c",), **condition)], ["c"])


@given(
    previous=st.sampled_from([None, "PENDING", "COMPLETED"]),
    status=st.sampled_from(["PENDING", "FAILED", "SOMETHING NEW"]),
    namespace=st.sampled_from([None, "ns_1"]),
    labels=st.sampled_from([{}, {"team": "search"}]),
    condition=st.sampled_from(
        [
            {},
            {"initial": True},
            {"statuses": ["FAILED"]},
            {"labels": {"team": "search"}},
            {"namespaces": ["ns_*"]},
            {"previous_statuses": ["P*"]},
            {"sources": ["mixpeek"]},
            {"sources": ["other"]},
            {"task_types": ["*"]},
        ]
    ),
)
def test_a_transition_is_routed_as_it_was(
    previous: str | None,
    status: str,
    namespace: str | None,
    labels: dict[str, str],
    condition: dict[str, Any],
) -> None:
    watch = replace(WATCH, status=previous, labels=labels, namespace=namespace)
    seen = observation("t", status)
    event = task_event(
        watch, seen, namespace=namespace, sequence=1, at=0.0, event_id="msg_1", channels=()
    )
    routing = routes(**condition)
    context, about = context_of(event.body)
    assert about is None
    assert routing.channels(context) == routing.for_transition(
        watch, status, seen.task_type, namespace
    )


@pytest.mark.parametrize("status", [None, "PENDING"])
@pytest.mark.parametrize("condition", [{}, {"events": ["task.lost"]}, {"statuses": ["PENDING"]}])
def test_an_alert_of_a_task_is_routed_as_it_was(
    status: str | None, condition: dict[str, Any]
) -> None:
    watch = replace(WATCH, status=status)
    event = task_alert_event(
        watch, "task.lost", reason="404", at=0.0, event_id="msg_1", channels=()
    )
    routing = routes(**condition)
    assert routing.channels(context_of(event.body)[0]) == routing.for_task_alert(watch, "task.lost")


def test_an_event_about_a_source_or_a_channel_has_its_subject() -> None:
    outage = {"reason": "timeout", "status": None, "error": None, "since": rfc3339(0.0)}
    bodies = [
        system_event(kind, at=0.0, event_id="m", data=data, order_key="x", channels=()).body
        for kind, data in (
            (
                "source.unreachable",
                msgspec.convert({**outage, "source": "a", "active_watches": 2}, SourceData),
            ),
            (
                "channel.failing",
                msgspec.convert({**outage, "channel": "b", "pending": 3}, ChannelData),
            ),
        )
    ]
    (of_source, about_source), (of_channel, about_channel) = map(context_of, bodies)
    assert (of_source.type, of_source.source, about_source) == ("source.unreachable", "a", None)
    assert (of_channel.type, of_channel.source, about_channel) == ("channel.failing", None, "b")
    assert of_source.labels is None


def test_unknown_fields_of_a_body_do_not_matter() -> None:
    body = msgspec.json.encode({"type": "task.failed", "data": {"inputs": [1], "labels": {}}})
    assert context_of(body)[0].type == "task.failed"
