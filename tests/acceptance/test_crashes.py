"""Two hundred times kill -9, at random times and between statements: no event is lost, invented or
out of order.
"""

import sqlite3
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from tests.acceptance.crashing import SENDERS, TRANSITIONS
from tests.support.records import SECRET
from watcher.testing.receiver import Received, Receiver

pytestmark = pytest.mark.anyio

ROUNDS = 200


async def run_crashing(database: Path, url: str) -> set[str]:
    """Run the processes; return the IDs of the events that they stored."""
    command = [sys.executable, "-m", "tests.acceptance.crashing"]
    arguments = [str(database), f"{url}/hook", str(ROUNDS), "7"]
    with anyio.fail_after(300):
        done = await anyio.run_process(
            [*command, *arguments], check=False, cwd=Path(__file__).parents[2]
        )
    assert done.returncode == 0, done.stderr.decode()
    return {line.split()[1] for line in done.stdout.decode().splitlines()}


def stored_events(database: Path) -> list[tuple[str, str, int]]:
    """Return the ID, task and sequence of each event; check that everything was delivered."""
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        undelivered = "SELECT count(*) FROM deliveries WHERE state <> 'delivered'"
        assert connection.execute(undelivered).fetchone() == (0,)
        return connection.execute(
            "SELECT event_id, task_id, sequence FROM events ORDER BY id"
        ).fetchall()


def arrived_sequences(received: Sequence[Received]) -> dict[str, list[int]]:
    """Return the sequences of each task in the order in which they arrived, repetitions once."""
    sequences: dict[str, list[int]] = defaultdict(list)
    for webhook in received:
        data = webhook.event["data"]
        if sequences[data["task_id"]][-1:] != [data["sequence"]]:
            sequences[data["task_id"]].append(data["sequence"])
    return sequences


async def test_stored_events_survive_two_hundred_kills_and_arrive_in_order(tmp_path: Path) -> None:
    receiver = Receiver(SECRET)
    database = tmp_path / "watcher.db"
    async with receiver.serve() as url:
        acknowledged = await run_crashing(database, url)
    events = stored_events(database)
    arrived = Counter(received.event_id for received in receiver.received)

    assert len(events) >= TRANSITIONS
    assert acknowledged <= {event_id for event_id, _, _ in events}
    assert set(arrived) == {event_id for event_id, _, _ in events}
    stored: dict[str, list[int]] = defaultdict(list)
    for _, task_id, sequence in events:
        stored[task_id].append(sequence)
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in stored.values())
    assert arrived_sequences(receiver.received) == stored
    # Sent again are only deliveries in flight when a process was killed: at most one for each of
    # its senders, in a margin for results that were not stored yet.
    assert sum(count - 1 for count in arrived.values()) <= ROUNDS * SENDERS * 8
