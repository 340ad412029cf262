"""Order, and what else has to hold of one channel whatever its receiver answers, in virtual time.

Scenarios are drawn: what the receiver answers, what operators do, kills, clock jumps, a full disk.
The dispatcher, the webhook channel and SQLite are the real ones. More of them:

    ORDERING_EXAMPLES=5000 scripts/test tests/delivery/test_ordering.py
"""

import os

from hypothesis import HealthCheck, given, settings

from tests.delivery.ordering.operations import Operation, operations
from tests.delivery.ordering.world import run

_EXAMPLES = int(os.environ.get("ORDERING_EXAMPLES", "40"))


@settings(
    max_examples=_EXAMPLES,
    derandomize=_EXAMPLES == 40,
    database=None,
    deadline=None,
    suppress_health_check=[*HealthCheck],
)
@given(operations)
def test_every_rule_holds(scenario: list[Operation]) -> None:
    assert run(scenario) == []
