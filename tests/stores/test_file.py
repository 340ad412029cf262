"""The file of the store: its permissions, its lock and its file system."""

import logging
from pathlib import Path

import pytest

from tests.stores.harness import opening_error
from watcher.stores.sqlite import store as sqlite
from watcher.stores.sqlite.file import network_file_system

pytestmark = pytest.mark.anyio


def permissions(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def test_only_the_owner_may_access_the_file_and_its_folder(url: str, file: Path) -> None:
    async with sqlite.create(url):
        assert (permissions(file), permissions(file.parent)) == (0o600, 0o700)


async def test_a_second_opening_fails_while_the_first_is_open(url: str) -> None:
    async with sqlite.create(url):
        assert "another watcher already uses" in await opening_error(url)
    async with sqlite.create(url):
        pass


async def test_a_folder_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be created" in await opening_error(f"sqlite:///{tmp_path}/file/below/watcher.db")


def test_a_network_file_system_is_recognised() -> None:
    mounts = "\n".join(
        [
            "22 1 8:1 / / rw - ext4 /dev/sda1 rw",
            "23 22 0:40 / /mnt/shared rw - nfs4 server:/export rw",
            "24 22 0:41 / /mnt/with\\040space rw - cifs //server/x rw",
            "25 23 8:2 / /mnt/shared/local rw - xfs /dev/sdb rw",
            "malformed",
        ]
    )
    assert network_file_system(Path("/var/lib/watcher.db"), mounts) is None
    assert network_file_system(Path("/mnt/shared/watcher.db"), mounts) == "nfs4"
    assert network_file_system(Path("/mnt/with space/watcher.db"), mounts) == "cifs"
    assert network_file_system(Path("/mnt/shared/local/watcher.db"), mounts) is None


async def test_a_local_disk_gets_no_warning(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with sqlite.create(url):
        pass
    assert caplog.records == []
