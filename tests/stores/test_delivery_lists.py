"""Lists of deliveries, compared with a plain model."""

import itertools
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest
from anyio import run
from hypothesis import given, settings
from hypothesis import strategies as st

from watcher.core.deliveries import DeliveryState
from watcher.core.reading import DeliverySelection
from watcher.stores._delivery_lists import DeliveryListReader
from watcher.stores._task_lists import SEARCH_TIME
from watcher.stores.sqlite import rows
from watcher.stores.sqlite.delivery_lists import STATEMENTS
from watcher.stores.sqlite.numbered import NumberedConnection
from watcher.stores.sqlite.schema import migrations

CHANNELS = ("alerts", "backend", "")
states = st.sampled_from(DeliveryState)
stored = st.tuples(states, st.sampled_from(CHANNELS), st.none() | st.sampled_from(["Ab%", "_b"]))
selections = st.builds(
    DeliverySelection,
    state=st.none() | states,
    channel=st.none() | st.sampled_from((*CHANNELS, "other")),
    reason=st.none() | st.sampled_from(["b", "aB", "%", "\\"]),
)
EVENT = "INSERT INTO events (id, event_id, type, at, order_key, channels, body) VALUES "
EVENT += "(?1, ?1, 'task.failed', 0, '', '[]', '{}')"
DELIVERY = "INSERT INTO deliveries (id, event, state, channel, last_error, order_key, created_at, "
DELIVERY += "delivered_at) VALUES (?1, ?1, ?2, ?3, ?4, '', 0, ?1)"


@pytest.fixture(scope="module")
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", factory=NumberedConnection)) as opened:
        for script in migrations():
            opened.executescript(script)
        yield opened


def reader_of(connection: sqlite3.Connection, step: float = 0.0) -> DeliveryListReader:
    """A reader on whose clock each look takes `step` seconds."""
    clock = itertools.count(0.0, step)

    async def read(query: str, *parameters: object) -> list[rows.Row]:
        return connection.execute(query, parameters).fetchall()

    return DeliveryListReader(read, STATEMENTS, lambda: next(clock))


async def pages(
    reader: DeliveryListReader, selected: DeliverySelection, limit: int
) -> tuple[list[int], bool]:
    """The IDs on all pages, and whether each of these was complete."""
    found: list[int] = []
    complete = True
    cursor = None
    while True:
        page = await reader.page(selected, limit, cursor)
        assert len(page.deliveries) <= limit
        found += [one.id for one in page.deliveries]
        complete = complete and page.complete
        if (cursor := page.next_cursor) is None:
            return found, complete


def is_selected(row: tuple[str, str, str | None], selected: DeliverySelection) -> bool:
    state, channel, error = row
    return (
        selected.state in (None, state)
        and selected.channel in (None, channel)
        and (selected.reason is None or selected.reason.lower() in (error or "").lower())
    )


@settings(max_examples=80, deadline=None)
@given(
    kept=st.lists(stored, max_size=14),
    several=st.lists(selections, min_size=4, max_size=4),
    limit=st.integers(1, 4),
)
def test_the_pages_of_a_list_hold_each_selected_delivery_once(
    connection: sqlite3.Connection,
    kept: Sequence[tuple[str, str, str | None]],
    several: Sequence[DeliverySelection],
    limit: int,
) -> None:
    connection.executescript("DELETE FROM deliveries; DELETE FROM events")
    connection.executemany(EVENT, [[number] for number in range(len(kept))])
    connection.executemany(DELIVERY, [(number, *row) for number, row in enumerate(kept)])
    for selected in several:
        wanted = [n for n in reversed(range(len(kept))) if is_selected(kept[n], selected)]
        found, complete = run(pages, reader_of(connection), selected, limit)
        assert (found, complete) == (wanted, True)
        slow, _ = run(pages, reader_of(connection, SEARCH_TIME), selected, limit)
        assert slow == wanted
    delivered = {row[1]: float(n) for n, row in enumerate(kept) if row[0] == "delivered"}
    assert run(reader_of(connection).newest_delivered) == delivered


def test_a_search_stops_when_its_time_is_over(connection: sqlite3.Connection) -> None:
    connection.executescript("DELETE FROM deliveries; DELETE FROM events")
    connection.executemany(EVENT, [[number] for number in range(2500)])
    row = ("failed", "alerts", "503")
    connection.executemany(DELIVERY, [(number, *row) for number in range(2500)])
    selected = DeliverySelection(state=DeliveryState.FAILED, reason="404")
    reader = reader_of(connection, SEARCH_TIME)
    page = run(reader.page, selected, 50, None)
    assert (page.deliveries, page.complete) == ([], False)
    assert run(pages, reader, selected, 50) == ([], False)
