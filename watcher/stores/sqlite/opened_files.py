"""Whether the files of an open store are still those that its paths name, and what they take.

SQLite writes to the inodes that it has opened. In WAL mode it does not notice that one has lost its
name: what is then stored is lost with the process (sqlite.org/howtocorrupt.html, 2.4).
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from watcher.core.errors import StoreMovedError


class _File(NamedTuple):
    name: str
    inode: int
    device: int


class OpenedFiles:
    """The files of a store that has just been opened: the database, its log, and others."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._database, self._log = (str(path) for path in paths[:2])
        opened = ((str(path), status) for path in paths if (status := _status(str(path))))
        files = [_File(name, status.st_ino, status.st_dev) for name, status in opened]
        written = (self._database, self._log)
        self._written = [file for file in files if file.name in written]
        self._others = [file for file in files if file.name not in written]
        self._other_moved: StoreMovedError | None = None
        self._sizes: dict[str, int] = {}
        self.moved()

    def moved(self) -> StoreMovedError | None:
        """Return what is wrong, and what to do about it; None if each file is where it was.

        Each transaction calls it, so it examines only what a transaction writes; of the other files
        it returns what `look` has found.
        """
        return self._first_moved(self._written) or self._other_moved

    def look(self) -> StoreMovedError | None:
        """Examine the other files, too, and return what `moved` then returns."""
        self._other_moved = self._first_moved(self._others)
        return self.moved()

    def _first_moved(self, files: Sequence[_File]) -> StoreMovedError | None:
        for name, inode, device in files:
            status = _status(name)
            if status is None or status.st_ino != inode or status.st_dev != device:
                return StoreMovedError(self._text(name, replaced=status is not None))
            self._sizes[name] = status.st_size
        return None

    def sizes(self) -> tuple[int, int]:
        """Return the bytes of the database and of its log, as `moved` has last seen them."""
        return self._sizes.get(self._database, 0), self._sizes.get(self._log, 0)

    def _text(self, name: str, *, replaced: bool) -> str:
        if name != self._database:
            advice = "restart the watcher, which then makes its own again"
        elif replaced:
            advice = "restart the watcher to use the new file, or put the old one back"
        else:
            advice = "put it back, or stop the watcher, restore a backup and start it again"
        what = "replaced by another file" if replaced else "removed"
        return f"{name} was {what} while the watcher uses it: nothing is stored; {advice}"


def _status(name: str) -> os.stat_result | None:
    """Return the status of the file of this name; None if there is none that can be reached."""
    try:
        return os.lstat(name)
    except OSError:
        return None
