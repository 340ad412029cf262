"""What `DiscoveryLog` promises, for every store."""

import pytest

from tests.contract.stores.harness import NOW
from watcher.core.interfaces.store import Store
from watcher.core.tasks import DiscoveredTask, TaskKey, WatchState

pytestmark = pytest.mark.anyio


def listed_task(task_id: str, status: str | None = "IN_PROGRESS") -> DiscoveredTask:
    return DiscoveredTask(task_id, status, "api_x")


async def test_a_listed_task_is_new_once_per_rule(store: Store) -> None:
    assert not await store.rule_ran("rule")
    page = [listed_task("task_1"), listed_task("task_2", "FAILED"), listed_task("task_1")]
    new, added = await store.discover("rule", "mixpeek", page, {"by": "rule"}, NOW, silent=True)
    assert (new, added.added, [watch.key.task_id for watch in added.watches]) == (2, 1, ["task_1"])
    done = (await store.find("task_2"))[0]
    assert (done.state, done.status, done.sequence, dict(done.labels)) == (
        WatchState.DONE,
        "FAILED",
        0,
        {"by": "rule"},
    )
    await store.rule_finished("rule", NOW, None)
    assert await store.rule_ran("rule")
    page.append(listed_task("task_3", "FAILED"))
    new, added = await store.discover("rule", "mixpeek", page, {}, NOW, silent=False)
    assert (new, [watch.key.task_id for watch in added.watches]) == (1, ["task_3"])
    assert added.reactivated == {TaskKey("mixpeek", "task_3")}
    assert (await store.discover("other", "mixpeek", page, {}, NOW, silent=False))[0] == 3


async def test_tasks_that_a_rule_no_longer_lists_are_forgotten(store: Store) -> None:
    day = 86400.0
    await store.discover(
        "rule", "mixpeek", [listed_task("gone"), listed_task("kept")], {}, NOW, silent=False
    )
    await store.discover("rule", "mixpeek", [listed_task("kept")], {}, NOW + 10 * day, silent=False)
    await store.rule_finished("rule", NOW + 10 * day, NOW + 3 * day)
    page = [listed_task("gone"), listed_task("kept")]
    assert (await store.discover("rule", "mixpeek", page, {}, NOW + 10 * day, silent=False))[0] == 1
