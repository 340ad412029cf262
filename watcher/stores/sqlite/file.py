"""The file of the store: its folder, rights and file system, and the lock against others."""

import errno
import fcntl
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from watcher.core.errors import StoreError, StoreFullError, StoreUnusableError
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
    """Create the file of the store unless it exists. SQLite gives its side files the same mode;
    those that a crash has left get it here.

    Raises `StoreUnusableError` if it cannot be opened, or is a link, or if it is missing beside a
    write-ahead log: SQLite would delete that, with what was stored last.
    """
    log, memory = (path.with_name(path.name + end) for end in ("-wal", "-shm"))
    for side in (log, memory):
        if side.is_symlink() or side.exists():
            os.close(_opened(side))
    if _size(log) and not _size(path):
        raise StoreUnusableError(
            f"{path} is missing, but its {log.name} is there: put the store back, or remove that "
            "file, too, to begin with an empty store"
        )
    os.close(_opened(path))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


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
        share_with_group(descriptor, path.parent)
    except OSError as error:
        reason = "it is a symbolic link" if error.errno == errno.ELOOP else error.strerror
        raise file_error(error, path, f"{path} cannot be opened for writing: {reason}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise StoreUnusableError(f"{path} cannot be opened for writing: it is not a regular file")
    return descriptor


def file_error(error: OSError, path: Path, text: str) -> StoreError:
    """Return `error` as `StoreFullError` if the disk is full, else as unusable, with `text`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFullError(full_disk(path, str(error.strerror)))
    return StoreUnusableError(text)


def full_disk(path: Path, reason: str) -> str:
    """Return what an operator can do about a full disk."""
    return (
        f"the disk of {path} has no space ({reason}): nothing can be stored; free some, or enlarge "
        "the volume"
    )


def disk_is_full(folder: Path, left: int = 1) -> bool:
    """Return whether the disk of `folder` takes no new file, or fewer than `left` bytes."""
    try:
        volume = os.statvfs(folder)
    except OSError:
        return False
    return volume.f_bavail * volume.f_frsize < left or volume.f_favail == 0 < volume.f_files


def share_with_group(descriptor: int, folder: Path) -> None:
    """Let the group read and write a file of this process's user if its folder is setgid: an
    fsGroup, whose next member may have another UID. Raises `OSError`.
    """
    status = os.fstat(descriptor)
    is_shared = bool(folder.stat().st_mode & stat.S_ISGID)
    if is_shared and status.st_uid == os.geteuid() and status.st_mode & 0o060 != 0o060:
        os.fchmod(descriptor, 0o660)


def create_folder(path: Path) -> None:
    """Create the folder of `path`, accessible to its owner, and in a setgid folder to its group.

    Raises `StoreUnusableError` if that fails, or if every user may replace what is in the folder.
    """
    try:
        for folder in reversed((path.parent, *path.parent.parents)):
            if not folder.exists():
                folder.mkdir(mode=0o700, exist_ok=True)
                if folder.stat().st_mode & stat.S_ISGID:  # inherited
                    folder.chmod(0o2770)
        exposed = exposed_folder(path.parent)
    except OSError as error:
        raise file_error(
            error, path, f"the folder {path.parent} cannot be created: {error.strerror}"
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
