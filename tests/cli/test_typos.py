"""Typing errors in what commands select."""

import click
import pytest

from tests.cli.harness import Harness, run
from watcher.cli.options import check_statuses


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("ls", "--status", "FAILD"), "--status: unknown status 'FAILD'; did you mean 'FAILED'?"),
        (
            ("replay", "--channel", "backend", "--since", "1h", "--status", "COMPLETD"),
            "--status: unknown status 'COMPLETD'; did you mean 'COMPLETED'?",
        ),
        (("ls", "--status", ""), "--status: no task has the status ''"),
    ],
)
def test_a_status_that_is_close_to_a_known_one_is_a_usage_error(
    harness: Harness, arguments: tuple[str, ...], error: str
) -> None:
    done = harness.run(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert error in done.stderr


def test_another_unknown_status_is_a_warning(harness: Harness) -> None:
    done = harness.run("ls", "--status", "WAITING_FOR_GPU")
    assert (done.exit_code, len(done.rows)) == (0, 1)
    assert done.stderr == "watcher: warning: --status: unknown status 'WAITING_FOR_GPU'\n"


def test_a_status_that_a_task_has_is_right_whatever_it_looks_like(
    capsys: pytest.CaptureFixture[str],
) -> None:
    check_statuses(["stopped", "FAILED"], lambda: ["STOPPED"])
    with pytest.raises(click.UsageError, match="did you mean 'SKIPPED'"):
        check_statuses(["stopped"], lambda: [])
    with pytest.raises(click.UsageError, match="did you mean 'STOPPED'"):
        check_statuses(["stoppet"], lambda: ["STOPPED"])
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        ("--event", "task.faild", "did you mean 'task.failed'?"),
        ("--event", "sources.recovered", "did you mean 'source.recovered'?"),
        ("--status", "FAILD", "did you mean 'FAILED'?"),
    ],
)
def test_routes_test_names_what_may_be_meant(option: str, value: str, error: str) -> None:
    done = run("routes", "test", option, value)
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"{option}: " in done.stderr
    assert error in done.stderr
