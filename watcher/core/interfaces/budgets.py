"""What a store must promise to processes that share the request budgets of one API key."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class SharedBudgets(Protocol):
    """Request budgets by name, each a token bucket that all replicas take from. Its time is that of
    the store, so no clock of a replica matters. A new budget is empty.
    """

    async def take_request(self, budget: str, burst: float, rate: float) -> float:
        """Take one request from a budget that holds `burst` at most and gains `rate` a second.

        Returns 0 where it was taken, else the seconds after which to try again. Raises
        `StoreError`.
        """
        ...

    async def pause_requests(self, budget: str, seconds: float) -> None:
        """Prevent every replica from taking of a budget for some seconds, and leave it empty.

        A longer pause stays. Raises `StoreError`.
        """
        ...
