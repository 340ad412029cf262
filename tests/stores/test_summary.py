"""Counts of the SQLite store: each statement takes a few milliseconds."""

import sqlite3
from contextlib import closing
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


@pytest.mark.parametrize("few", [1, 2, 3, 4])
async def test_what_is_done_is_counted_by_itself_or_by_what_is_active(
    few: int, tmp_path: Path
) -> None:
    assert "50000" in summary.DONE
    async with sqlite.create(f"sqlite:///{tmp_path}/watcher.db") as store:
        for number in range(5):
            change = step(await add_watch(store, f"task_{number}"), "COMPLETED", at=NOW)
            await store.record([change] if number < 3 else [])
        with closing(sqlite3.connect(tmp_path / "watcher.db")) as connection:
            query = summary.DONE.replace("50000", str(few))
            assert connection.execute(query).fetchall() == [(3,)]


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
