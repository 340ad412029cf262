"""Pages of deliveries: the statements of PostgreSQL."""

from watcher.core.deliveries import DeliveryState
from watcher.core.reading import DeliverySelection
from watcher.stores._delivery_lists import Read, Statements
from watcher.stores.postgresql import outbox_queries as queries
from watcher.stores.postgresql import rows


def _ids(state: str, order: str) -> str:
    """Return the statement of IDs; it states the condition of a partial index as it is."""
    return f"""
SELECT id FROM deliveries
WHERE id < $1 AND {state} AND ($2::text IS NULL OR channel = $2) ORDER BY {order} DESC LIMIT $3
"""


# Nearly all are delivered; the others are few among them, and have an index of their own, which
# `id + 0` leads to: in the order of the IDs all would be read.
_IDS = {
    None: _ids("true", "id"),
    DeliveryState.PENDING: _ids("state = 'pending'", "id + 0"),
    DeliveryState.FAILED: _ids("state = 'failed'", "id + 0"),
    DeliveryState.DELIVERED: _ids("state = 'delivered'", "id"),
}
_DELIVERED_TO = """
SELECT id FROM deliveries WHERE id < $1 AND state = 'delivered' AND channel = $2
ORDER BY id DESC LIMIT $3
"""
_WITH_REASON = """
SELECT id FROM deliveries
WHERE id = ANY ($1::bigint[]) AND strpos(lower(coalesce(last_error, '')), lower($2)) > 0
ORDER BY id DESC
"""
# Each channel is found by a search of the index.
_NEWEST_DELIVERED = """
WITH RECURSIVE names (channel) AS (
    (SELECT channel FROM deliveries WHERE state = 'delivered' ORDER BY channel LIMIT 1)
    UNION ALL
    SELECT (
        SELECT channel FROM deliveries
        WHERE state = 'delivered' AND channel > names.channel ORDER BY channel LIMIT 1)
    FROM names WHERE names.channel IS NOT NULL)
SELECT names.channel, newest.delivered_at FROM names, LATERAL (
    SELECT delivered_at FROM deliveries
    WHERE state = 'delivered' AND channel = names.channel ORDER BY id DESC LIMIT 1) AS newest
"""


async def find(read: Read, selected: DeliverySelection, before: int, wanted: int) -> list[int]:
    """Return IDs; see `Statements.find`."""
    channel, state = rows.clean(selected.channel), selected.state
    if state is not None or channel is None:
        to_one = channel is not None and state is DeliveryState.DELIVERED
        query = _DELIVERED_TO if to_one else _IDS[state]
        return [row[0] for row in await read(query, before, channel, wanted)]
    found: set[int] = set()
    for each in DeliveryState:
        query = _DELIVERED_TO if each is DeliveryState.DELIVERED else _IDS[each]
        found |= {row[0] for row in await read(query, before, channel, wanted)}
    return sorted(found, reverse=True)[:wanted]


STATEMENTS = Statements(
    by_id=queries.DELIVERIES_BY_ID,
    with_reason=_WITH_REASON,
    newest_delivered=_NEWEST_DELIVERED,
    as_parameter=list,
    find=find,
)
