"""Which channels receive which event."""

from typing import Any

from watcher.core.routing import Routing, received_by
from watcher.core.settings import RouteSettings
from watcher.core.tasks import TaskKey, Watch


def watch(status: str | None = "IN_PROGRESS", **labels: str) -> Watch:
    return Watch(
        key=TaskKey("mixpeek", "t"), status=status, labels=labels, task_type="api_x", added_at=0.0
    )


def receives(
    route: dict[str, Any], status: str = "FAILED", task_type: str | None = "api_x", **labels: str
) -> bool:
    routing = Routing([RouteSettings(channels=("c",), **route)], ["c"])
    return routing.for_transition(watch(**labels), status, task_type, "ns_1") == ("c",)


def test_each_condition_has_to_hold() -> None:
    assert receives({})
    assert receives({"events": ["task.fail*"]})
    assert not receives({"events": ["task.completed"]})
    assert receives({"statuses": ["Failed"]})
    assert receives({"events": ["source.*"], "statuses": ["FAILED"]})
    assert receives({"task_types": ["API_*"]})
    assert not receives({"task_types": ["engine_*"]})
    assert not receives({"task_types": ["*"]}, task_type=None)
    assert receives({"labels": {"team": "search"}}, team="search", tier="1")
    assert not receives({"labels": {"team": "search"}}, team="ads")
    assert not receives({"labels": {"team": "search"}})
    assert receives({"previous_statuses": ["in_*"]})
    assert not receives({"previous_statuses": ["PENDING"]})
    assert receives({"sources": ["mixpeek"], "namespaces": ["ns_*"]})
    assert not receives({"sources": ["other"]})
    assert not receives({"namespaces": ["ns_2"]})


def test_a_first_status_is_sent_if_terminal_or_with_initial() -> None:
    plain = Routing([RouteSettings(channels=("c",))], ["c"])
    initial = Routing([RouteSettings(channels=("c",), initial=True)], ["c"])
    assert plain.for_transition(watch(None), "PENDING", None, None) == ()
    assert plain.for_transition(watch(None), "FAILED", None, None) == ("c",)
    assert initial.for_transition(watch(None), "PENDING", None, None) == ("c",)


def test_each_matching_route_adds_its_channels_once_in_the_configured_order() -> None:
    routing = Routing(
        [RouteSettings(channels=("b", "a")), RouteSettings(channels=("a",))], ["a", "b"]
    )
    assert routing.for_task_alert(watch(), "task.lost") == ("a", "b")


def test_a_condition_on_a_missing_field_does_not_match_and_a_channel_is_excluded() -> None:
    routing = Routing(
        [
            RouteSettings(channels=("a", "b"), events=("channel.*",)),
            RouteSettings(channels=("c",), labels={"x": "y"}),
        ],
        ["a", "b", "c"],
    )
    assert routing.for_system_event("channel.failing", "channel a") == ("b",)


def test_a_notice_about_a_source_has_a_source() -> None:
    routing = Routing(
        [RouteSettings(channels=("a",), events=("source.*",), sources=("mix*",))], ["a"]
    )
    assert routing.for_system_event("source.unreachable", "source mixpeek") == ("a",)
    assert routing.for_system_event("source.unreachable", "source other") == ()


def test_what_a_channel_receives_names_events_and_conditions_of_each_route() -> None:
    routes = [
        RouteSettings(channels=("backend",)),
        RouteSettings(channels=("alerts", "backend"), statuses=("FAILED",), events=("source.*",)),
        RouteSettings(
            channels=("alerts",),
            task_types=("api_*",),
            sources=("a", "b"),
            namespaces=("ns_*",),
            previous_statuses=("PENDING",),
            labels={"team": "search"},
            initial=True,
        ),
    ]
    assert received_by("backend", routes[:1]) == "every event"
    assert received_by("backend", routes) == "every event; source.*, task.failed"
    assert received_by("alerts", routes[2:]) == (
        "every event (task_types api_*; sources a, b; namespaces ns_*; "
        "previous_statuses PENDING; labels team=search; first statuses too)"
    )
    assert received_by("other", routes) == "nothing: no route leads to it"
