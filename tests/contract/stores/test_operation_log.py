"""What `OperationLog` promises, for every store."""

import pytest

from tests.contract.stores.harness import NOW
from tests.support.records import request
from watcher.core.interfaces.store import Store
from watcher.core.tasks import OperationScope

pytestmark = pytest.mark.anyio


async def test_an_operation_is_claimed_before_and_completed_after(store: Store) -> None:
    scope, other = OperationScope("mixpeek", "bucket"), OperationScope("mixpeek", "other")
    assert await store.claim_operations(scope, ["key_1", "key_2"], NOW) == {}
    assert await store.claim_operations(scope, ["key_1", "key_3"], NOW) == {"key_1": None}
    assert await store.claim_operations(other, ["key_1"], NOW) == {}
    added = await store.complete_operations(scope, ["key_1", "key_2"], request("task_c"), NOW)
    assert [watch.key.task_id for watch in added.watches] == ["task_c"]
    await store.release_operations(scope, ["key_1", "key_3"])
    assert await store.claim_operations(scope, ["key_1", "key_2", "key_3"], NOW) == {
        "key_1": "task_c",
        "key_2": "task_c",
    }
    await store.prune(NOW + 1)
    assert await store.claim_operations(scope, ["key_1", "key_2", "key_3"], NOW) == {}
