"""The shared request budgets of one source."""

from watcher.core.interfaces.budgets import Reservation, SharedBudgets, budget_name


class BudgetsOfSource:
    """Names the budgets of each source apart. Implements `SharedBudgets`."""

    def __init__(self, budgets: SharedBudgets, source: str) -> None:
        self._budgets = budgets
        self._source = source

    async def take_requests(
        self, budget: str, burst: float, rate: float, number: int
    ) -> Reservation:
        name = budget_name(self._source, budget)
        return await self._budgets.take_requests(name, burst, rate, number)

    async def pause_requests(self, budget: str, seconds: float) -> None:
        await self._budgets.pause_requests(budget_name(self._source, budget), seconds)
