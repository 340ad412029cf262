"""Pages of deliveries, the newest first: each is a seek in an index, or a scan that ends soon.

An index per state leads to the deliveries of one channel. Those of all channels are merged, because
the few of one state may be far apart.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from watcher.core.deliveries import Delivery, DeliveryState
from watcher.core.reading import DeliveryPage, DeliverySelection
from watcher.stores.sqlite import queries, rows
from watcher.stores.sqlite.pages import page_start
from watcher.stores.sqlite.task_lists import SEARCH_TIME

_PROBED = 5000
"""Deliveries among which pending ones are looked for side by side: a millisecond."""
_EXAMINED = 1000
"""Deliveries whose errors are examined at once."""


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
NEWEST_DELIVERED = f"""{_channels(_DELIVERED)}
SELECT names.channel, newest.delivered_at
FROM names CROSS JOIN deliveries AS newest ON newest.id = (
    SELECT id {_DELIVERED} AND channel = names.channel ORDER BY id DESC LIMIT 1)
"""

Read = Callable[..., Awaitable[list[rows.Row]]]


class DeliveryListReader:
    """Reads lists of deliveries; `monotonic` counts seconds."""

    def __init__(self, read: Read, monotonic: Callable[[], float]) -> None:
        self._read = read
        self._monotonic = monotonic

    async def page(
        self, selected: DeliverySelection, limit: int, cursor: str | None
    ) -> DeliveryPage:
        """Return a page of the selected deliveries. Raises `ValueError` for an invalid cursor."""
        before = page_start(cursor)
        if selected.reason is None:
            found, stopped_at = await self._ids(selected, before, limit + 1), None
        else:
            found, stopped_at = await self._with_reason(selected, before, limit + 1)
        shown = found[:limit]
        following = shown[-1] if len(found) > limit else stopped_at
        # One that has changed its state since then is left out.
        deliveries = await self.deliveries(shown, selected.state)
        return DeliveryPage(
            deliveries=list(deliveries.values()),
            next_cursor=None if following is None else str(following),
            complete=len(found) > limit or stopped_at is None,
        )

    async def deliveries(
        self, ids: Sequence[int], state: DeliveryState | None = None
    ) -> Mapping[int, Delivery]:
        """Return those of these deliveries that are in a state, the newest first."""
        found = await self._read(queries.DELIVERIES_BY_ID, rows.as_json(ids), state)
        return {delivery.id: delivery for delivery in map(rows.delivery, found)}

    async def newest_delivered(self) -> Mapping[str, float]:
        """Return by channel when its newest delivered delivery was delivered."""
        return dict(await self._read(NEWEST_DELIVERED, None))

    async def _with_reason(
        self, selected: DeliverySelection, before: int, wanted: int
    ) -> tuple[list[int], int | None]:
        """Return IDs, and where the scan stopped because its time was over; else None."""
        ends_at = self._monotonic() + SEARCH_TIME
        found: list[int] = []
        while True:
            ids = await self._ids(selected, before, _EXAMINED)
            matching = await self._read(WITH_REASON, rows.as_json(ids), selected.reason)
            found += [number for (number,) in matching]
            if len(ids) < _EXAMINED or len(found) >= wanted:
                return found[:wanted], None
            before = ids[-1]
            if self._monotonic() >= ends_at:
                return found, before

    async def _ids(self, selected: DeliverySelection, before: int, wanted: int) -> list[int]:
        channel, state = selected.channel, selected.state
        if state is DeliveryState.PENDING:
            return await self._pending(channel, before, wanted)
        if state is not None:
            query = FAILED if state is DeliveryState.FAILED else DELIVERED
            return await self._listed(query, channel, before, wanted)
        if channel is None:
            return await self._listed(ALL, None, before, wanted)
        found = set(await self._pending(channel, before, wanted))
        for query in (FAILED, DELIVERED):
            found |= set(await self._listed(query, channel, before, wanted))
        return sorted(found, reverse=True)[:wanted]

    async def _pending(self, channel: str | None, before: int, wanted: int) -> list[int]:
        found = await self._listed(PENDING_ADJACENT, channel, before, wanted)
        if len(found) < wanted:
            return await self._listed(PENDING, channel, before, wanted)
        return found

    async def _listed(self, query: str, channel: str | None, before: int, wanted: int) -> list[int]:
        return [number for (number,) in await self._read(query, channel, before, wanted)]
