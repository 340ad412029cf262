"""The file of the store: its folder, the lock against other processes, and its file system."""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from watcher.core.errors import StoreUnusableError

logger = logging.getLogger(__name__)

_NETWORK_FILE_SYSTEMS = frozenset(
    (
        *("nfs", "nfs4", "cifs", "smb", "smb2", "smb3", "9p", "afs", "ceph", "glusterfs"),
        *("lustre", "gpfs", "beegfs", "fuse.sshfs"),
    )
)


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Hold the kernel's lock on `<path>.lock`. It ends with the process; the file is never removed.

    Raises `StoreUnusableError` if another process, or this one, holds it.
    """
    try:
        descriptor = os.open(
            path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
    except OSError as error:
        raise StoreUnusableError(f"{path} cannot be opened for writing: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise StoreUnusableError(
            f"another watcher already uses {path}; stop it, or give this one its own"
        ) from None
    try:
        yield
    finally:
        os.close(descriptor)


def create_folder(path: Path) -> None:
    """Create the folder of `path`, accessible to its owner only.

    Raises `StoreUnusableError` if that fails.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnusableError(
            f"the folder {path.parent} cannot be created: {error.strerror}"
        ) from None


def network_file_system(path: Path, mountinfo: str) -> str | None:
    """Return the type of the network file system that `path` is on, None if it is a local one.

    `mountinfo` is the text of Linux's /proc/self/mountinfo (proc_pid_mountinfo(5)).
    """
    best, kind = "", ""
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        columns = fields.split()
        if len(columns) < 5 or not rest:
            continue
        mount = columns[4].replace("\\040", " ")
        if len(mount) >= len(best) and path.is_relative_to(mount):
            best, kind = mount, rest.split()[0]
    return kind if kind in _NETWORK_FILE_SYSTEMS else None


def warn_if_on_network(path: Path) -> None:
    """Warn if the file is on a network file system, whose locks and syncs are unreliable."""
    try:
        kind = network_file_system(path.resolve(), Path("/proc/self/mountinfo").read_text())
    except OSError:
        return
    if kind is not None:
        logger.warning(
            "%s is on a network file system (%s); SQLite's locks may fail there, use a local disk",
            path,
            kind,
        )
