"""What became of an event for each channel."""

import pytest

from watcher.core.deliveries import Delivery, DeliveryState
from watcher.core.fates import fates
from watcher.core.reading import SentTo, TaskEvent
from watcher.core.settings import RouteSettings
from watcher.core.tasks import TaskKey, Watch

WATCH = Watch(
    key=TaskKey("mixpeek", "task_1"), added_at=1.0, task_type="api_x", labels={"team": "search"}
)


def event(
    *sent: str,
    status: str = "FAILED",
    previous: str | None = "IN_PROGRESS",
    routed: tuple[str, ...] = (),
) -> TaskEvent:
    return TaskEvent(
        id=1,
        event_id="msg_1",
        type=f"task.{status.lower()}",
        at=5.0,
        sequence=2,
        previous_status=previous,
        status=status,
        reason=None,
        channels=(*sent, *routed),
        deliveries=[SentTo(delivery=delivery(name), attempts=[]) for name in sent],
    )


def delivery(channel: str) -> Delivery:
    return Delivery(
        id=7,
        event_id="msg_1",
        type="task.failed",
        task_id="task_1",
        channel=channel,
        state=DeliveryState.DELIVERED,
        attempts=1,
        next_attempt_at=None,
        last_error=None,
        last_status=200,
        created_at=5.0,
        delivered_at=6.0,
    )


def route(channel: str, **conditions: object) -> RouteSettings:
    return RouteSettings.model_validate({"channels": [channel], **conditions})


def test_a_delivery_is_shown_for_its_channel_configured_or_not() -> None:
    shown = fates(event("gone", "backend"), WATCH, [], ["backend"])
    assert [(one.channel, one.sent is not None, one.not_sent) for one in shown] == [
        ("backend", True, None),
        ("gone", True, None),
    ]


@pytest.mark.parametrize(
    ("routes", "reason"),
    [
        ([], "no route leads to it"),
        ([route("other")], "no route leads to it"),
        ([route("alerts", events=["task.lost"])], "no route sends task.failed to it"),
        ([route("alerts", statuses=["CANCELED"])], "no route sends task.failed to it"),
        (
            [route("alerts", task_types=["api_y"]), route("alerts", labels={"team": "ads"})],
            "api_x matches none of its task_types; the label team is not ads",
        ),
        ([route("alerts")], "no route sent it to it then; as routes are now, one would"),
    ],
)
def test_why_it_was_not_sent_is_said_by_the_present_routes(
    routes: list[RouteSettings], reason: str
) -> None:
    (fate,) = fates(event(), WATCH, routes, ["alerts"])
    assert (fate.sent, fate.not_sent) == (None, reason)


def test_a_first_status_that_is_not_terminal_needs_a_route_for_it() -> None:
    first = event(status="PENDING", previous=None)
    (fate,) = fates(first, WATCH, [route("alerts")], ["alerts"])
    assert fate.not_sent == "a first status that is not terminal needs initial: true"


def test_a_delivery_that_was_removed_is_no_matter_of_routes() -> None:
    (fate,) = fates(event(routed=("backend",)), WATCH, [], ["backend"])
    assert fate.not_sent == "its delivery was removed"
