"""How much a store may take, and that database and log together stay within it."""

import errno
import sqlite3
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.records import event
from watcher.core.errors import StoreFullError, StoreUnusableError
from watcher.stores.sqlite import store as sqlite
from watcher.stores.sqlite.sizes import MIB, Sizes, default_size
from watcher.stores.sqlite.store import SqliteStore

pytestmark = pytest.mark.anyio

GIB = 1024 * MIB
LIMIT = 16 * MIB
EVENT = 500_000


@pytest.mark.parametrize(
    ("taken", "free", "limit"),
    [
        (0, 100 * GIB, 4 * GIB),
        (0, GIB, GIB * 9 // 10),
        (GIB // 2, GIB // 2, GIB * 9 // 10),
        (3 * GIB, 100 * GIB, 4 * GIB),
        (GIB, 0, GIB * 9 // 10),
        (0, 0, 0),
    ],
)
def test_without_a_setting_the_volume_decides(taken: int, free: int, limit: int) -> None:
    assert default_size(taken, free) == limit


@given(st.integers(64 * 1024, 1 << 45))
def test_the_parts_are_the_whole(max_size: int) -> None:
    sizes = Sizes(max_size)
    assert 0 < sizes.kept_log <= sizes.log < sizes.writable < sizes.database
    assert sizes.log + sizes.database == max_size
    assert sizes.checkpoint * 4096 <= max(sizes.log, 4096)


async def test_a_limit_grows_with_its_volume_and_is_not_lowered(url: str) -> None:
    free = [8 * MIB]
    async with sqlite.create(url, free=lambda _: free[0]) as store:
        first = await store.size()
        assert first.whole_limit == pytest.approx(8 * MIB * 0.9, rel=0.05)
        free[0] = 0
        assert (await store.size()).whole_limit == first.whole_limit
        free[0] = 100 * GIB
        assert (await store.size()).whole_limit == pytest.approx(4 * GIB, rel=0.01)
        for number in range(40):  # more than the first limit
            await fill(store, number)
    async with sqlite.create(url, free=lambda _: 10 * MIB) as store:
        size = await store.size()
        assert size.whole_limit == pytest.approx((size.all_used + 10 * MIB) * 0.9, rel=0.05)


async def test_a_limit_beyond_the_volume_is_warned_of(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    for free in (100 * MIB, 15 * MIB):
        assert caplog.messages == []
        async with sqlite.create(url, max_size=LIMIT, free=partial(left, free)):
            pass
    (message,) = caplog.messages
    assert message.startswith("store.max_size is 16 MiB, but the volume of ")
    assert " has 15 MiB for it: " in message


def left(free: int, _: Path) -> int:
    return free


async def test_a_volume_that_cannot_be_examined_is_an_error_of_one_line(url: str) -> None:
    def fail(_: Path) -> int:
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(StoreUnusableError, match=r"cannot be opened: Input/output error$"):
        async with sqlite.create(url, free=fail):
            pass


async def fill(store: SqliteStore, number: int) -> None:
    large = replace(event(number, key=None, channels=()), body=b"x" * EVENT)
    await store.record_outage(large, None)


def on_disk(file: Path) -> int:
    """The bytes that database and log take."""
    return sum(file.with_name(file.name + end).stat().st_size for end in ("", "-wal"))


async def test_database_and_log_stay_within_the_limit(url: str, file: Path) -> None:
    async with sqlite.create(url, max_size=LIMIT) as store:
        with pytest.raises(StoreFullError):
            for number in range(100):
                await fill(store, number)
                assert on_disk(file) <= LIMIT + EVENT
        size = await store.size()
        assert size.used_share > 0.9
        assert size.log == file.with_name("watcher.db-wal").stat().st_size > 0
        assert size.whole_limit is not None
        assert size.all_used <= size.whole_limit <= LIMIT


async def test_a_log_that_a_reader_keeps_from_being_cut_is_full_and_removes_nothing(
    url: str, file: Path
) -> None:
    """… such as a session of sqlite3 that was left open: no removal makes the log smaller."""
    removed: list[int] = []

    async def make_room(needed: int) -> None:
        removed.append(needed)
        size = await store.size()
        assert size.used_share < 0.8, "nothing to remove"

    async with sqlite.create(url, max_size=LIMIT) as store:
        await store.make_room_with(make_room)
        with closing(sqlite3.connect(file, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM events").fetchone()
            with pytest.raises(StoreFullError, match=r"-wal has 1\d MiB and cannot be emptied"):
                for number in range(100):
                    await store.write_note("alerts", "one", bytes(EVENT), float(number))
            with pytest.raises(StoreFullError, match="end that program"):
                await store.ping()
            assert LIMIT < on_disk(file) <= LIMIT + 2 * EVENT
            assert len(removed) == 1
        await store.ping()
        await fill(store, 1)
        assert on_disk(file) < LIMIT
