"""What a store must promise to processes that share the request budgets of one API key."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

ALL_ROUTES = "all routes"
"""Stands for the route where all routes of a source have one budget."""


def budget_name(source: str, route: str) -> str:
    """Return the name of a budget of a source."""
    return f"{source} {route}"


def left_for(source: str, route: str, left: Mapping[str, float]) -> float | None:
    """Return what `left` has by name for a route; None if it has no budget of it."""
    own = left.get(budget_name(source, route))
    return left.get(budget_name(source, ALL_ROUTES)) if own is None else own


@dataclass(frozen=True, slots=True)
class Reservation:
    """Requests that were taken from a budget that held `held` of them: those beyond may be sent
    once it has gained them. If `wait` is not 0, none was taken; try again after as many seconds.
    """

    wait: float
    held: float


@runtime_checkable
class SharedBudgets(Protocol):
    """Request budgets by name, each a token bucket that all replicas take from. Its time is that of
    the store, so no clock of a replica matters. A new budget is empty.
    """

    async def take_requests(
        self, budget: str, burst: float, rate: float, number: int
    ) -> Reservation:
        """Take `number` requests from a budget that holds `burst` at most and gains `rate` a
        second, where it holds one at least. Raises `StoreError`.
        """
        ...

    async def pause_requests(self, budget: str, seconds: float) -> None:
        """Prevent every replica from taking of a budget for some seconds, and leave it empty.

        A longer pause stays. Raises `StoreError`.
        """
        ...


@runtime_checkable
class RequestsLeft(Protocol):
    """What shared budgets hold."""

    async def requests_left(self) -> Mapping[str, float]:
        """Return how many requests could be taken now of each budget, by name. Raises
        `StoreError`.
        """
        ...
