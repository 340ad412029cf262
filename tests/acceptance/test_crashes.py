"""Two hundred times kill -9, at random and between any two statements: nothing is lost, made up or
out of order.
"""

import sqlite3
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from tests.acceptance.crashing import SENDERS, TRANSITIONS
from tests.support.records import SECRET
from watcher.testing.receiver import Receiver

pytestmark = pytest.mark.anyio

ROUNDS = 200


async def test_what_was_stored_survives_two_hundred_kills_and_arrives_in_order(
    tmp_path: Path,
) -> None:
    receiver = Receiver(SECRET)
    database = tmp_path / "watcher.db"
    async with receiver.serve() as url:
        command = [
            sys.executable,
            "-m",
            "tests.acceptance.crashing",
            str(database),
            f"{url}/hook",
            str(ROUNDS),
            "7",
        ]
        with anyio.fail_after(300):
            done = await anyio.run_process(command, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr.decode()
    acknowledged = {line.split()[1] for line in done.stdout.decode().splitlines()}
    with closing(sqlite3.connect(database)) as connection:
        stored = connection.execute(
            "SELECT event_id, task_id, sequence FROM events ORDER BY id"
        ).fetchall()
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute(
            "SELECT count(*) FROM deliveries WHERE state <> 'delivered'"
        ).fetchone() == (0,)
    arrived = [one.event_id for one in receiver.received]

    assert len(stored) >= TRANSITIONS
    assert acknowledged <= {event_id for event_id, _, _ in stored}
    assert set(arrived) == {event_id for event_id, _, _ in stored}
    lines: dict[str, list[int]] = {}
    for _, task_id, sequence in stored:
        lines.setdefault(task_id, []).append(sequence)
    assert all(line == list(range(1, len(line) + 1)) for line in lines.values())
    first_seen: dict[str, list[int]] = {}
    for one in {one.event_id: one for one in reversed(receiver.received)}.values():
        first_seen.setdefault(one.event["data"]["task_id"], []).insert(
            0, one.event["data"]["sequence"]
        )
    assert first_seen == lines
    # What was under way when a process was killed: sent by one of its senders, and its outcome not
    # stored yet.
    repeats = sum(count - 1 for count in Counter(arrived).values())
    assert repeats <= ROUNDS * SENDERS * 8
