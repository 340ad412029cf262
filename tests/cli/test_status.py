"""`watcher status`."""

import json

from tests.cli.harness import Harness


def test_the_status_is_one_screen_and_exits_1_if_something_needs_attention(
    harness: Harness,
) -> None:
    finished = harness.run("status")
    assert finished.exit_code == 1
    lines = finished.stdout.splitlines()
    assert lines[0].startswith("watcher ")
    assert lines[2] == "1 thing needs attention:"
    assert lines[3].startswith("  source mixpeek is down (timeout); 3 active tasks (")
    assert lines[3].endswith("): watcher config check --live")
    assert "0 transitions in the last hour" in finished.stdout
    assert ["mixpeek", "down", "timeout"] in [row[:3] for row in finished.rows]
    shown = harness.run("status", "--json")
    assert (shown.exit_code, len(json.loads(shown.stdout)["attention"])) == (1, 1)
