"""The import contracts of pyproject.toml catch a breach: each is broken on purpose in a copy."""

import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = "imports point down"
CORE = "core code imports no plugin"
PLUGINS = "plugins do not import each other"
LIBRARIES = "HTTP, database and terminal libraries stay in their rooms"

BREACHES = [
    ("watcher/polling/poller.py", "import watcher.delivery.dispatcher", {LAYERS}),
    ("watcher/core/tasks.py", "import watcher.telemetry.metrics", {LAYERS}),
    ("watcher/channels/webhook.py", "import watcher.delivery.dispatcher", {LAYERS}),
    ("watcher/helpers/__init__.py", "", {LAYERS}),
    ("watcher/delivery/dispatcher.py", "from watcher.channels import slack", {CORE}),
    ("watcher/daemon/maintenance.py", "import watcher.stores.sqlite", {CORE}),
    ("watcher/channels/webhook.py", "from watcher.channels import slack", {PLUGINS}),
    ("watcher/polling/poller.py", "import httpx", {LIBRARIES}),
    ("watcher/delivery/dispatcher.py", "import aiosqlite", {LIBRARIES}),
    ("watcher/configuration/plugins.py", "import click", {LIBRARIES}),
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(
        ROOT / "watcher", folder / "watcher", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def broken(folder: Path) -> set[str]:
    """Run import-linter in the folder; return the names of the contracts it reports as broken."""
    report = subprocess.run(
        ["lint-imports"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert "Contracts" in report.stdout, report.stdout + report.stderr
    contracts = {LAYERS, CORE, PLUGINS, LIBRARIES}
    assert all(name in report.stdout for name in contracts), report.stdout
    return {name for name in contracts if f"{name} BROKEN" in report.stdout}


def test_an_untouched_copy_keeps_every_contract(copy: Path) -> None:
    assert broken(copy) == set()


@pytest.mark.parametrize(("module", "line", "expected"), BREACHES)
def test_a_breach_is_caught(copy: Path, module: str, line: str, expected: set[str]) -> None:
    path = copy / module
    before = path.read_text() if path.exists() else None
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{line}\n{before or ''}")
    try:
        assert broken(copy) == expected
    finally:
        if before is None:
            shutil.rmtree(path.parent)
        else:
            path.write_text(before)


def test_the_contracts_list_every_plugin() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (listed,) = (item["modules"] for item in contracts["contracts"] if item["name"] == PLUGINS)
    rooms = ("sources", "channels", "stores")
    plugins = {
        f"watcher.{room}.{path.stem}"
        for room in rooms
        for path in (ROOT / "watcher" / room).iterdir()
        if not path.name.startswith("_")
    }
    assert set(listed) == plugins
