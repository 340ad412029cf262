"""A store whose files are removed or replaced while it is open."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.stores.harness import NOW, task_ids
from tests.support.records import request
from watcher.core.errors import StoreMovedError
from watcher.stores.sqlite import store as sqlite

pytestmark = pytest.mark.anyio


def removed(file: Path) -> None:
    file.rename(file.with_name("aside"))


def replaced(file: Path) -> None:
    removed(file)
    file.write_bytes(file.with_name("aside").read_bytes())


@pytest.mark.parametrize(
    ("change", "what"), [(removed, "removed"), (replaced, "replaced by another file")]
)
@pytest.mark.parametrize(
    ("end", "advice"),
    [("", "put"), ("-wal", "makes its own"), ("-shm", "makes its own"), (".lock", "makes its own")],
)
async def test_nothing_is_written_to_a_file_without_its_name_until_it_is_back(
    url: str, file: Path, change: Callable[[Path], None], what: str, end: str, advice: str
) -> None:
    errors: list[None] = []
    async with sqlite.create(url, failed=lambda: errors.append(None)) as store:
        await store.add([request("before")], NOW)
        await store.check_files()
        named, before = file.with_name(file.name + end), content(file)
        change(named)
        for fails in (store.check_files, lambda: store.add([request("lost")], NOW), store.ping):
            with pytest.raises(StoreMovedError) as caught:
                await fails()
            text = str(caught.value)
            assert text.startswith(
                f"{named} was {what} while the watcher uses it: nothing is stored; "
            )
            assert advice in text
        assert len(errors) == 3
        assert await task_ids(store) == {"before"}
        named.with_name("aside").replace(named)
        assert content(file) == before
        await store.check_files()
        await store.add([request("after")], NOW)
    async with sqlite.create(url) as store:
        assert await task_ids(store) == {"before", "after"}


def content(file: Path) -> list[bytes]:
    """What is in the database and in its log."""
    return [file.with_name(file.name + end).read_bytes() for end in ("", "-wal")]


async def test_a_folder_that_is_gone_is_a_store_that_is_gone(url: str, file: Path) -> None:
    async with sqlite.create(url) as store:
        moved = file.parent.rename(file.parent.with_name("moved"))
        with pytest.raises(StoreMovedError, match="was removed while"):
            await store.add([request("lost")], NOW)
        moved.rename(file.parent)
        await store.add([request("after")], NOW)


async def test_closing_leaves_alone_what_has_taken_the_place(url: str, file: Path) -> None:
    """Closing a database deletes the log beside its path, even another one's."""
    aside = file.parent.with_name("aside")
    async with sqlite.create(url) as old:
        await old.add([request("old")], NOW)
        file.parent.rename(aside)
        opening = sqlite.create(url)
        new = await opening.__aenter__()
        await new.add([request("new")], NOW)
        with pytest.raises(
            StoreMovedError, match="restart the watcher to use the new file, or put"
        ):
            await old.add([request("lost")], NOW)
    await new.check_files()
    await opening.__aexit__(None, None, None)
    for folder, task_id in ((file.parent, "new"), (aside, "old")):
        async with sqlite.create(f"sqlite:///{folder}/watcher.db") as store:
            assert await task_ids(store) == {task_id}
