"""Whether the files of an open store are still those that its paths name.

SQLite writes to the inodes that it has opened. In WAL mode it does not notice that one has lost its
name: what is then stored is lost with the process (sqlite.org/howtocorrupt.html, 2.4).
"""

from collections.abc import Sequence
from pathlib import Path

from watcher.core.errors import StoreMovedError


class OpenedFiles:
    """The files of a store that has just been opened; `paths` begins with the database."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._database = paths[0]
        self._opened = {path: opened for path in paths if (opened := _identity(path)) is not None}

    def moved(self) -> StoreMovedError | None:
        """Return what is wrong, and what to do about it; None if each file is where it was."""
        for path, opened in self._opened.items():
            if (found := _identity(path)) != opened:
                return StoreMovedError(self._text(path, replaced=found is not None))
        return None

    def _text(self, path: Path, *, replaced: bool) -> str:
        if path != self._database:
            advice = "restart the watcher, which then makes its own again"
        elif replaced:
            advice = "restart the watcher to use the new file, or put the old one back"
        else:
            advice = "put it back, or stop the watcher, restore a backup and start it again"
        what = "replaced by another file" if replaced else "removed"
        return f"{path} was {what} while the watcher uses it: nothing is stored; {advice}"


def _identity(path: Path) -> tuple[int, int] | None:
    """Return device and inode of the file at `path`; None if none can be reached."""
    try:
        status = path.stat(follow_symlinks=False)
    except OSError:
        return None
    return status.st_dev, status.st_ino
