"""A process that needs the database for itself, such as one that copies it, holds a lock until its
transaction ends. No replica starts meanwhile, and none may run when it begins.

The lock belongs to the transaction, not to the connection: a pooler gives a connection to others.
"""

from typing import TYPE_CHECKING

from watcher.core.errors import StoreUnusableError
from watcher.core.ownership import SESSION_LASTS
from watcher.stores.postgresql.connection import ERRORS, reading, store_error
from watcher.stores.postgresql.schema import Connection

if TYPE_CHECKING:
    from watcher.stores.postgresql.pool import ConnectionPool

_ALONE = 0x7774616C
"""The advisory lock of the process that uses the database ("wtal")."""
_NO_MORE_SESSIONS = "LOCK TABLE sessions IN SHARE MODE"
_LIVE = "SELECT count(*) FROM sessions WHERE expires_at > clock_timestamp()"


async def require_no_exclusive_use(pool: "ConnectionPool", server: str) -> None:
    """Raise `StoreUnusableError` while another process has the database for itself."""
    try:
        async with reading(pool) as connection:
            if not await connection.fetchval("SELECT pg_try_advisory_xact_lock_shared($1)", _ALONE):
                raise _in_use(server)
    except ERRORS as error:
        raise store_error(error, server) from None


async def use_exclusively(connection: Connection, server: str) -> None:
    """Let no replica use the database until the transaction of `connection` ends. Raises
    `StoreUnusableError` if one does, or if another process has the database for itself.
    """
    if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", _ALONE):
        raise _in_use(server)
    await connection.execute(_NO_MORE_SESSIONS)
    if live := await connection.fetchval(_LIVE):
        use = "1 watcher uses" if live == 1 else f"{live} watchers use"
        raise StoreUnusableError(
            f"{use} {server}; stop all of them first (one that was killed counts for another"
            f" {SESSION_LASTS:g} s)"
        )


def _in_use(server: str) -> StoreUnusableError:
    return StoreUnusableError(f"another process has {server} for itself; wait until it ends")
