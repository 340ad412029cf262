"""What operators do with a daemon, as its API does it."""

import anyio

from tests.simulation.attention import Attention
from tests.simulation.invariants import Invariants
from tests.simulation.scenario import SOURCE, Action
from watcher.core.tasks import TaskKey, WatchRequest
from watcher.daemon.daemon import Daemon


async def operate(
    daemon: Daemon, action: Action, now: float, attention: Attention, invariants: Invariants
) -> None:
    """Do it once; `now` is the wall clock. Raises `StoreError`, and `KeyError` before a channel
    runs.
    """
    if action.kind == "pause":
        await daemon.pause(action.channel, "maintenance")
    elif action.kind == "resume":
        await daemon.resume(action.channel)
    elif action.kind == "remove":
        for task_id in action.task_ids:
            key = TaskKey(SOURCE, task_id)
            await daemon.store.remove(key)
            daemon.forget(key)  # not before: a full disk removes nothing
            attention.watched.pop(task_id, None)
            invariants.removed(task_id)
    else:
        requests = [
            WatchRequest(key=TaskKey(SOURCE, task_id), again=action.again)
            for task_id in action.task_ids
        ]
        added = await daemon.store.add(requests, now)
        daemon.track(watch for watch in added.watches if watch.key in added.reactivated)
        for task_id in action.task_ids:
            if action.again or task_id not in attention.watched:
                attention.watched[task_id] = anyio.current_time()
