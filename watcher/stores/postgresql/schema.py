"""The schema of the PostgreSQL store: its numbered migrations, and what of it a database has.

The version of a schema is how many migrations were applied; that of a program, how many it knows.
Each migration states in its first line which programs can use the schema afterwards:

    -- serves: 5

is for a migration after which version 5 is the oldest one. A migration that states more than the
one before it contracts the schema; any other expands it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from itertools import pairwise
from typing import TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"

MIGRATIONS: Traversable = resources.files("watcher.stores.postgresql") / "migrations"

_SERVES = re.compile(r"-- serves: ([1-9]\d*)\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One file. `serves` is the version of the oldest program that can use the schema afterwards;
    with `contracts` it is a later one than before.
    """

    name: str
    script: str
    serves: int
    contracts: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What a database has: the version of its schema, and that of the oldest program which can use
    it.
    """

    version: int = 0
    serves: int = 1


class UnservedError(Exception):
    """The schema is one that this program, of version `known`, cannot use."""

    def __init__(self, stored: Stored, known: int) -> None:
        super().__init__(
            f"schema version {stored.version}, which needs a watcher that knows version"
            f" {stored.serves} or later; this one knows {known}: run a newer watcher"
        )


def migrations(folder: Traversable = MIGRATIONS) -> Sequence[Migration]:
    """Return the numbered migrations in order.

    Raises `ValueError` if one does not state what it serves.
    """
    files = [file for file in folder.iterdir() if file.name.endswith(".sql")]
    files.sort(key=lambda file: file.name)
    scripts = [file.read_text() for file in files]
    serves = [1]
    for number, (file, script) in enumerate(zip(files, scripts, strict=True), 1):
        stated = _SERVES.match(script)
        if stated is None or not serves[-1] <= int(stated[1]) <= number:
            raise ValueError(
                f"{file.name} has to begin with '-- serves: N', N from {serves[-1]} to {number}"
            )
        serves.append(int(stated[1]))
    return [
        Migration(
            name=file.name.removesuffix(".sql"),
            script=script,
            serves=after,
            contracts=after > before,
        )
        for file, script, (before, after) in zip(files, scripts, pairwise(serves), strict=True)
    ]


# A scan of the catalogue, because it takes notice of what others have committed; `to_regclass`
# alone repeats what it has found before.
_HAS_SCHEMA = "SELECT count(*) FROM pg_class WHERE oid = to_regclass('watcher_schema')"


async def read_stored(connection: Connection) -> Stored:
    """Return what the database has."""
    if not await connection.fetchval(_HAS_SCHEMA):
        return Stored()
    found = await connection.fetchrow("SELECT version, serves FROM watcher_schema")
    return Stored(**found) if found else Stored()
