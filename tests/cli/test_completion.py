"""Completion scripts, and the words that they complete."""

import pytest

from tests.cli.harness import run
from watcher.cli.main import cli


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script_that_calls_the_command(shell: str) -> None:
    done = run("completion", shell)
    assert (done.exit_code, done.stderr) == (0, "")
    assert f"_WATCHER_COMPLETE={shell}_complete" in done.stdout
    assert "watcher" in done.stdout


def test_another_shell_is_a_usage_error() -> None:
    done = run("completion", "tcsh")
    assert (done.exit_code, done.stdout) == (2, "")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("watcher ch", {"channels"}),
        ("watcher channels re", {"resume"}),
        ("watcher deliveries --state f", {"failed"}),
        ("watcher retry --chan", {"--channel"}),
        ("watcher ", set(cli.commands)),
    ],
)
def test_words_are_completed(line: str, words: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_WATCHER_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
    done = run()
    assert {item.partition(",")[2] for item in done.stdout.split()} == words
    assert done.stderr == ""
