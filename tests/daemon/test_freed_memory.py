"""What becomes of freed memory, in a process of its own: the setting is that of the process."""

import ctypes
import subprocess
import sys

import pytest

_SCRIPT = """
import sys
from pathlib import Path
from watcher.daemon.freed_memory import return_freed_memory

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) // 1024

if sys.argv[1] == "set":
    assert return_freed_memory()
first = bytes(b"x" * 30_000_000)
del first  # from now on glibc would not map such blocks
before = resident()
page = bytearray(25_000_000)
page[:] = b"x" * len(page)
later = [b"y" * 50_000 for _ in range(20)]  # behind the page, if that is in the heap
del page
print(resident() - before)
"""

pytestmark = pytest.mark.skipif(
    not hasattr(ctypes, "CDLL") or not hasattr(ctypes.CDLL(None), "mallinfo"), reason="not glibc"
)


def kept(*, returned: bool) -> int:
    """Return the MiB that stay after a page was freed."""
    argument = "set" if returned else "default"
    command = [sys.executable, "-c", _SCRIPT, argument]
    return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def test_the_memory_of_a_page_is_returned() -> None:
    assert kept(returned=True) < 8
    assert kept(returned=False) > 20
