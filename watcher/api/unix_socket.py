"""A Unix socket to listen on, which only its owner and group can connect to."""

import errno
import fcntl
import os
import socket
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from watcher.core.errors import ConfigurationError
from watcher.core.file_rights import exposed_folder

MODE = 0o660
_FOLDER_MODE = 0o750
_CREDENTIALS = struct.Struct("3i")  # struct ucred of unix(7): pid, uid, gid


@contextmanager
def bound(section: str, path: Path, backlog: int) -> Iterator[socket.socket]:
    """Listen on a socket at `path`, which is removed at the end.

    A socket that a process left behind is replaced; one that is in use is not. Raises
    `ConfigurationError` with the name of the `section`.
    """
    try:
        path.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        if (exposed := exposed_folder(path.parent)) is not None:
            raise ConfigurationError(
                [
                    f"{section}: every user may replace files in {exposed}; "
                    f"fix it with `chmod o-w {exposed}`"
                ]
            )
        with _locked(path.parent):
            _remove_stale(path)
            listener = _listening(path, backlog)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigurationError([f"{section}: cannot listen on {path}: {reason}"]) from None
    created = path.lstat()
    try:
        yield listener
    finally:
        listener.close()
        with suppress(OSError):
            if path.lstat().st_ino == created.st_ino:
                path.unlink()


def peer_of(connection: socket.socket) -> str:
    """Return who is at the other end of a connection: the user and process of the kernel."""
    content = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(content)
    return f"uid {uid}, pid {pid}"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep two processes from replacing the same stale socket, without a file for it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "a file that is not a socket is there")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except BlockingIOError:
            pass
    raise OSError(errno.EADDRINUSE, "another process listens there")


def _listening(path: Path, backlog: int) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    previous = os.umask(0o777 & ~MODE)  # never accessible to others, not even for a moment
    try:
        listener.bind(os.fspath(path))
        listener.listen(backlog)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    finally:
        os.umask(previous)
    return listener
