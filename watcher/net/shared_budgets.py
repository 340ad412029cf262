"""The shared request budgets of one source."""

from watcher.core.interfaces.budgets import SharedBudgets, budget_name


class BudgetsOfSource:
    """Names the budgets of each source apart. Implements `SharedBudgets`."""

    def __init__(self, budgets: SharedBudgets, source: str) -> None:
        self._budgets = budgets
        self._source = source

    async def take_request(self, budget: str, burst: float, rate: float) -> float:
        return await self._budgets.take_request(budget_name(self._source, budget), burst, rate)

    async def pause_requests(self, budget: str, seconds: float) -> None:
        await self._budgets.pause_requests(budget_name(self._source, budget), seconds)
