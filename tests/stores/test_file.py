"""The file of the store: its permissions, its lock and its file system."""

import logging
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from tests.stores.harness import NOW, opening_error
from tests.support.records import request
from watcher.core.file_rights import exposed_folder
from watcher.stores.sqlite import store as sqlite
from watcher.stores.sqlite.file import network_file_system

pytestmark = pytest.mark.anyio


def permissions(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def test_only_the_owner_may_access_the_file_and_its_folder(url: str, file: Path) -> None:
    async with sqlite.create(url):
        assert (permissions(file), permissions(file.parent)) == (0o600, 0o700)


@pytest.mark.parametrize(("folder", "mode"), [(0o700, 0o600), (0o2770, 0o660)])
@pytest.mark.parametrize("umask", [0o000, 0o077])
async def test_all_files_of_a_store_have_one_mode_whatever_the_umask(
    tmp_path: Path, folder: int, mode: int, umask: int
) -> None:
    url = prepared(tmp_path, folder)
    previous = os.umask(umask)
    try:
        async with sqlite.create(url):
            assert modes(tmp_path) == dict.fromkeys(sqlite.files(url), mode)
    finally:
        os.umask(previous)


def modes(folder: Path) -> dict[Path, int]:
    return {path: permissions(path) for path in folder.iterdir()}


def prepared(folder: Path, mode: int) -> str:
    folder.chmod(mode)
    return f"sqlite:///{folder}/watcher.db"


@pytest.mark.parametrize("name", ["watcher.db", "watcher.db.lock", "watcher.db-wal"])
async def test_no_file_of_a_store_may_be_a_link(tmp_path: Path, name: str) -> None:
    target = tmp_path / "precious"
    target.write_bytes(b"")
    (tmp_path / name).symlink_to(target)
    error = await opening_error(f"sqlite:///{tmp_path}/watcher.db")
    assert error == f"{tmp_path}/{name} cannot be opened for writing: it is a symbolic link"
    assert target.read_bytes() == b""


async def test_a_missing_store_beside_its_log_is_not_made_again(url: str, file: Path) -> None:
    """SQLite would delete the log, and with it what was stored last."""
    async with sqlite.create(url) as store:
        await store.add([request("task_1")], NOW)
        log = content_of_log(file)
    leave_only(file, log)
    error = await opening_error(url)
    assert error.startswith(f"{file} is missing, but its watcher.db-wal is there: put the store")
    assert [one.name for one in sorted(file.parent.iterdir())] == [
        "watcher.db-wal",
        "watcher.db.lock",
    ]


def content_of_log(file: Path) -> bytes:
    return file.with_name("watcher.db-wal").read_bytes()


def leave_only(file: Path, log: bytes) -> None:
    file.unlink()
    file.with_name("watcher.db-wal").write_bytes(log)


_AS_ANOTHER_USER = """
import os, signal, sys, anyio
from pathlib import Path
from watcher.core.tasks import WatchFilter
from watcher.stores import sqlite
from watcher.stores.sqlite import schema
from tests.support.records import request

migrations, (url, backup, user, group) = schema.migrations(), sys.argv[1:]
schema.migrations = lambda: migrations  # the user may not read where the tests are
os.setgroups([int(group)]), os.setgid(int(user)), os.setuid(int(user)), os.umask(0o077)

async def main():
    async with sqlite.create(url) as opened:
        await opened.add([request(f"of {user}")], 1.0)
        added = await opened.list_watches(WatchFilter(), 9, None)
        sqlite.backup(url, Path(backup))
        print(sorted(watch.key.task_id for watch in added[0]), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)  # what is beside the store stays

anyio.run(main)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become other users")
async def test_another_user_of_the_folder_s_group_takes_over(group_folder: Path) -> None:
    url, copy = f"sqlite:///{group_folder}/below/watcher.db", str(group_folder / "copy.db")
    shown = []
    for user in (54321, 54322, 54323):
        command = [sys.executable, "-c", _AS_ANOTHER_USER, url, copy, str(user), "54320"]
        child = await anyio.run_process(command, check=False)
        assert child.returncode == -signal.SIGKILL, child.stderr.decode()
        shown.append(child.stdout.decode().count("of "))
    assert shown == [1, 2, 3]
    found = modes(group_folder / "below") | {
        group_folder / "copy.db": permissions(group_folder / "copy.db")
    }
    assert set(found.values()) == {0o660}
    assert len(found) == 5


@pytest.fixture
def group_folder() -> Iterator[Path]:
    """A folder as an fsGroup makes it, where users without access to ours can reach it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chown(folder, 0, 54320)
        folder.chmod(0o2770)
        yield folder


async def test_an_older_store_of_a_setgid_folder_becomes_the_group_s(tmp_path: Path) -> None:
    url = prepared(tmp_path, 0o700)
    async with sqlite.create(url):
        pass
    prepared(tmp_path, 0o2770)
    assert permissions(tmp_path / "watcher.db") == 0o600
    async with sqlite.create(url):
        assert modes(tmp_path) == dict.fromkeys(sqlite.files(url), 0o660)


async def test_a_device_is_no_store(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "watcher.db")
    error = await opening_error(f"sqlite:///{tmp_path}/watcher.db")
    assert error.endswith("cannot be opened for writing: it is not a regular file")


async def test_a_folder_in_which_every_user_can_replace_files_is_not_used(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    for url in (f"sqlite:///{shared}/watcher.db", f"sqlite:///{shared}/below/watcher.db"):
        error = await opening_error(url)
        assert f"every user of this host can replace the files in {shared}" in error
    shared.chmod(0o1777)
    async with sqlite.create(f"sqlite:///{shared}/watcher.db"):
        pass


def test_the_root_of_a_mount_cannot_be_replaced(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    (volume / "data").mkdir(parents=True)
    volume.chmod(0o777)
    assert exposed_folder(volume / "data") == volume
    assert exposed_folder(volume / "data", is_mount=volume.samefile) is None
    (volume / "data").chmod(0o777)
    assert exposed_folder(volume / "data", is_mount=volume.samefile) == volume / "data"


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
