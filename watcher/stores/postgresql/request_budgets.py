"""The request budgets that replicas share, in the PostgreSQL store."""

from collections.abc import Mapping

from watcher.stores.postgresql import rows
from watcher.stores.postgresql.database import StorePart

_CREATE = """
INSERT INTO request_budgets (budget, requests, at, burst, rate)
VALUES ($1, 0, clock_timestamp(), $2, $3)
ON CONFLICT DO NOTHING
"""

# The row is locked first: what it holds is then computed from its newest version.
_TAKE = """
WITH locked AS MATERIALIZED (
    SELECT requests, at, paused_until FROM request_budgets WHERE budget = $1 FOR UPDATE
), clock AS MATERIALIZED (
    SELECT clock_timestamp() AS now FROM locked
), filled AS MATERIALIZED (
    SELECT now, greatest(extract(epoch FROM paused_until - now)::float8, 0) AS pause,
        least(requests + extract(epoch FROM now - at)::float8 * $3::float8, $2::float8) AS requests
    FROM locked, clock)
UPDATE request_budgets SET at = filled.now, burst = $2, rate = $3,
    requests = filled.requests - (filled.requests >= 1 AND filled.pause = 0)::int
FROM filled WHERE budget = $1 RETURNING filled.requests, filled.pause
"""

_PAUSE = """
UPDATE request_budgets SET requests = 0, at = clock_timestamp(),
    paused_until = greatest(paused_until, clock_timestamp() + make_interval(secs => $2))
WHERE budget = $1
"""

_LEFT = """
SELECT budget, CASE WHEN paused_until > now THEN 0
    ELSE greatest(least(requests + extract(epoch FROM now - at)::float8 * rate, burst), 0) END
FROM request_budgets, (SELECT clock_timestamp() AS now) AS clock
"""

_ENOUGH = 1 - 1e-9


class PostgresqlRequestBudgets(StorePart):
    """Implements `SharedBudgets` and `RequestsLeft` of `watcher.core.interfaces.budgets`.

    Each call is one statement on the budget's own row: it waits for no other transaction.
    """

    async def take_request(self, budget: str, burst: float, rate: float) -> float:
        name = rows.clean(budget)
        found = await self._database.update(_TAKE, name, burst, rate)
        if not found:
            await self._database.update(_CREATE, name, burst, rate)
            return 1 / rate
        ((requests, pause),) = found
        return max(float(pause), 0.0 if requests >= _ENOUGH else (1 - float(requests)) / rate)

    async def pause_requests(self, budget: str, seconds: float) -> None:
        await self._database.update(_PAUSE, rows.clean(budget), seconds)

    async def requests_left(self) -> Mapping[str, float]:
        return {name: float(left) for name, left in await self._database.read(_LEFT)}
