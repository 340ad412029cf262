"""What is committed in the store of a scenario, of one channel."""

import sqlite3
from pathlib import Path

_STATES = """
SELECT e.event_id, d.state FROM deliveries AS d JOIN events AS e ON e.id = d.event
WHERE d.channel = ?
"""
_ANNOUNCEMENTS = """
SELECT type FROM events
WHERE type LIKE 'channel.%' AND json_extract(CAST(body AS TEXT), '$.data.channel') = ? ORDER BY id
"""


class Database:
    """Reads the store at `path` as it is on disk."""

    def __init__(self, path: Path, channel: str) -> None:
        self._path = path
        self._channel = channel
        self._connection: sqlite3.Connection | None = None

    def _query(self, sql: str, *parameters: object) -> list[tuple[object, ...]]:
        if self._connection is None:
            self._connection = sqlite3.connect(self._path, isolation_level=None)
        return self._connection.execute(sql, parameters).fetchall()

    def states(self) -> dict[str, str]:
        """Return the state of the delivery of each event; none of what was purged."""
        return {str(id_): str(state) for id_, state in self._query(_STATES, self._channel)}

    def suspension(self) -> str | None:
        rows = self._query("SELECT kind FROM suspensions WHERE channel = ?", self._channel)
        return str(rows[0][0]) if rows else None

    def is_announced(self) -> bool:
        """Return whether the outage that goes on is announced."""
        sql = "SELECT 1 FROM outages WHERE subject = ? AND alerted_at IS NOT NULL"
        return bool(self._query(sql, f"channel {self._channel}"))

    def announcements(self) -> list[str]:
        """Return what was announced of the channel, in order: `failing`, `recovered`, `stopped`."""
        rows = self._query(_ANNOUNCEMENTS, self._channel)
        return [str(kind).partition(".")[2] for (kind,) in rows]

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
