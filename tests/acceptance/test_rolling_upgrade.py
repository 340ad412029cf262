"""A rolling upgrade of daemons on PostgreSQL: the new program expands the schema beside the old
one, and contracts it when the old ones have ended.
"""

import os
import shutil
import signal
from pathlib import Path

import anyio
import asyncpg
import pytest

import watcher
from tests.acceptance.daemon import PATIENCE, Daemon, Site, add
from tests.support.postgresql import Server
from watcher.stores.postgresql.schema import migrations

pytestmark = pytest.mark.anyio

KNOWN = len(migrations())
MIGRATIONS = {
    f"{KNOWN + 1:04}_expand.sql": "-- serves: 1\nALTER TABLE watches ADD COLUMN added text;\n",
    f"{KNOWN + 2:04}_contract.sql": (
        f"-- serves: {KNOWN + 2}\nALTER TABLE watches DROP COLUMN added;\n"
    ),
}


_APART = "this replica has no session: "
NO_NEW_SESSIONS = """
CREATE FUNCTION no_session() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'no new sessions'; END $$;
CREATE TRIGGER no_session BEFORE INSERT ON sessions EXECUTE FUNCTION no_session();
"""


def newer_program(folder: Path) -> str:
    """Copy the program, with two more migrations; return the folder to import it from."""
    package = folder / "watcher"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(watcher.__file__).parent, package, ignore=ignored)
    for name, script in MIGRATIONS.items():
        (package / "stores" / "postgresql" / "migrations" / name).write_text(script)
    return str(folder)


async def deliver(site: Site, daemon: Daemon, task_id: str, count: int) -> None:
    """Add a task at a daemon, let it end, and wait until `count` tasks were delivered."""
    site.upstream.set(task_id, "COMPLETED")
    await add(daemon, task_id)
    await site.until_received("task.completed", count)


async def test_old_and_new_programs_share_the_store_until_the_old_ones_have_ended(
    site: Site, postgresql_server: Server, tmp_path: Path
) -> None:
    site.environ["WATCHER_STORE__URL"] = await postgresql_server.new_store()
    newer = newer_program(tmp_path / "newer")
    waits = f"migration {KNOWN + 2:04}_contract waits for the end of older replicas: "
    applied = f"migration {KNOWN + 2:04}_contract is applied"
    async with site.daemon() as old, site.daemon(PYTHONPATH=newer) as new:
        await site.until(lambda: any(waits in line for line in new.messages("info")))
        await deliver(site, old, "task_1", 1)
        await deliver(site, new, "task_2", 2)
        async with site.daemon() as restarted:
            await deliver(site, restarted, "task_3", 3)
            assert any("this one can use it" in line for line in restarted.messages("info"))
            assert await restarted.stop() == 0
        assert not any(applied in line for line in new.messages("info"))

        os.kill(old.process.pid, signal.SIGSTOP)
        await site.until(lambda: any(applied in line for line in new.messages("info")))
        os.kill(old.process.pid, signal.SIGCONT)
        assert await old.ended() == 2
        needed = f"which needs a watcher that knows version {KNOWN + 2} or later"
        assert needed in old.log[-1]
        rejected = await site.command(None, "run")
        assert rejected.returncode == 2
        assert needed in rejected.stderr.decode()
        await deliver(site, new, "task_4", 4)
        assert await new.stop() == 0
    assert site.sequences() == {f"task_{number}": [1] for number in (1, 2, 3, 4)}


async def test_a_daemon_ends_once_the_schema_is_not_for_it_any_more(
    site: Site, postgresql_server: Server
) -> None:
    site.environ["WATCHER_STORE__URL"] = url = await postgresql_server.new_store()
    async with site.daemon() as daemon:
        await deliver(site, daemon, "task_1", 1)
        await anyio.to_thread.run_sync(contract, postgresql_server, url)
        assert await daemon.ended() == 2
        assert "which needs a watcher that knows version 99 or later" in daemon.log[-1]


async def test_a_daemon_that_starts_while_the_schema_contracts_ends(
    site: Site, postgresql_server: Server
) -> None:
    site.environ["WATCHER_STORE__URL"] = url = await postgresql_server.new_store()
    connection = await asyncpg.connect(url)
    await connection.execute("BEGIN; LOCK TABLE sessions")
    async with site.daemon() as daemon:  # it has opened the store, and has no session yet
        await connection.execute("UPDATE watcher_schema SET version = 99, serves = 99; COMMIT")
        assert await daemon.ended() == 2
        assert "which needs a watcher that knows version 99 or later" in daemon.log[-1]
    await connection.close()


def contract(server: Server, url: str) -> None:
    """Let the schema be for a much later program."""
    statement = "UPDATE watcher_schema SET version = 99, serves = 99"
    server.run("psql", url, "-c", statement)


async def readiness(daemon: Daemon) -> tuple[int, str]:
    async with daemon.client() as client:
        alive, ready = await client.get("/healthz"), await client.get("/readyz")
    assert alive.status_code == 200
    return ready.status_code, ready.json()["status"]


async def test_a_replica_that_cannot_join_is_not_ready_while_the_others_are(
    site: Site, postgresql_server: Server
) -> None:
    site.environ["WATCHER_STORE__URL"] = url = await postgresql_server.new_store()
    connection = await asyncpg.connect(url)

    async def until_ready(daemon: Daemon) -> None:
        with anyio.fail_after(PATIENCE):
            while await readiness(daemon) != (200, "ok"):
                await anyio.sleep(0.05)

    async with site.daemon() as old:
        await until_ready(old)
        await connection.execute(NO_NEW_SESSIONS)
        async with site.daemon() as new:
            status, reason = await readiness(new)
            assert (status, _APART in reason) == (503, True)
            await site.until(lambda: any("no new sessions" in line for line in new.messages()))
            status, reason = await readiness(new)
            assert (status, _APART in reason, "no new sessions" in reason) == (503, True, True)
            await until_ready(old)
            await deliver(site, old, "task_1", 1)
            await connection.execute("DROP TRIGGER no_session ON sessions")
            await until_ready(new)
            assert await old.stop() == 0
            await deliver(site, new, "task_2", 2)
    await connection.close()
