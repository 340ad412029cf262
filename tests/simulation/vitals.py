"""Whether a process is well: its loops, its memory, and what its metrics say."""

import asyncio
import gc
from collections import deque
from types import FunctionType, MethodType

from tests.simulation.invariants import Invariants
from tests.simulation.process import Process
from tests.simulation.scenario import SOURCE, Scenario
from tests.simulation.upstream import Upstream

MOST_TASKS = 200
"""Asynchronous tasks at once: the loops, 32 requests of each of two, the senders, the operators."""
LAST_SUCCESS = "watcher_last_success_timestamp_seconds"

_ITEMS, _ITEMS_A_TASK = 1000, 20
_CONTAINERS = (dict, list, set, frozenset, tuple, deque)


def check_process(
    process: Process, upstream: Upstream, invariants: Invariants, scenario: Scenario
) -> None:
    """Check that loops come round, memory is bounded, and the last success is true."""
    daemon = process.daemon
    if daemon is None:
        return
    if stalled := daemon.health.stalled_loops():
        invariants.broken(f"loops do not come round: {stalled}")
    if (count := len(asyncio.all_tasks())) > MOST_TASKS:
        invariants.broken(f"{count} asynchronous tasks at once")
    if asyncio.get_running_loop().time() % 100.0 < 5.0:  # it costs as much as many requests
        kept = footprint((daemon._units.sources, daemon._units.channels))
        if kept > _ITEMS + _ITEMS_A_TASK * len(scenario.lives):
            invariants.broken(f"{kept} items are kept in memory")
    jumps = any(action.kind == "jump" for action in scenario.actions)
    learnt = process.metrics.registry.get_sample_value(LAST_SUCCESS, {"source": SOURCE}) or 0.0
    if learnt > upstream.learnt_wall + 1.0 and not jumps:
        invariants.broken(f"{LAST_SUCCESS} moved although nothing was learnt")


def footprint(root: object) -> int:
    """Return the number of items in all containers that `root` reaches through the watcher's own
    objects.
    """
    seen = {id(root)}
    waiting = [root]
    items = 0
    while waiting:
        one = waiting.pop()
        if isinstance(one, _CONTAINERS):
            items += len(one)
        for other in gc.get_referents(one):
            if id(other) not in seen and _is_followed(other):
                seen.add(id(other))
                waiting.append(other)
    return items


def _is_followed(one: object) -> bool:
    if isinstance(one, (type, FunctionType)):
        return False
    return isinstance(one, (*_CONTAINERS, MethodType)) or type(one).__module__.startswith("watcher")
