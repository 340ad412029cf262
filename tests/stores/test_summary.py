"""Counts of the SQLite store: each statement takes a few milliseconds."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.stores.harness import add_watch
from tests.support.records import step
from watcher.stores import _summary
from watcher.stores.sqlite import store as sqlite
from watcher.stores.sqlite import summary

pytestmark = pytest.mark.anyio

NOW = 1_800_000_000.0


@pytest.mark.parametrize("at_once", [1, 2, 3, 7])
async def test_groups_are_counted_a_few_at_once(
    at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summary, "_GROUPS", at_once)
    monkeypatch.setattr(_summary, "_GROUPS", 3)
    errors = [None, "", "a", "b", *["c"] * 4, *["d"] * 2, *["e"] * 3]
    async with sqlite.create(f"sqlite:///{tmp_path}/watcher.db") as store:
        for number, error in enumerate(errors):
            change = step(await add_watch(store, f"task_{number}"), "FAILED", at=NOW - 100 + number)
            watch = replace(change.watch, error_message=error)
            await store.record([replace(change, watch=watch)])
        found = (await store.summary(NOW)).failures
    assert [(group.error, group.count) for group in found] == [("c", 4), ("e", 3), ("d", 2)]
