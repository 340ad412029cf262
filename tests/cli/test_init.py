"""`watcher init`: what it writes, and what it never replaces."""

import shlex
from pathlib import Path

import pytest

from tests.cli.harness import Terminal, run
from watcher.cli.main import cli
from watcher.configuration import loader

ENVIRON = {"MIXPEEK_API_KEY": "sk_made_up"}


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_the_configuration_is_valid_with_the_key_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "new folder" / "watcher.yaml"
    done = run("init", str(file))
    assert (done.exit_code, done.stderr) == (0, "")
    names = ["watcher-api-token", "watcher-signing-secret", "watcher.yaml"]
    assert sorted(path.name for path in file.parent.iterdir()) == names
    assert {mode(path) for path in file.parent.iterdir()} == {0o600}

    settings = loader.load(file, {**ENVIRON, "HOME": str(tmp_path)})
    assert settings.server.api_token is not None
    assert len(settings.server.api_token.get_secret_value()) >= 32
    monkeypatch.setenv("MIXPEEK_API_KEY", "sk_made_up")
    checked = run("config", "check", str(file))
    assert checked.exit_code == 0
    assert str(tmp_path) not in checked.stderr  # no warning of a file's rights


def test_its_examples_are_valid_too(tmp_path: Path) -> None:
    file = tmp_path / "watcher.yaml"
    run("init", str(file))
    lines = file.read_text().splitlines()
    start = lines.index("  # - name: backend")
    shown = [line.replace("# ", "", 1) for line in lines[start : start + 4]]
    file.write_text("\n".join([*lines[:start], *shown, *lines[start + 4 :]]))
    (channel,) = loader.load(file, {**ENVIRON, "HOME": str(tmp_path)}).channels
    assert (channel.name, channel.type) == ("backend", "webhook")


def test_the_next_three_commands_exist(tmp_path: Path) -> None:
    file = tmp_path / "with space.yaml"
    lines = run("init", str(file)).stdout.splitlines()
    commands = [shlex.split(line) for line in lines if line.startswith("  watcher ")]
    assert len(commands) == 3
    for name, *words in commands:
        assert name == "watcher"
        assert words[0] in cli.commands
        assert str(file) in words


@pytest.mark.parametrize("name", ["watcher.yaml", "watcher-api-token", "watcher-signing-secret"])
def test_nothing_is_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to("/nowhere")
    done = run("init", str(tmp_path / "watcher.yaml"))
    assert (done.exit_code, f"{name} exists" in done.stderr) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_where_nothing_can_be_written_nothing_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("init", str(tmp_path / "file" / "watcher.yaml"))
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("reply", "urls"),
    [("\n", []), ("ftp://x\nhttps://hook.example/a\n", ["https://hook.example/a"])],
)
def test_a_terminal_prompts_for_the_webhook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reply: str, urls: list[str]
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(reply))
    file = tmp_path / "watcher.yaml"
    assert run("init", str(file)).exit_code == 0
    channels = loader.load(file, {**ENVIRON, "HOME": str(tmp_path)}).channels
    assert [channel.model_dump()["url"].get_secret_value() for channel in channels] == urls
