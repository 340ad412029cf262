"""Which rights of files and folders expose what the watcher relies on. Rules; the caller gives the
look at the file system.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path

Status = Callable[[Path], os.stat_result]


def exposed_folder(
    folder: Path, status: Status = os.stat, is_mount: Callable[[Path], bool] = os.path.ismount
) -> Path | None:
    """Return the first folder, from `folder` upwards, in which every user can replace what is in
    it: others may write, and the sticky bit is not set.

    The root of a mount ends the search, and is never exposed itself: it cannot be replaced, and
    volumes of containers often have mode 0777, where only containers that mount them can write.
    """
    real = Path(os.path.realpath(folder))
    for one in (real, *real.parents):
        if is_mount(one):
            return None
        mode = status(one).st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            return one
    return None
