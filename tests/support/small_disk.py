"""A small file system that a test fills up; only root can mount one."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_MIB = 1024**2


@contextmanager
def mounted(folder: Path, *, size: str, mode: str) -> Iterator[Path]:
    """Mount a file system of `size`, such as "8m", at a folder; skip the test where that is not
    allowed.
    """
    options = f"size={size},mode={mode}"
    command = ["mount", "-t", "tmpfs", "-o", options, "watcher-test", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs the right to mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Use up what is left of the disk; return the file that does."""
    ballast = disk / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (_MIB, 4096):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return ballast
