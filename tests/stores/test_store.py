"""The SQLite store as a whole: durability, a full disk, a damaged file and invalid URLs."""

import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from tests.stores.harness import NOW, opening_error, task_ids
from tests.support.records import request
from watcher.core.errors import StoreCorruptError, StoreError
from watcher.stores.sqlite import store as sqlite

pytestmark = pytest.mark.anyio


async def test_writes_are_synced(url: str) -> None:
    async with sqlite.create(url) as store:
        # A pragma's value is the connection's own.
        writer = store._database.writer
        values = [
            next(iter(await writer.execute_fetchall(f"PRAGMA {name}")))[0]
            for name in ("journal_mode", "synchronous")
        ]
    assert values == ["wal", 2]


async def test_what_was_stored_is_there_after_a_restart(url: str) -> None:
    async with sqlite.create(url) as store:
        await store.add([request("task_1")], NOW)
    async with sqlite.create(url) as store:
        assert await task_ids(store) == {"task_1"}


_CHILD = """
import os, signal, sys, anyio
from tests.support.records import request
from watcher.stores import sqlite

async def main():
    async with sqlite.create(sys.argv[1]) as store:
        for number in range(50):
            await store.add([request(f"task_{number}")], 1.0)
        print("stored", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

anyio.run(main)
"""


async def test_kill_9_keeps_what_was_stored_and_frees_the_lock(url: str) -> None:
    child = await anyio.run_process([sys.executable, "-c", _CHILD, url], check=False)
    assert child.stdout == b"stored\n", child.stderr
    assert child.returncode == -signal.SIGKILL
    async with sqlite.create(url) as store:
        assert len(await task_ids(store)) == 50


async def test_a_file_that_is_not_a_database_is_an_error_and_is_left_alone(
    url: str, file: Path
) -> None:
    text = b"This is a text file. " * 1000
    create_file(file, text)
    assert "is damaged" in await opening_error(url)
    assert content_of(file) == text


def create_file(file: Path, content: bytes) -> None:
    file.parent.mkdir()
    file.write_bytes(content)


def content_of(file: Path) -> bytes:
    return file.read_bytes()


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:////tmp-folder/"]
)
async def test_a_url_without_a_file_is_an_error(url: str) -> None:
    assert "must name a file" in await opening_error(url)


async def test_a_damaged_page_is_reported_and_not_overwritten(url: str, file: Path) -> None:
    async with sqlite.create(url) as store:
        await store.add([request(f"task_{number}") for number in range(1000)], NOW)
    damage_table(file, "watches")

    async with sqlite.create(url) as store:
        with pytest.raises(StoreCorruptError, match="is damaged"):
            await task_ids(store)
        with pytest.raises(StoreError):
            await store.add([request("task_new")], NOW)


def damage_table(file: Path, table: str) -> None:
    """Overwrite the start of the table's first page."""
    with closing(sqlite3.connect(file)) as connection:
        query = "SELECT rootpage FROM sqlite_schema WHERE name = ?"
        (root,) = connection.execute(query, [table]).fetchone()
    content = bytearray(file.read_bytes())
    start = 4096 * (root - 1)
    content[start : start + 64] = b"\xff" * 64
    file.write_bytes(content)


async def test_a_full_disk_raises_an_error_loses_nothing_and_may_be_freed(url: str) -> None:
    async with sqlite.create(url) as store:
        await store.add([request("before")], NOW)
        writer = store._database.writer
        pages = next(iter(await writer.execute_fetchall("PRAGMA page_count")))[0]
        await writer.execute_fetchall(f"PRAGMA max_page_count = {pages + 1}")

        with pytest.raises(
            StoreError, match=r"as large as store\.max_size allows: nothing was stored"
        ):
            await store.add([request(f"task_{number}" * 50) for number in range(1000)], NOW)
        assert await task_ids(store) == {"before"}

        await writer.execute_fetchall("PRAGMA max_page_count = 1000000")
        await store.add([request("after")], NOW)
        assert await task_ids(store) == {"before", "after"}
