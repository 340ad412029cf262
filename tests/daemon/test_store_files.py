"""Files of the store that are gone are logged once, and once that they are back."""

import logging
from typing import Any

import anyio
import pytest

from tests.support.virtual_time import VirtualLoop
from watcher.core.errors import StoreMovedError
from watcher.daemon import store_files

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


class Files:
    """A store whose files may be gone."""

    gone = False

    async def check_files(self) -> None:
        if self.gone:
            raise StoreMovedError("watcher.db was removed")


async def test_each_change_is_logged_once_within_ten_seconds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    store: Any = Files()
    following = anyio.CancelScope()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store_files.follow, store, following)
        for gone in (False, True, False, True):
            store.gone = gone
            await anyio.sleep(10)
        following.cancel()
    removed, back = (
        "watcher.db was removed",
        "the files of the store are back: events are stored again",
    )
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("ERROR", removed),
        ("INFO", back),
        ("ERROR", removed),
    ]
