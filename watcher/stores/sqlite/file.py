"""The file of the store: its folder, rights and file system, and the lock against others."""

import errno
import fcntl
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from watcher.core.errors import StoreUnusableError
from watcher.core.file_rights import exposed_folder

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
    descriptor = _opened(path.with_name(path.name + ".lock"))
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


def create_file(path: Path) -> None:
    """Create the file of the store unless it exists. SQLite gives its side files the same mode.

    Raises `StoreUnusableError` if it cannot be opened, or is a link.
    """
    os.close(_opened(path))


def _opened(path: Path) -> int:
    """Open a file of the store; a new one is its owner's, and in a setgid folder the group's, too.

    SQLite itself would follow a link to any file that this user can write.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        try:
            descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            descriptor = os.open(path, flags)
        else:
            if path.parent.stat().st_mode & stat.S_ISGID:
                os.fchmod(descriptor, 0o660)
    except OSError as error:
        reason = "it is a symbolic link" if error.errno == errno.ELOOP else error.strerror
        raise StoreUnusableError(f"{path} cannot be opened for writing: {reason}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise StoreUnusableError(f"{path} cannot be opened for writing: it is not a regular file")
    return descriptor


def create_folder(path: Path) -> None:
    """Create the folder of `path`, accessible to its owner only.

    Raises `StoreUnusableError` if that fails, or if every user may replace what is in the folder.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        exposed = exposed_folder(path.parent)
    except OSError as error:
        raise StoreUnusableError(
            f"the folder {path.parent} cannot be created: {error.strerror}"
        ) from None
    if exposed is not None:
        raise StoreUnusableError(
            f"{path} is not safe: every user of this host can replace the files in {exposed}; "
            f"change that with `chmod o-w {exposed}`"
        )


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
