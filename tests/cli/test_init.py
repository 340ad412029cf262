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


HOOK, SLACK = "https://hook.example/a", "https://hooks.slack.com/services/T0/B0/x"


@pytest.mark.parametrize(
    ("reply", "urls"),
    [
        ("\n\n", []),
        (f"ftp://x\n{HOOK}\n\n", [HOOK]),
        (f"\nhooks.slack.com\n{SLACK}\n", [SLACK]),
        (f"{HOOK}\n{SLACK}\n", [HOOK, SLACK]),
    ],
)
def test_a_terminal_prompts_for_the_urls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reply: str, urls: list[str]
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(reply))
    file = tmp_path / "watcher.yaml"
    assert run("init", str(file)).exit_code == 0
    assert channel_urls(file) == urls


def channel_urls(file: Path) -> list[str]:
    settings = loader.load(file, {**ENVIRON, "HOME": str(file.parent)})
    return [channel.model_dump()["url"].get_secret_value() for channel in settings.channels]


def test_options_take_the_place_of_the_prompts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(""))  # would abort a prompt
    file, key = tmp_path / "watcher.yaml", tmp_path / "key"
    key.write_text("sk_made_up\n")
    done = run(
        "init",
        str(file),
        *("--webhook-url", HOOK, "--slack-url", SLACK, "--base-url", "https://api.example"),
        *("--namespace", 'one: "two" #3', "--api-key-file", str(key), "--discover"),
    )
    assert (done.exit_code, done.stderr) == (0, "")
    assert "MIXPEEK_API_KEY" not in done.stdout
    assert channel_urls(file) == [HOOK, SLACK]
    settings = loader.load(file, {"HOME": str(tmp_path)})
    (source,) = settings.sources
    written = source.model_dump()
    assert written["namespace"] == 'one: "two" #3'
    assert written["base_url"] == "https://api.example"
    assert len(settings.discovery) == 1
    # The URL of a Slack webhook is a secret: only its file has it.
    assert SLACK not in file.read_text()
    assert mode(tmp_path / "watcher-slack-webhook") == 0o600


@pytest.mark.parametrize(
    "options",
    [
        ["--webhook-url", "x"],
        ["--webhook-url", ""],
        ["--webhook-url", "http://hook.example/a"],
        ["--webhook-url", "https://user:password@hook.example/a"],
        ["--slack-url", "http://hooks.slack.com/services/T0/B0/x"],
        ["--slack-url", "x y"],
        ["--base-url", "api.example"],
        ["--namespace", ""],
        ["--namespace", "a\nb"],
        ["--namespace", "Umlaut: ü"],
        ["--api-key-file", "/nowhere"],
    ],
)
def test_what_the_daemon_would_not_take_is_not_written(tmp_path: Path, options: list[str]) -> None:
    done = run("init", str(tmp_path / "watcher.yaml"), *options)
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1), done
    assert "password" not in done.stderr
    assert [*tmp_path.iterdir()] == []
