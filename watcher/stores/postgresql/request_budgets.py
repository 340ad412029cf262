"""The request budgets that replicas share, in the PostgreSQL store."""

from collections.abc import Mapping

from watcher.core.interfaces.budgets import Reservation
from watcher.stores.postgresql import rows
from watcher.stores.postgresql.database import StorePart

_CREATE = """
INSERT INTO request_budgets (budget, requests, at, burst, rate)
VALUES ($1, 0, clock_timestamp(), $2, $3)
ON CONFLICT DO NOTHING
"""

# The row is locked first: what it holds is then computed from its newest version. It is negative
# where requests were taken that the budget has yet to gain.
_TAKE = """
WITH locked AS MATERIALIZED (
    SELECT requests, at, paused_until FROM request_budgets WHERE budget = $1 FOR UPDATE
), clock AS MATERIALIZED (
    SELECT clock_timestamp() AS now FROM locked
), filled AS MATERIALIZED (
    SELECT now, greatest(extract(epoch FROM paused_until - now)::float8, 0) AS pause,
        least(requests + extract(epoch FROM now - at)::float8 * $3::float8, $2::float8) AS held
    FROM locked, clock
), decided AS MATERIALIZED (
    SELECT *, held >= 1 - 1e-9 AND pause = 0 AS takes FROM filled)
UPDATE request_budgets SET at = now, burst = $2, rate = $3,
    requests = held - CASE WHEN takes THEN $4::int ELSE 0 END
FROM decided WHERE budget = $1 RETURNING held, pause, takes
"""

_PAUSE = """
UPDATE request_budgets SET requests = least(requests, 0), at = clock_timestamp(),
    paused_until = greatest(paused_until, clock_timestamp() + make_interval(secs => $2))
WHERE budget = $1
"""

_LEFT = """
SELECT budget, CASE WHEN paused_until > now THEN 0
    ELSE greatest(least(requests + extract(epoch FROM now - at)::float8 * rate, burst), 0) END
FROM request_budgets, (SELECT clock_timestamp() AS now) AS clock
"""


class PostgresqlRequestBudgets(StorePart):
    """Implements `SharedBudgets` and `RequestsLeft` of `watcher.core.interfaces.budgets`.

    Each call is one statement on the budget's own row: it waits for no other transaction.
    """

    async def take_requests(
        self, budget: str, burst: float, rate: float, number: int
    ) -> Reservation:
        name = rows.clean(budget)
        found = await self._database.update(_TAKE, name, burst, rate, number)
        if not found:
            await self._database.update(_CREATE, name, burst, rate)
            return Reservation(wait=1 / rate, held=0.0)
        ((held, pause, takes),) = found
        wait = 0.0 if takes else max(pause, (1 - held) / rate)
        return Reservation(wait=wait, held=held)

    async def pause_requests(self, budget: str, seconds: float) -> None:
        await self._database.update(_PAUSE, rows.clean(budget), seconds)

    async def requests_left(self) -> Mapping[str, float]:
        return {name: float(left) for name, left in await self._database.read(_LEFT)}
