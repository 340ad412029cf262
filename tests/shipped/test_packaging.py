"""Compose, the systemd unit and the manual page: each is used as its text says."""

import os
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.shipped.tools import ROOT, run, tool
from watcher.cli.main import cli
from watcher.configuration import checks, loader

OFFLINE = {"PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
"""With `PYTHONPATH`: pip takes what is installed here, so that nothing is downloaded. Its option
`no-build-isolation` takes the opposite from a variable.
"""
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["watcher"]
FLEET = yaml.safe_load((ROOT / "compose.fleet.yaml").read_text())["services"]
MANUAL = ROOT / "docs/watcher.1"


def test_compose_starts_from_an_env_file_of_two_lines() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    variables = dict(line.split("=", 1) for line in lines)
    assert len(lines) == 2
    assert COMPOSE["env_file"] == ".env"
    settings = loader.load(None, {**variables, **COMPOSE["environment"], "HOME": "/"})
    assert [channel.name for channel in settings.channels] == ["slack"]
    assert checks.warnings(settings) == []


def test_the_fleet_is_the_same_service_thrice_on_one_database() -> None:
    watcher, database = FLEET["watcher"], FLEET["postgresql"]
    assert {
        name for name in COMPOSE.keys() | watcher.keys() if COMPOSE.get(name) != watcher.get(name)
    } == {
        "deploy",
        "depends_on",
        "environment",
        "ports",
        "volumes",
    }
    assert watcher["environment"]["WATCHER_STORE__URL"].startswith("postgresql://watcher:")
    assert watcher["deploy"] == {"replicas": 3}
    assert database["environment"]["POSTGRES_USER"] == "watcher"
    _, ports, _ = watcher["ports"][0].split(":")
    first, last = map(int, ports.split("-"))
    assert last - first + 1 == 3


@pytest.mark.parametrize("service", [COMPOSE, FLEET["watcher"]])
def test_compose_makes_no_folder_of_a_missing_file(service: dict[str, Any]) -> None:
    binds = [mount for mount in service["volumes"] if not isinstance(mount, str)]
    assert binds
    assert all(mount["bind"] == {"create_host_path": False} for mount in binds)
    for mount in binds:  # a clone has it, so it is never missing
        assert run("git", "ls-files", mount["source"], cwd=ROOT).stdout, mount["source"]
    named = [mount for mount in service["volumes"] if isinstance(mount, str)]
    assert not [mount for mount in named if mount.startswith((".", "/"))]


@pytest.mark.parametrize("path", [".env", "secrets/mixpeek-api-key", "config/watcher.yaml"])
def test_git_ignores_what_a_deployment_adds(path: str) -> None:
    run("git", "check-ignore", "--no-index", path, cwd=ROOT)


def test_the_lines_above_the_unit_install_it(tmp_path: Path) -> None:
    text = (ROOT / "config/examples/watcher.service").read_text()
    lines = re.findall(r"^#   ((?!api_key_file).+)", text, re.MULTILINE)
    *lines, reload, start = lines
    assert reload == "systemctl daemon-reload"
    assert start == "systemctl enable --now watcher"
    folder, root = tmp_path / "clone", tmp_path / "root"
    (root / "opt").mkdir(parents=True)
    for name in ("config", "docs", "watcher", "pyproject.toml", "README.md", "LICENSE"):
        folder.mkdir(exist_ok=True)
        (folder / name).symlink_to(ROOT / name)
    (setting,) = re.findall(r"^#   (api_key_file: .+)", text, re.MULTILINE)
    (folder / "watcher.yaml").write_text(f"sources: [{{{setting}}}]\n")
    (folder / "mixpeek-api-key").write_text("sk_made_up")

    packages = next(path for path in sys.path if path.endswith("site-packages"))
    environ = {**os.environ, **OFFLINE, "PYTHONPATH": packages}
    # Paths of the system become paths of a root of our own.
    script = "\n".join(re.sub(r"(^| )/", rf"\1{root}/", line) for line in lines)
    run("bash", "-euc", script, cwd=folder, env=environ)

    installed = {
        str(path.relative_to(root)): oct(path.stat().st_mode & 0o777)
        for path in (root / "etc").rglob("*")
        if path.is_file()
    }
    assert installed == {
        "etc/systemd/system/watcher.service": "0o644",
        "etc/watcher/watcher.yaml": "0o644",
        "etc/watcher/mixpeek-api-key": "0o600",
    }
    program = root / "opt/watcher/bin/watcher"
    assert f"ExecStart=/{program.relative_to(root)} run" in text
    assert run(program, "--version", env=environ).stdout.startswith("watcher, version ")
    assert (root / "opt/watcher/share/man/man1/watcher.1").is_file()
    credential = setting.partition(": ")[2]
    name = Path(credential).name
    assert f"\nLoadCredential={name}:/etc/watcher/{name}\n" in text
    assert credential == f"/run/credentials/watcher.service/{name}"


def test_roff_finds_nothing_in_the_manual_page() -> None:
    said = run(tool("groff"), "-man", "-ww", "-Tutf8", "-z", MANUAL)
    assert said.stdout + said.stderr == ""


def test_man_shows_every_command() -> None:
    shown = run(tool("man"), "-l", MANUAL, env={**os.environ, "MANWIDTH": "200"}).stdout
    for name in cli.commands:
        assert re.search(rf"^ +watcher {name}\b", shown, re.MULTILINE), name
    assert max(map(len, shown.splitlines())) <= 200


def test_the_wheel_brings_the_manual_page(tmp_path: Path) -> None:
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path, cwd=ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as files:
        (page,) = [name for name in files.namelist() if name.endswith("/share/man/man1/watcher.1")]
        assert files.read(page) == MANUAL.read_bytes()
