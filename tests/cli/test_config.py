"""`watcher config`: what it checks, shows and prints."""

import json
from pathlib import Path

import pytest

from tests.cli.harness import run
from tests.support.records import SECRET

URL = "https://receiver.example/hidden"
CHANNEL = f"{{name: backend, type: webhook, url: '{URL}', secrets: [{SECRET}]}}"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A valid configuration."""
    monkeypatch.setenv("MIXPEEK_API_KEY", "sk_hidden")
    path = tmp_path / "watcher.yaml"
    path.write_text(f"channels: [{CHANNEL}]\n")
    return path


def test_a_valid_file_is_counted(file: Path) -> None:
    finished = run("config", "check", str(file))
    assert (finished.exit_code, finished.stdout.splitlines()) == (
        0,
        ["ok: 1 source, 1 channel, 0 routes", "channel backend (webhook): every event"],
    )
    assert run("config", "check", "-c", str(file)).stdout == finished.stdout


def test_a_file_without_a_channel_says_what_to_set(file: Path) -> None:
    file.write_text("log: {level: info}\n")
    finished = run("config", "check", str(file))
    assert (finished.exit_code, finished.stdout) == (0, "ok: 1 source, 0 channels, 0 routes\n")
    assert "no channel: nothing will be sent; set channels, WATCHER_SLACK_URL" in finished.stderr


def test_doubtful_settings_are_warnings(file: Path) -> None:
    file.write_text(f"{file.read_text()}routes: [{{channels: [backend], events: [task.failed]}}]\n")
    finished = run("config", "check", str(file))
    assert finished.exit_code == 0
    assert all(line.startswith("watcher: warning: ") for line in finished.stderr.splitlines())
    assert finished.stderr


def test_an_address_that_is_not_slacks_is_a_warning_and_not_shown(file: Path) -> None:
    channel = "{name: alerts, type: slack, url: 'https://chat.example/hidden'}"
    file.write_text(f"channels: [{channel}]\n")
    finished = run("config", "check", str(file))
    assert (finished.exit_code, finished.stdout.splitlines()) == (
        0,
        [
            "ok: 1 source, 1 channel, 0 routes",
            "channel alerts (slack): task.failed, task.canceled, task.completed_with_errors, "
            "task.lost, task.stalled, source.*, channel.*",
        ],
    )
    assert "warning: channel 'alerts': url is not an address of Slack" in finished.stderr
    assert "hidden" not in finished.stderr


def test_each_problem_is_a_line(file: Path) -> None:
    file.write_text("server: {prot: 1}\npolling: {min_interval: x}\n")
    for command in (["config", "check"], ["config", "show"], ["run"]):
        finished = run(*command, "-c", str(file))
        assert (finished.exit_code, finished.stdout) == (2, "")
        problems = finished.stderr.splitlines()
        assert len(problems) == 2
        assert any("polling.min_interval: invalid duration 'x'" in line for line in problems)
        assert any(
            line.endswith("watcher.yaml:1: server.prot: unknown key; did you mean 'port'?")
            for line in problems
        )


def test_a_live_check_tries_the_key(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIXPEEK_BASE_URL", "http://127.0.0.1:9")
    finished = run("config", "check", str(file), "--live")
    assert finished.exit_code == 1
    assert finished.stdout.splitlines()[-1] == "mixpeek: failed: connection refused"


def test_secrets_are_masked(file: Path) -> None:
    shown = run("config", "show", "-c", str(file))
    assert "base_url: https://api.mixpeek.com" in shown.stdout
    as_json = run("config", "show", "-c", str(file), "--json")
    assert json.loads(as_json.stdout)["channels"][0]["name"] == "backend"
    for output in (shown.stdout, as_json.stdout):
        assert "hidden" not in output
        assert SECRET not in output


def test_the_schema_is_printed() -> None:
    assert json.loads(run("config", "schema").stdout)["type"] == "object"
