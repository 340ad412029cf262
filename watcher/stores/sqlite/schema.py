"""The schema and its migrations."""

import sqlite3
from importlib import resources
from pathlib import Path

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


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the schema up to date, each migration in one transaction with its version number.

    Raises `StoreUnusableError` if the file belongs to another program or to a newer version.
    """
    scripts = migrations()
    version = pragma(connection, "user_version")
    owner = pragma(connection, "application_id")
    tables = connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()
    if tables and owner != APPLICATION_ID:
        raise StoreUnusableError(
            f"{path} is the database of another program; give the watcher its own file"
        )
    if version > len(scripts):
        raise StoreUnusableError(
            f"{path} has schema version {version}, this program knows up to {len(scripts)}:"
            " run a newer watcher"
        )
    for number, script in enumerate(scripts[version:], version + 1):
        connection.executescript(
            f"BEGIN IMMEDIATE; {script}"
            f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {number}; COMMIT;"
        )


def pragma(connection: sqlite3.Connection, name: str) -> int:
    """Return the value of a pragma that is one number."""
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)
