"""Freed memory goes back to the system.

glibc maps large blocks one by one, so that each can be returned. But once one of up to 32 MiB was
freed, it takes blocks up to that size from the heap, and of the heap only the end can be returned:
the room of a page of 30 MB stays, below whatever was allocated next (mallopt(3)). And each thread
would have a heap of its own, with room of its own.
"""

import ctypes
from contextlib import suppress

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8

MAPPED_FROM = 64 * 1024
"""Bytes of a block that is mapped by itself. What arrives of a page of tasks are blocks of 64 to
256 KiB: in the heap, they would leave room between what stays.
"""
_KEPT_AT_END = 128 * 1024


def return_freed_memory() -> bool:
    """Keep the limits of glibc where they are at the start, and all threads in one heap; return
    whether this is glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(
        mallopt(_M_MMAP_THRESHOLD, MAPPED_FROM)
        and mallopt(_M_TRIM_THRESHOLD, _KEPT_AT_END)
        and mallopt(_M_ARENA_MAX, 1)
    )


def return_free_pages() -> None:
    """Return what is free within the heap now, as far as whole pages of it are."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
