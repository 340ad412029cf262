"""Brings the schema of a database up to date while replicas of other versions use it.

A migration that expands the schema is applied at once. One that contracts it waits until no replica
lives that could not use the schema afterwards.
"""

import logging
from collections.abc import Sequence
from itertools import dropwhile

import anyio
import asyncpg

from watcher.core.errors import StoreError, StoreUnusableError
from watcher.stores.postgresql.schema import (
    Connection,
    Migration,
    Stored,
    UnservedError,
    read_stored,
)

logger = logging.getLogger(__name__)

_MIGRATING = 0x77746368
"""The advisory lock of migrations ("wtch"): replicas that start together migrate once."""
_WAIT_FOR_OTHERS = "SET LOCAL lock_timeout = '5s'"
# Statements that come after one that waits for a table wait as well. While another program dumps
# the database, a migration is tried again every two seconds: each attempt blocks others briefly.
_BLOCK_BRIEFLY = """
SET LOCAL lock_timeout = '250ms'; SET LOCAL statement_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = '5s'
"""
_LONGEST = 600.0
"""Seconds that a migration may take."""
_VERSION = """
CREATE TABLE watcher_schema (version integer NOT NULL, serves integer PRIMARY KEY);
INSERT INTO watcher_schema VALUES (0, 1)
"""
_STORE = "UPDATE watcher_schema SET version = $1, serves = $2"
_OLDER = """
SELECT name, version FROM sessions WHERE expires_at > clock_timestamp() AND schema < $1
ORDER BY name, started_at
"""
_MOST_NAMED = 3


class Schema:
    """The schema that this program knows, and the database `server` that gets it. `writers` is the
    advisory lock of those that write.
    """

    def __init__(self, migrations: Sequence[Migration], server: str, writers: int) -> None:
        self._migrations = migrations
        self._server = server
        self._writers = writers
        self._logged = ""
        self.known = len(migrations)
        """The version of the schema that this program knows."""
        self._needed = len([*dropwhile(lambda one: one.contracts, reversed(migrations))])
        """The version that it needs: what the last migrations remove may be there still."""

    async def bring_up(self, connection: Connection) -> Stored:
        """Apply what the database lacks, as far as other replicas allow; return what it has now.

        Raises `UnservedError` if this program cannot use the schema, `StoreUnusableError` if tables
        of another program are in the way, and `StoreError` while others leave no way to migrate.
        """
        stored = await read_stored(connection)
        is_new = stored.version == 0
        while stored.version < self.known:
            following = self._migrations[stored.version]
            if older := await _older(connection, following):
                self._wait(stored, following, older)
                return stored
            before, stored = stored, await self._apply(connection, stored)
            if stored != before and not is_new:
                logger.info("%s: migration %s is applied", self._server, following.name)
        if stored.serves > self.known:
            raise UnservedError(stored, self.known)
        if stored.version > self.known:
            self._log(f"schema version {stored.version} is of a newer watcher; this one can use it")
        return stored

    def _wait(self, stored: Stored, following: Migration, older: str) -> None:
        text = f"migration {following.name} waits for the end of older replicas: {older}"
        if stored.version < self._needed:
            raise StoreError(f"{self._server}: {text}; stop them, or upgrade version by version")
        self._log(text)

    def _log(self, text: str) -> None:
        if text != self._logged:
            self._logged = text
            logger.info("%s: %s", self._server, text)

    async def _apply(self, connection: Connection, stored: Stored) -> Stored:
        """Apply the migration that follows; return what the database has now."""
        following = self._migrations[stored.version]
        try:
            # Cancelled inside, the connection would be left within a transaction.
            with anyio.CancelScope(shield=True):
                async with connection.transaction():
                    now = await self._apply_within(connection, stored, following)
        except asyncpg.LockNotAvailableError:
            raise StoreError(
                f"{self._server}: migration {following.name} waits for a transaction that uses the"
                " same tables"
            ) from None
        except asyncpg.DuplicateTableError as error:
            raise StoreUnusableError(
                f"the database has tables of another program ({error});"
                " give the watcher a database of its own"
            ) from None
        return now

    async def _apply_within(
        self, connection: Connection, stored: Stored, following: Migration
    ) -> Stored:
        await self._lock(connection)
        if (now := await read_stored(connection)) != stored:
            return now
        if stored.version == 0:
            await connection.execute(_VERSION)
        await self._lock_others(connection, following)
        if await _older(connection, following):
            return stored
        # The driver fails for a script without any statement, as a migration may be.
        await connection.execute(f"SELECT 1;\n{following.script}", timeout=_LONGEST)
        await connection.execute(_STORE, stored.version + 1, following.serves)
        return Stored(version=stored.version + 1, serves=following.serves)

    async def _lock(self, connection: Connection) -> None:
        await connection.execute(_WAIT_FOR_OTHERS)
        try:
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _MIGRATING)
        except asyncpg.LockNotAvailableError:
            raise StoreError(f"{self._server}: another process migrates the schema") from None

    async def _lock_others(self, connection: Connection, following: Migration) -> None:
        """Let writers wait until the transaction ends, and new sessions before a contraction."""
        await connection.execute("SELECT pg_advisory_xact_lock($1)", self._writers)
        await connection.execute(_BLOCK_BRIEFLY)
        if following.contracts:
            await connection.execute("LOCK TABLE sessions IN SHARE ROW EXCLUSIVE MODE")


async def _older(connection: Connection, following: Migration) -> str:
    """Return which live replicas could not use the schema after a migration; "" for none."""
    if not following.contracts:
        return ""
    found = await connection.fetch(_OLDER, following.serves)
    named = [f"{name} (watcher {version})" for name, version in found[:_MOST_NAMED]]
    more = [f"{len(found) - _MOST_NAMED} more"] if len(found) > _MOST_NAMED else []
    return ", ".join([*named, *more])
