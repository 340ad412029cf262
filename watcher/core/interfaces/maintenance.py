"""What a store must promise about its size: retention, making room, and readiness."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSize:
    """The bytes that a store uses, and its limit, None if its own server or disk is the only one.
    Space that is free for writes is not used.

    `free` are the bytes that are left on its disk; None where that is not known.

    `log` are the bytes of what was written last, kept apart until it is moved to the others, and
    `log_limit` those that are set apart for it. No removal of records makes the log smaller.
    """

    used: int
    limit: int | None
    log: int = 0
    log_limit: int = 0
    free: int | None = None

    @property
    def all_used(self) -> int:
        """What the store takes, with its log."""
        return self.used + self.log

    @property
    def whole_limit(self) -> int | None:
        """What it may take, with its log; None without a limit."""
        return None if self.limit is None else self.limit + self.log_limit

    @property
    def used_share(self) -> float:
        """The used share of the limit, from 0 to 1; 0 without a limit."""
        return self.used / self.limit if self.limit else 0.0


class Maintenance(Protocol):
    """Retention, size and readiness.

    What removes records works on a store that has reached its limit, too.
    """

    async def prune(self, before: float) -> int:
        """Remove what ended before `before`, in bounded steps: done watches, delivered deliveries,
        events without either, operations and notes. Returns how many rows.

        Pending and failed deliveries stay with their events; a watch stays while a delivery of it
        is pending, and its events stay with it.
        """
        ...

    async def remove_failed(self, channel: str, size: int) -> int:
        """Remove the oldest failed deliveries of a channel, which take about `size` bytes, and the
        events that no other delivery needs; return how many deliveries.
        """
        ...

    async def remove_ended(self, size: int) -> int:
        """Remove the oldest events that no pending or failed delivery needs, of active watches too,
        until about `size` bytes are free; return how many events.
        """
        ...

    async def fill_in(self) -> bool:
        """Store what records of an earlier version lack, in one step of some milliseconds; return
        whether more are left.
        """
        ...

    async def size(self) -> StoreSize:
        """Return the size and its limit, beyond which every write raises `StoreFullError`."""
        ...

    async def make_room_with(self, make_room: Callable[[int], Awaitable[None]] | None) -> None:
        """Await `make_room` when a write finds no room, then try the write again, once.

        Its argument is the size of the events that are written, 0 without any. It may use what
        removes records and `Outbox.fail_oldest`; nothing else fits.
        """
        ...

    async def check_files(self) -> None:
        """Raise `StoreMovedError` if the store's files are no longer those that were opened; every
        write then fails with it, until they are back. Writes nothing.
        """
        ...

    async def ping(self) -> None:
        """Write durably. Raises `StoreError` if the store is not writable, or has no room for an
        event as large as the last one that found none.
        """
        ...
