"""A real PgBouncer in transaction mode: each transaction may get another connection."""

import asyncio
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from tests.support.postgresql import UNPRIVILEGED, Server

_PATIENCE = 10.0
_SETTINGS = """
[databases]
* = host={server}
[pgbouncer]
pool_mode = transaction
unix_socket_dir = {folder}
listen_port = 5432
logfile = {folder}/log
auth_type = trust
auth_file = {folder}/users
max_prepared_statements = 100
default_pool_size = 10
max_user_connections = 30
{more}
"""
_USERS = '"watcher" ""\n"guest" ""\n'
_LEFT = """
SELECT 'SET ' || name FROM pg_settings WHERE source = 'session' AND name <> ALL($1)
UNION ALL
SELECT 'an advisory lock' FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'
UNION ALL SELECT 'LISTEN ' || name FROM pg_listening_channels() AS name WHERE name <> 'watcher'
UNION ALL SELECT 'a temporary relation' FROM pg_class WHERE relnamespace = pg_my_temp_schema()
UNION ALL SELECT 'PREPARE ' || name FROM pg_prepared_statements WHERE name NOT LIKE 'PGBOUNCER_%'
UNION ALL SELECT 'a cursor' FROM pg_cursors WHERE is_holdable
"""
"""State of a session that outlives a transaction. To listen is only a hint, which may be lost."""
_TRACKED = (
    "application_name",
    "client_encoding",
    "DateStyle",
    "IntervalStyle",
    "standard_conforming_strings",
    "TimeZone",
)
"""What PgBouncer itself sets for each client."""
_OF_TESTS = "FROM pg_stat_activity WHERE datname LIKE 'test_%'"
_BEGUN = "SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"


@contextmanager
def pooled(server: Server, program: str | None, more: str = "") -> Iterator[None]:
    """Run a pooler before the server, whose URLs lead there within; `more` are further settings.
    Without a program do nothing.
    """
    if program is None:
        yield
        return
    folder = server.new_folder("pooler")
    (folder / "users").write_text(_USERS)
    settings = folder / "settings"
    settings.write_text(_SETTINGS.format(server=server.folder, folder=folder, more=more))
    command = [program, str(settings)]
    if os.geteuid() == 0:
        command += ["-u", UNPRIVILEGED]
    output = folder / "output"
    with output.open("wb") as said, subprocess.Popen(command, stdout=said, stderr=said) as running:
        try:
            deadline = time.monotonic() + _PATIENCE
            while not (folder / Path(server.socket).name).exists():
                assert running.poll() is None, output.read_text()
                assert time.monotonic() < deadline, "PgBouncer does not listen"
                time.sleep(0.01)
            server.entrance = folder
            yield
            left = asyncio.run(left_behind(server))
            assert not left, f"left behind at connections: {left}"
        finally:
            server.entrance = None
            running.kill()


async def left_behind(server: Server) -> list[str]:
    """Return what clients have left at the connections that the next client may get, and close
    these.
    """
    left = list[str]()
    direct = await asyncpg.connect(server.direct_url())
    names = await direct.fetch(f"SELECT DISTINCT datname {_OF_TESTS}")
    for (name,) in names:
        left += await _left_in(server.url(name))
    await direct.execute(f"SELECT pg_terminate_backend(pid) {_OF_TESTS}")
    await direct.close()
    return left


async def _left_in(url: str) -> list[str]:
    """Take one connection of the server after the other, until one had to be opened for this."""
    left = list[str]()
    now = datetime.now(UTC)
    async with AsyncExitStack() as taken:
        while True:
            connection = await asyncpg.connect(url)
            taken.push_async_callback(connection.close)
            await connection.execute("BEGIN")
            if await connection.fetchval(_BEGUN) >= now:
                return left
            left += [found for (found,) in await connection.fetch(_LEFT, _TRACKED)]
