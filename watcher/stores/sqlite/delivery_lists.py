"""Pages of deliveries, the newest first: each is a seek in an index, or a scan that ends soon.

An index per state leads to the deliveries of one channel. Those of all channels are merged, because
the few of one state may be far apart.
"""

from watcher.core.deliveries import DeliveryState
from watcher.core.reading import DeliverySelection
from watcher.stores._delivery_lists import Read, Statements
from watcher.stores.sqlite import queries, rows

_PROBED = 5000
"""Deliveries among which pending ones are looked for side by side: a millisecond."""


def _from(index: str, state: DeliveryState) -> str:
    """Return the source of a statement, with the condition of the partial index as it is."""
    return f"FROM deliveries INDEXED BY {index} WHERE state = '{state}'"


def _channels(source: str) -> str:
    """Return the channels of a source, each found by a seek; only ?1 if it is set."""
    return f"""
WITH RECURSIVE names (channel) AS (
    SELECT coalesce(?1, (SELECT min(channel) {source}))
    UNION ALL
    SELECT (SELECT min(channel) {source} AND channel > names.channel)
    FROM names WHERE ?1 IS NULL AND names.channel IS NOT NULL)
"""


def _merged(source: str) -> str:
    return f"""{_channels(source)}
SELECT found.id FROM names CROSS JOIN deliveries AS found ON found.id IN (
    SELECT id {source} AND channel = names.channel AND id < ?2 ORDER BY id DESC LIMIT ?3)
ORDER BY found.id DESC LIMIT ?3
"""


_FAILED = _from("deliveries_failed", DeliveryState.FAILED)
_PENDING = _from("deliveries_queue", DeliveryState.PENDING)
_DELIVERED = _from("deliveries_delivered_to", DeliveryState.DELIVERED)

# The parameters of each are a channel or NULL, the ID before which a page begins, and a limit.
ALL = "SELECT id FROM deliveries NOT INDEXED WHERE ?1 IS NULL AND id < ?2 ORDER BY id DESC LIMIT ?3"
FAILED = _merged(_FAILED)
DELIVERED = _merged(_DELIVERED)
# Pending ones are few or side by side, as a rule. An index of their own would cost each event.
PENDING_ADJACENT = f"""
SELECT id FROM (
    SELECT id, state, channel FROM deliveries NOT INDEXED WHERE id < ?2
    ORDER BY id DESC LIMIT {_PROBED})
WHERE state = 'pending' AND (?1 IS NULL OR channel = ?1) ORDER BY id DESC LIMIT ?3
"""
PENDING = f"""{_channels(_PENDING)}
SELECT found.id FROM names CROSS JOIN deliveries AS found INDEXED BY deliveries_queue
WHERE found.state = 'pending' AND found.channel = names.channel AND found.id < ?2
ORDER BY found.id DESC LIMIT ?3
"""
WITH_REASON = """
SELECT id FROM deliveries WHERE id IN (SELECT value FROM json_each(?1))
    AND instr(lower(coalesce(last_error, '')), lower(?2)) > 0
ORDER BY id DESC
"""
NEWEST_DELIVERED = f"""{_channels(_DELIVERED).replace("?1", "NULL")}
SELECT names.channel, newest.delivered_at
FROM names CROSS JOIN deliveries AS newest ON newest.id = (
    SELECT id {_DELIVERED} AND channel = names.channel ORDER BY id DESC LIMIT 1)
"""


async def find(read: Read, selected: DeliverySelection, before: int, wanted: int) -> list[int]:
    """Return IDs; see `Statements.find`."""
    channel, state = selected.channel, selected.state
    if state is DeliveryState.PENDING:
        return await _pending(read, channel, before, wanted)
    if state is not None:
        query = FAILED if state is DeliveryState.FAILED else DELIVERED
        return await _listed(read, query, channel, before, wanted)
    if channel is None:
        return await _listed(read, ALL, None, before, wanted)
    found = set(await _pending(read, channel, before, wanted))
    for query in (FAILED, DELIVERED):
        found |= set(await _listed(read, query, channel, before, wanted))
    return sorted(found, reverse=True)[:wanted]


async def _pending(read: Read, channel: str | None, before: int, wanted: int) -> list[int]:
    found = await _listed(read, PENDING_ADJACENT, channel, before, wanted)
    if len(found) < wanted:
        return await _listed(read, PENDING, channel, before, wanted)
    return found


async def _listed(
    read: Read, query: str, channel: str | None, before: int, wanted: int
) -> list[int]:
    return [number for (number,) in await read(query, channel, before, wanted)]


STATEMENTS = Statements(
    by_id=queries.DELIVERIES_BY_ID,
    with_reason=WITH_REASON,
    newest_delivered=NEWEST_DELIVERED,
    as_parameter=rows.as_json,
    find=find,
)
