"""Copies of a store, also while it is written."""

import sqlite3
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from tests.support.records import request, step
from watcher.core.errors import StoreError, StoreUnusableError
from watcher.core.events import Event
from watcher.core.tasks import TaskKey
from watcher.stores.sqlite import backup, create

pytestmark = pytest.mark.anyio

NOW = 1_800_000_000.0


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"


async def fill(path: Path, count: int) -> None:
    """Store tasks that have failed, each with an event of 8 KB."""
    async with create(url_of(path)) as store:
        watches = (await store.add([request(f"task_{n}") for n in range(count)], NOW)).watches
        changes = [step(watch, "FAILED", at=NOW) for watch in watches]
        await store.record([replace(one, event=large(one.event)) for one in changes])


def large(event: Event | None) -> Event:
    assert event is not None
    return replace(event, body=bytes(8000))


async def test_a_copy_holds_what_the_store_holds_and_opens_as_a_store(tmp_path: Path) -> None:
    path, copy = tmp_path / "watcher.db", tmp_path / "copy.db"
    await fill(path, 50)
    copy.write_text("an older copy")
    check_copy(path, copy)
    async with create(url_of(copy)) as store:
        assert len(await store.events_after(0, 100)) == 50
        assert (await store.watches([TaskKey("mixpeek", "task_7")])).keys()


def check_copy(path: Path, copy: Path) -> None:
    assert backup(url_of(path), copy) == copy.stat().st_size
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert list(copy.parent.glob("*copy*")) == [copy]


async def test_a_copy_is_one_moment_while_the_store_is_written(tmp_path: Path) -> None:
    path, copy = tmp_path / "watcher.db", tmp_path / "copy.db"
    await fill(path, 500)
    async with create(url_of(path)) as store:
        writes: Iterator[int] = iter(range(1_000_000))
        steps = 0

        async def write() -> None:
            number = next(writes)
            (watch,) = (await store.add([request(f"later_{number}")], NOW)).watches
            await store.record([step(watch, "FAILED", at=NOW)])

        def progress(done: int, total: int) -> None:
            nonlocal steps
            steps += 1
            anyio.from_thread.run(write)  # a write between any two steps

        with anyio.fail_after(30):
            await anyio.to_thread.run_sync(backup, url_of(path), copy, progress)
        assert len(await store.events_after(0, 1000)) == 500 + steps
    assert steps > 3
    async with create(url_of(copy)) as store:
        assert len(await store.events_after(0, 1000)) == 500


async def test_what_cannot_be_copied_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    path, copy = tmp_path / "watcher.db", tmp_path / "copies" / "copy.db"
    with pytest.raises(StoreUnusableError, match="there is no store to copy"):
        backup(url_of(path), copy)
    await fill(path, 1)
    with pytest.raises(StoreUnusableError, match="cannot write"):
        backup(url_of(path), copy)
    with pytest.raises(StoreUnusableError, match="is the store itself"):
        backup(url_of(path), tmp_path / ".." / tmp_path.name / "watcher.db")
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    copy.parent.mkdir()
    with pytest.raises(StoreUnusableError, match="not a store of the watcher"):
        backup(url_of(other), copy)
    other.write_bytes(b"no database " * 1000)
    with pytest.raises(StoreError, match="not a database"):
        backup(url_of(other), copy)
    assert not list(copy.parent.iterdir())


async def test_a_damaged_page_is_noticed(tmp_path: Path) -> None:
    path, copy = tmp_path / "watcher.db", tmp_path / "copy.db"
    await fill(path, 200)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = b"\xff" * 4096
    path.write_bytes(content)
    copy.write_text("an older copy")
    with pytest.raises(StoreError):
        backup(url_of(path), copy)
    assert copy.read_text() == "an older copy"
