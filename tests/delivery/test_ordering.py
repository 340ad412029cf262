"""Order, and what else has to hold of one channel whatever its receiver answers, in virtual time.

Scenarios are drawn: what the receiver answers, what operators do, kills, clock jumps, a full disk.
The dispatcher, the webhook channel and SQLite are the real ones. More of them:

    ORDERING_EXAMPLES=5000 scripts/test tests/delivery/test_ordering.py
"""

import os

from hypothesis import HealthCheck, example, given, settings

from tests.delivery.ordering import operations as op
from tests.delivery.ordering.operations import Operation, operations
from tests.delivery.ordering.world import run

_EXAMPLES = int(os.environ.get("ORDERING_EXAMPLES", "25"))

_PLACES_TAKEN_BACK_IN_FLIGHT = [
    op.Reject(channel="backend", task=0, answer="400"),
    op.Store(tasks=[0, 0, 2], count=3, size=1),
    op.Resume(channel="backend"),
    op.Wait(seconds=0.0),
    op.Store(tasks=[2], count=2, size=1),
]
_STOPPED_ON_A_FULL_DISK = [
    op.Store(tasks=[0], count=3, size=1),
    op.Disk(full=True),
    op.Restart(awaits=None, concurrency=1, order_wait=600.0),
]
_REPLAYED_AFTER_A_PURGE = [
    op.Store(tasks=[2], count=1, size=1),
    op.Purge(channel="backend", state="pending"),
    op.Store(tasks=[2, 2], count=1, size=1),
    op.Replay(channel="backend", seconds=600.0, task=None),
]
_RESTARTED_WITH_AN_EARLIER_CLOCK = [
    op.Respond(channel="people", answers=["503 for 2 h"], latency=0.0),
    op.Store(tasks=[1, 3], count=1, size=1),
    op.Jump(seconds=-3600.0),
    op.Restart(awaits=44, concurrency=8, order_wait=600.0),
    op.Wait(seconds=400.0),
]
_OF_THE_RULES = [
    # nothing is left to send once the outage was announced
    [
        op.Respond(channel="backend", answers=["accepts, then reset"], latency=0.0),
        op.Store(tasks=[3], count=1, size=1),
        op.Wait(seconds=400.0),
        op.Purge(channel="backend", state="pending"),
    ],
    # the last attempt that begins is not the last one that ends
    [
        op.Respond(channel="backend", answers=["410"], latency=2.0),
        op.Reject(channel="backend", task=2, answer="413"),
        op.Store(tasks=[2, 1], count=1, size=1),
        op.Purge(channel="backend", state="pending"),
    ],
    # what was announced too late could not be stored before
    [
        op.Respond(channel="backend", answers=["accepts, then reset"], latency=0.0),
        op.Store(tasks=[2], count=1, size=1),
        op.Disk(full=True),
        op.Wait(seconds=400.0),
        op.Disk(full=False),
        op.Wait(seconds=0.0),
    ],
    # a pause before the first event, and one that could not be ended
    [
        op.Pause(channel="backend"),
        op.Restart(awaits=None, concurrency=4, order_wait=600.0),
        op.Store(tasks=[3], count=1, size=1),
        op.Wait(seconds=130.0),
        op.Disk(full=True),
        op.Resume(channel="backend"),
        op.Disk(full=False),
        op.Wait(seconds=130.0),
    ],
]
"""What the rules themselves have taken for a fault."""


@settings(
    max_examples=_EXAMPLES,
    derandomize=_EXAMPLES == 25,
    database=None,
    suppress_health_check=[*HealthCheck],
)
@given(operations)
@example(_PLACES_TAKEN_BACK_IN_FLIGHT)
@example(_STOPPED_ON_A_FULL_DISK)
@example(_REPLAYED_AFTER_A_PURGE)
@example(_RESTARTED_WITH_AN_EARLIER_CLOCK)
@example(_OF_THE_RULES[0])
@example(_OF_THE_RULES[1])
@example(_OF_THE_RULES[2])
@example(_OF_THE_RULES[3])
def test_every_rule_holds(scenario: list[Operation]) -> None:
    assert run(scenario) == []
