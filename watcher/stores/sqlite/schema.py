"""The schema and its migrations."""

from importlib import resources
from pathlib import Path

import aiosqlite

from watcher.core.errors import StoreUnusableError

APPLICATION_ID = 0x77746368
"""Marks a file as a watcher's ("wtch"), so that another program's database is never migrated."""


def migrations() -> list[str]:
    """Return the numbered migrations in order; the schema's version is how many were applied."""
    folder = resources.files("watcher.stores.sqlite") / "migrations"
    return [
        file.read_text()
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
        if file.name.endswith(".sql")
    ]


async def migrate(connection: aiosqlite.Connection, path: Path) -> None:
    """Bring the schema up to date, each migration in one transaction with its version number.

    Raises `StoreUnusableError` if the file belongs to another program or to a newer version.
    """
    scripts = migrations()
    version = await pragma(connection, "user_version")
    owner = await pragma(connection, "application_id")
    tables = await connection.execute_fetchall("SELECT 1 FROM sqlite_schema LIMIT 1")
    if list(tables) and owner != APPLICATION_ID:
        raise StoreUnusableError(
            f"{path} is the database of another program; give the watcher its own file"
        )
    if version > len(scripts):
        raise StoreUnusableError(
            f"{path} has schema version {version}, this program knows up to {len(scripts)}:"
            " run a newer watcher"
        )
    for number, script in enumerate(scripts[version:], version + 1):
        await connection.executescript(
            f"BEGIN IMMEDIATE; {script}"
            f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {number}; COMMIT;"
        )


async def pragma(connection: aiosqlite.Connection, name: str) -> int:
    """Return the value of a pragma that is one number."""
    rows = list(await connection.execute_fetchall(f"PRAGMA {name}"))
    return int(rows[0][0])
