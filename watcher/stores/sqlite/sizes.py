"""How much the files of a store may take, and how that is divided between them."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)

MIB = 1024**2

_DEFAULT = 4 * 1024**3
_PAGE = 4096


@dataclass(frozen=True, slots=True)
class Sizes:
    """The parts of `max_size` bytes."""

    max_size: int

    @property
    def log(self) -> int:
        """What the write-ahead log may take before it is cut; one transaction may exceed it."""
        return min(self.max_size // 16, 64 * MIB)

    @property
    def kept_log(self) -> int:
        """What of the log is kept to be written over, which is faster than to extend it."""
        return min(self.log, 16 * MIB)

    @property
    def checkpoint(self) -> int:
        """The pages in the log after which they are moved to the database."""
        return max(1, min(1000, self.log // (2 * _PAGE)))

    @property
    def database(self) -> int:
        """What the database may take."""
        return self.max_size - self.log

    @property
    def writable(self) -> int:
        """What ordinary writes may fill. The rest is a reserve: the removal of records needs pages,
        too.
        """
        return self.database - min(self.database // 32, 8 * MIB)


def default_size(taken: int, free: int) -> int:
    """Return the limit of a store that takes `taken` bytes of a volume with `free` more.

    It depends on their sum, so a restart does not change it.
    """
    return min(_DEFAULT, (taken + free) * 9 // 10)


def free_space(folder: Path) -> int:
    """Return the bytes that this user may still write to the volume of `folder`.

    Raises `OSError` if the volume cannot be examined.
    """
    volume = os.statvfs(folder)
    return volume.f_bavail * volume.f_frsize


class Volume:
    """The volume of the store at `path`, whose limit is `max_size` bytes if that is configured.

    `free` returns the bytes that are left on the volume of a folder. Methods raise `OSError` if the
    volume cannot be examined.
    """

    def __init__(self, path: Path, max_size: int | None, free: Callable[[Path], int]) -> None:
        self._path = path
        self._max_size = max_size
        self._free = free

    def free(self) -> int:
        """Return the bytes that are left."""
        return self._free(self._path.parent)

    def sizes(self) -> Sizes:
        """Return the sizes of the store: as configured, else as the volume allows now."""
        if self._max_size is not None:
            return Sizes(self._max_size)
        return Sizes(default_size(self._taken(), self.free()))

    def warn_if_smaller(self, sizes: Sizes) -> None:
        """Warn if the volume is full before the store is, since no record is removed for that."""
        room = self._taken() + self.free()
        if sizes.max_size > room:
            logger.warning(
                "store.max_size is %d MiB, but the volume of %s has %d MiB for it: it will be full "
                "before old records are removed; lower the setting, or enlarge the volume",
                sizes.max_size // MIB,
                self._path,
                room // MIB,
            )

    def _taken(self) -> int:
        log = self._path.with_name(self._path.name + "-wal")
        return sum(file.stat().st_size for file in (self._path, log) if file.exists())
