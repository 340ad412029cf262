"""`watcher backup`."""

from pathlib import Path

import pytest

from tests.cli.harness import run
from watcher.stores.sqlite import create

pytestmark = pytest.mark.anyio


async def test_the_store_of_the_configuration_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIXPEEK_API_KEY", "sk_hidden")
    monkeypatch.setenv("WATCHER_STORE__URL", f"sqlite:///{tmp_path}/watcher.db")
    copy = tmp_path / "copy.db"
    missing = run("backup", str(copy))
    assert missing.exit_code == 2
    assert "there is no store to copy" in missing.stderr
    async with create(f"sqlite:///{tmp_path}/watcher.db"):
        finished = run("backup", str(copy))
    assert finished.exit_code == 0
    assert finished.stdout.startswith("copied ")
    assert copy.is_file()


def test_a_database_of_a_server_is_copied_with_its_own_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MIXPEEK_API_KEY", "sk_hidden")
    monkeypatch.setenv("WATCHER_STORE__URL", "postgresql://me:hidden@h/db")
    finished = run("backup", "a copy")
    assert finished.exit_code == 2
    assert finished.stderr.endswith("pg_dump --format=custom --file='a copy' postgresql://h/db\n")
