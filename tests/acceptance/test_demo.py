"""The first thing a newcomer sees."""

import subprocess

from tests.acceptance.daemon import COMMAND
from watcher.cli.demo.script import TASK_IDS, scenes


def test_the_demo_shows_everything_and_ends_well() -> None:
    done = subprocess.run(
        [COMMAND, "demo"], capture_output=True, text=True, timeout=90, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert f"{len(TASK_IDS)} of {len(TASK_IDS)} polled" in done.stdout
    assert done.stdout.count("signature verified\n") == len(scenes()) - len(TASK_IDS)
    for shown in (
        "Task failed: task_catalogue_2",
        "7 of 240 failed",
        "Task canceled",
        "1 FAILED",
        "\x1b",
    ):
        assert (shown in done.stdout) == (shown != "\x1b")
