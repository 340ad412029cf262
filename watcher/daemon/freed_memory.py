"""Freed memory goes back to the system.

glibc maps large blocks one by one, so that each can be returned. But once one of up to 32 MiB was
freed, it takes blocks up to that size from the heap, and of the heap only the end can be returned:
the room of a page of 30 MB stays, below whatever was allocated next (mallopt(3)).
"""

import ctypes

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3

MAPPED_FROM = 256 * 1024
"""Bytes of a block that is mapped by itself."""
_KEPT_AT_END = 512 * 1024


def return_freed_memory() -> bool:
    """Keep the limits of glibc where they are at the start; return whether this is glibc."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(
        mallopt(_M_MMAP_THRESHOLD, MAPPED_FROM) and mallopt(_M_TRIM_THRESHOLD, _KEPT_AT_END)
    )
