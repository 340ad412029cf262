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

_EXAMPLES = int(os.environ.get("ORDERING_EXAMPLES", "40"))

_PLACES_TAKEN_BACK_IN_FLIGHT = [
    op.Reject(task=0, answer="400"),
    op.Store(tasks=[0, 0, 2], count=3, size=1),
    op.Resume(),
    op.Wait(seconds=0.0),
    op.Store(tasks=[2], count=2, size=1),
]
_STOPPED_ON_A_FULL_DISK = [
    op.Store(tasks=[0], count=3, size=1),
    op.Disk(full=True),
    op.Restart(awaits=None, concurrency=1, order_wait=600.0),
]


@settings(
    max_examples=_EXAMPLES,
    derandomize=_EXAMPLES == 40,
    database=None,
    deadline=None,
    suppress_health_check=[*HealthCheck],
)
@given(operations)
@example(_PLACES_TAKEN_BACK_IN_FLIGHT)
@example(_STOPPED_ON_A_FULL_DISK)
def test_every_rule_holds(scenario: list[Operation]) -> None:
    assert run(scenario) == []
