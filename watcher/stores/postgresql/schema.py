"""The schema of the PostgreSQL store and its migrations."""

from importlib import resources
from typing import TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from watcher.core.errors import StoreUnusableError

Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

MIGRATING = 0x77746368
"""The advisory lock of migrations ("wtch"): replicas that start together migrate once."""

_VERSION = """
CREATE TABLE IF NOT EXISTS watcher_schema (version integer NOT NULL)
"""


def migrations() -> list[str]:
    """Return the numbered migrations in order; the schema's version is how many were applied."""
    folder = resources.files("watcher.stores.postgresql") / "migrations"
    return [
        file.read_text()
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
        if file.name.endswith(".sql")
    ]


async def migrate(connection: Connection) -> None:
    """Bring the schema up to date, in one transaction.

    Raises `StoreUnusableError` if the schema is that of a newer version, or if tables of another
    program are in the way.
    """
    scripts = migrations()
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", MIGRATING)
        version = await _version(connection)
        if version > len(scripts):
            raise StoreUnusableError(
                f"the database has schema version {version}, this program knows up to"
                f" {len(scripts)}: run a newer watcher"
            )
        if version == len(scripts):
            return
        try:
            for script in scripts[version:]:
                await connection.execute(script)
        except asyncpg.DuplicateTableError as error:
            raise StoreUnusableError(
                f"the database has tables of another program ({error});"
                " give the watcher a database of its own"
            ) from None
        await connection.execute("DELETE FROM watcher_schema")
        await connection.execute("INSERT INTO watcher_schema VALUES ($1)", len(scripts))


async def _version(connection: Connection) -> int:
    if await connection.fetchval("SELECT to_regclass('watcher_schema')") is None:
        await connection.execute(_VERSION)
    return int(await connection.fetchval("SELECT coalesce(max(version), 0) FROM watcher_schema"))
