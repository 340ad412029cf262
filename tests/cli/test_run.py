"""`watcher healthcheck`, and `watcher run` in this process."""

from pathlib import Path

import pytest

from tests.cli.harness import Harness, harness_in, run


def test_a_served_daemon_is_alive(harness: Harness) -> None:
    finished = harness.run("healthcheck")
    assert (finished.exit_code, finished.stdout) == (0, f"{harness.url}: ok: ok\n")


def test_without_a_daemon_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIXPEEK_API_KEY", "sk_made_up")
    monkeypatch.setenv("WATCHER_SERVER__PORT", "9")
    finished = run("healthcheck")
    assert finished.exit_code == 1
    assert finished.stdout == "http://127.0.0.1:9: failed: cannot connect to the watcher\n"


def test_an_unknown_port_needs_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIXPEEK_API_KEY", "sk_made_up")
    monkeypatch.setenv("WATCHER_SERVER__PORT", "0")
    finished = run("healthcheck")
    assert (finished.exit_code, "set --url" in finished.stderr) == (2, True)


def test_a_url_of_something_else_is_not_a_watcher(tmp_path: Path) -> None:
    with harness_in(tmp_path) as harness:
        url = f"{harness.url}/openapi.json?"
        finished = run("healthcheck", "--url", url)
    assert (finished.exit_code, finished.stdout) == (1, f"{url}: failed: not a watcher API\n")
