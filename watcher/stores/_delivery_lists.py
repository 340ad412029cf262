"""Pages of deliveries, the newest first, in whatever database they are."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from watcher.core.deliveries import Delivery, DeliveryState
from watcher.core.reading import DeliveryPage, DeliverySelection
from watcher.stores import _rows
from watcher.stores._pages import page_start
from watcher.stores._task_lists import SEARCH_TIME

_EXAMINED = 1000
"""Deliveries whose errors are examined at once."""

Read = Callable[..., Awaitable[Sequence[Any]]]
"""Runs a statement with its parameters, and returns its rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statements:
    """The statements of a database; `as_parameter` makes one parameter of several IDs."""

    by_id: str
    """Of several IDs and a state or NULL: the columns of each delivery, the newest first."""
    with_reason: str
    """Of several IDs and a text: those whose errors contain it, the newest first."""
    newest_delivered: str
    """Each channel, and when its newest delivered delivery was delivered."""
    as_parameter: Callable[[Sequence[int]], object]
    find: Callable[[Read, DeliverySelection, int, int], Awaitable[list[int]]]
    """Returns the IDs of the newest selected deliveries before an ID, as many as a number at most;
    the reason is not considered.
    """


class DeliveryListReader:
    """Reads lists of deliveries; `monotonic` counts seconds."""

    def __init__(self, read: Read, statements: Statements, monotonic: Callable[[], float]) -> None:
        self._read = read
        self._statements = statements
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
        parameter = self._statements.as_parameter(ids)
        found = await self._read(self._statements.by_id, parameter, state)
        return {delivery.id: delivery for delivery in map(_rows.delivery, found)}

    async def newest_delivered(self) -> Mapping[str, float]:
        """Return by channel when its newest delivered delivery was delivered."""
        return {row[0]: row[1] for row in await self._read(self._statements.newest_delivered)}

    async def _with_reason(
        self, selected: DeliverySelection, before: int, wanted: int
    ) -> tuple[list[int], int | None]:
        """Return IDs, and where the scan stopped because its time was over; else None."""
        ends_at = self._monotonic() + SEARCH_TIME
        found: list[int] = []
        while True:
            ids = await self._ids(selected, before, _EXAMINED)
            parameter = self._statements.as_parameter(ids)
            matching = await self._read(self._statements.with_reason, parameter, selected.reason)
            found += [row[0] for row in matching]
            if len(ids) < _EXAMINED or len(found) >= wanted:
                return found[:wanted], None
            before = ids[-1]
            if self._monotonic() >= ends_at:
                return found, before

    async def _ids(self, selected: DeliverySelection, before: int, wanted: int) -> list[int]:
        return await self._statements.find(self._read, selected, before, wanted)
