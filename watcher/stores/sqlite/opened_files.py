"""Whether the files of an open store are still those that its paths name, and what they take.

SQLite writes to the inodes that it has opened. In WAL mode it does not notice that one has lost its
name: what is then stored is lost with the process (sqlite.org/howtocorrupt.html, 2.4).
"""

import os
from collections.abc import Sequence
from pathlib import Path

from watcher.core.errors import StoreMovedError


class OpenedFiles:
    """The files of a store that has just been opened: the database, its log, and others."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._database, self._log = paths[:2]
        self._opened = {path: found for path in paths if (found := _identity(_status(path)))}
        self._sizes: dict[Path, int] = {}
        self.moved()

    def moved(self) -> StoreMovedError | None:
        """Return what is wrong, and what to do about it; None if each file is where it was."""
        for path, opened in self._opened.items():
            status = _status(path)
            if (found := _identity(status)) != opened:
                return StoreMovedError(self._text(path, replaced=found is not None))
            self._sizes[path] = 0 if status is None else status.st_size
        return None

    def sizes(self) -> tuple[int, int]:
        """Return the bytes of the database and of its log, as `moved` has last seen them."""
        return self._sizes.get(self._database, 0), self._sizes.get(self._log, 0)

    def _text(self, path: Path, *, replaced: bool) -> str:
        if path != self._database:
            advice = "restart the watcher, which then makes its own again"
        elif replaced:
            advice = "restart the watcher to use the new file, or put the old one back"
        else:
            advice = "put it back, or stop the watcher, restore a backup and start it again"
        what = "replaced by another file" if replaced else "removed"
        return f"{path} was {what} while the watcher uses it: nothing is stored; {advice}"


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat(follow_symlinks=False)
    except OSError:
        return None


def _identity(status: os.stat_result | None) -> tuple[int, int] | None:
    """Return the device and inode of a file; None if there is none that can be reached."""
    return None if status is None else (status.st_dev, status.st_ino)
