"""Warnings of mounted files whose new content this container cannot see.

A bind mount of a single file keeps the inode. An editor, or `mv`, puts another one in its place on
the host; the container then has the old one, without a name, until it is created again.
"""

from collections.abc import Iterable
from pathlib import Path


def warnings(files: Iterable[Path]) -> list[str]:
    """Return one line for each file that was removed or replaced where it was mounted from."""
    return [
        f"{file} is mounted, and was replaced on the host: the old one is still in use; create the "
        "container again, and mount the folder instead of the file"
        for file in files
        if _has_no_name(file)
    ]


def _has_no_name(file: Path) -> bool:
    try:
        return file.stat().st_nlink == 0
    except OSError:
        return False  # it is reported where it is read
