"""Stores each webhook once, and processes it after the answer.

SQLite suits one process. A service of several keeps this table in its own database: with PostgreSQL
`INSERT … ON CONFLICT DO NOTHING`, and `SELECT … FOR UPDATE SKIP LOCKED` in the worker. If the work
writes to the same database, it belongs in the transaction that sets `processed_at`: then it happens
exactly once. Otherwise it happens again after a crash in its middle, and has to allow that.
"""

import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

KEPT_FOR = 30 * 86400
"""Seconds for which an ID is remembered: longer than the watcher retries (three days) or replays
(`store.retention`, seven days)."""
RETRY_AFTER = 5.0
"""Seconds until work that failed is tried again."""

log = logging.getLogger("receiver")


class Inbox:
    """The webhooks that arrived, in a file, and the thread that works on them."""

    def __init__(self, path: str | Path, work: Callable[[dict], None]) -> None:
        self._path = path
        self._work = work
        self._added = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="inbox", daemon=True)
        with closing(self._connect()) as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute(
                "CREATE TABLE IF NOT EXISTS inbox (number INTEGER PRIMARY KEY, webhook_id TEXT"
                " UNIQUE NOT NULL, body BLOB NOT NULL, received_at REAL NOT NULL,"
                " processed_at REAL)"
            )

    def start(self) -> None:
        """Work on what an earlier run left, then on what arrives."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the current work, and end the thread."""
        self._stopping = True
        self._added.set()
        self._thread.join()

    def add(self, webhook_id: str, body: bytes) -> bool:
        """Store a webhook; return whether it is new. It is on disk when this returns."""
        with closing(self._connect()) as database:
            added = database.execute(
                "INSERT OR IGNORE INTO inbox (webhook_id, body, received_at) VALUES (?, ?, ?)",
                (webhook_id, body, time.time()),
            )
        self._added.set()
        return added.rowcount == 1

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(
            self._path, timeout=10, isolation_level=None
        )  # each statement commits

    def _run(self) -> None:
        while not self._stopping:
            self._added.clear()
            try:
                self._process_pending()
            except sqlite3.Error:
                log.exception("cannot read the inbox")
            self._added.wait(RETRY_AFTER)

    def _process_pending(self) -> None:
        """Try each pending webhook once, in order of arrival."""
        with closing(self._connect()) as database:
            pending = "SELECT number FROM inbox WHERE processed_at IS NULL ORDER BY number"
            for (number,) in database.execute(pending).fetchall():
                if not self._stopping:
                    self._process(database, number)
            database.execute("DELETE FROM inbox WHERE processed_at < ?", (time.time() - KEPT_FOR,))

    def _process(self, database: sqlite3.Connection, number: int) -> None:
        row = database.execute("SELECT webhook_id, body FROM inbox WHERE number = ?", (number,))
        webhook_id, body = row.fetchone()
        try:
            self._work(json.loads(body))
        except Exception:
            log.exception("failed %s; next try in %s s", webhook_id, RETRY_AFTER)
            return
        database.execute(
            "UPDATE inbox SET processed_at = ?, body = '' WHERE number = ?", (time.time(), number)
        )
        log.info("processed %s", webhook_id)
