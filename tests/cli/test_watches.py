"""`add`, `ls`, `show`, `rm` and `wait` against the real API."""

import json
from io import BytesIO, TextIOWrapper

import pytest

from tests.cli.harness import Harness, run


def test_tasks_are_added_listed_shown_and_removed(harness: Harness) -> None:
    assert harness.lines("add", "task_1", "task_2", "--label", "team=search") == [
        "2 added, 0 already watched"
    ]
    assert harness.lines("add", "task_2", "task_2", "task_3") == ["1 added, 1 already watched"]
    harness.record("task_1", "IN_PROGRESS", "FAILED")

    listed = harness.run("ls", "--label", "team=search").rows
    assert listed[0] == ["TASK_ID", "STATUS", "STATE", "TASK_TYPE", "CHANGED", "LABELS"]
    assert listed[1][:7] == ["task_2", "source", "is", "down:", "timeout", "active", "-"]
    assert listed[2][:4] == ["task_1", "FAILED", "done", "-"]
    assert listed[2][-1] == "team=search"
    assert [row[0] for row in harness.run("ls", "--state", "active").rows[1:]] == [
        "task_3",
        "task_2",
    ]
    (failed,) = json.loads(harness.run("ls", "--status", "FAILED", "--json").stdout)
    assert failed["task_id"] == "task_1"

    shown = harness.run("show", "task_1").rows
    assert ["status:", "FAILED"] in shown
    assert ["SEQUENCE", "PREVIOUS_STATUS", "STATUS", "AT", "EVENT_ID"] in shown
    assert [row[:3] for row in shown[-2:]] == [
        ["1", "-", "IN_PROGRESS"],
        ["2", "IN_PROGRESS", "FAILED"],
    ]
    assert len(json.loads(harness.run("show", "task_1", "--json").stdout)["transitions"]) == 2

    assert harness.lines("rm", "task_1", "task_2") == ["2 removed"]
    missing = harness.run("show", "task_1")
    assert (missing.exit_code, missing.stdout) == (4, "")
    assert missing.stderr.startswith("watcher: HTTP 404: ")


def test_a_task_that_has_ended_is_watched_again(harness: Harness) -> None:
    harness.lines("add", "task_1")
    harness.record("task_1", "FAILED")

    assert harness.lines("add", "--again", "task_1") == ["0 added, 1 already watched"]
    assert [row[:3] for row in harness.run("ls").rows[1:]] == [["task_1", "FAILED", "active"]]


def test_added_tasks_are_printed_as_json(harness: Harness) -> None:
    (watch,) = json.loads(harness.run("add", "t", "--namespace", "ns_9", "--json").stdout)
    assert (watch["task_id"], watch["namespace"], watch["source"]) == ("t", "ns_9", "mixpeek")


def given(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Give the next command this standard input, in an encoding that does not matter."""
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(content), encoding="ascii"))


@pytest.mark.parametrize(
    "content",
    [
        b"task_1\r\ntask_\xc3\xa9\r\n\r\ntask_1\r\n",
        b"\xef\xbb\xbftask_1\n task_\xc3\xa9\t",
        "\ufefftask_1\ntask_é\n".encode("utf-16-le"),
    ],
)
def test_a_wait_reads_ids_as_other_systems_write_them(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    harness.lines("add", "task_1", "task_é")
    harness.record("task_1", "COMPLETED")
    harness.record("task_é", "FAILED")
    given(monkeypatch, content)
    finished = harness.run("wait", "--stdin", "--timeout", "60s")
    assert finished.exit_code == 1
    assert finished.rows[1:] == [["task_1", "COMPLETED"], ["task_é", "FAILED"]]


@pytest.mark.parametrize("command", ["add", "wait"])
@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "missing task ID: standard input has none"),
        (b"\r\n \n", "missing task ID: standard input has none"),
        (b"good\n\na/b\n", "standard input, line 3: an ID contains no slash, and is not . or .."),
        (b"good\n..\n", "standard input, line 2: an ID contains no slash, and is not . or .."),
        (b"one two\n", "standard input, line 1: an ID has visible characters only, and no spaces"),
        (b"x" * 257, "standard input, line 1: an ID has 1 to 256 characters"),
        (b"good\n\xff\n", "standard input is not valid UTF-8"),
    ],
)
def test_a_broken_list_of_ids_adds_nothing(
    monkeypatch: pytest.MonkeyPatch, command: str, content: bytes, error: str
) -> None:
    given(monkeypatch, content)
    finished = run(command, "--stdin", "--url", "http://127.0.0.1:9")
    assert (finished.exit_code, finished.stderr) == (2, f"watcher: {error}\n")


def test_unknown_ids_are_named_and_the_others_removed(harness: Harness) -> None:
    harness.lines("add", "a", "b")
    finished = harness.run("rm", "x", "a", "a", "b", "y")
    assert (finished.exit_code, finished.stdout) == (1, "2 removed\n")
    assert [line.split(":")[1] for line in finished.stderr.splitlines()] == [" x", " y"]
    assert harness.run("ls").rows[1:] == []
    single = harness.run("rm", "x")
    assert (single.exit_code, single.stderr.count("\n")) == (1, 1)
    assert "'x' is not watched" in single.stderr


def test_ls_selects_by_type_batch_text_error_and_time(harness: Harness) -> None:
    harness.lines("add", "task_1", "other_1")
    harness.record("task_1", "FAILED")
    for options, found in (
        (("--search", "TASK"), ["task_1"]),
        (("--search", "_1", "--state", "active"), ["other_1"]),
        (("--batch", "batch_1"), []),
        (("--type", "api_*"), []),
        (("--error", ""), ["other_1", "task_1"]),
        (("--error", "x" * 500), []),
        (("--since", "1h", "--status", "FAILED"), ["task_1"]),
        (("--since", "2999-01-01T00:00:00Z"), []),
    ):
        items = json.loads(harness.run("ls", *options, "--json").stdout)
        assert [item["task_id"] for item in items] == found, options


def test_show_of_an_unwatched_task_names_the_command_that_watches_it(harness: Harness) -> None:
    finished = harness.run("show", "x")
    assert (finished.exit_code, finished.stdout) == (4, "")
    assert finished.stderr == "watcher: HTTP 404: 'x' is not watched; to watch it: watcher add x\n"


def test_ls_prints_a_limited_number_of_items(harness: Harness) -> None:
    harness.lines("add", *(f"t{number}" for number in range(150)))
    assert len(harness.lines("ls")) == 151
    assert len(json.loads(harness.run("ls", "--limit", "0", "--json").stdout)) == 150
    newest = [item["task_id"] for item in json.loads(harness.run("ls", "--json").stdout)]
    for limit in (1, 100, 101, 1000):
        assert [row[0] for row in harness.run("ls", "--limit", str(limit)).rows[1:]] == newest[
            :limit
        ]


def test_ids_are_read_from_standard_input(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(monkeypatch, b"task_1\n\n  task_2  \ntask_1\n")
    assert harness.lines("add", "task_3", "--stdin") == ["3 added, 0 already watched"]


def test_many_tasks_show_the_progress_on_a_terminal(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(monkeypatch, "\n".join(f"t{n}" for n in range(1500)).encode())
    finished = harness.run("add", "--stdin", terminal=True)
    assert finished.stderr == "\r1000 of 1500 tasks\r1500 of 1500 tasks\n"
    assert finished.stdout == "1500 added, 0 already watched\n"


def test_an_id_at_two_sources_needs_the_source(harness: Harness) -> None:
    harness.lines("add", "t")
    harness.lines("add", "t", "--source", "other")
    ambiguous = harness.run("show", "t")
    assert (ambiguous.exit_code, "HTTP 409" in ambiguous.stderr) == (4, True)
    assert "source:         other" in harness.lines("show", "t", "--source", "other")
    assert harness.lines("rm", "t", "--source", "other") == ["1 removed"]


def test_rejected_entries_are_one_error(harness: Harness) -> None:
    finished = harness.run("add", "good", "a/b")
    assert finished.exit_code == 4
    assert "task_id" in finished.stderr
    assert finished.stderr.count("\n") == 1
    assert harness.run("ls").rows[1:] == []


@pytest.mark.parametrize(
    ("statuses", "exit_code"),
    [(["COMPLETED"], 0), (["IN_PROGRESS", "FAILED"], 1)],
)
def test_a_wait_ends_with_its_tasks(harness: Harness, statuses: list[str], exit_code: int) -> None:
    harness.record_once_added("task_1", *statuses)
    finished = harness.run("wait", "task_1", "--timeout", "60s")
    assert finished.exit_code == exit_code
    assert finished.rows == [["TASK_ID", "STATUS"], ["task_1", statuses[-1]]]
    assert finished.stderr.splitlines()[-1] == f"task_1 {statuses[-1]}"


def test_a_wait_for_ended_tasks_returns_at_once(harness: Harness) -> None:
    harness.lines("add", "task_1")
    harness.record("task_1", "COMPLETED")
    finished = harness.run("wait", "task_1", "--json", terminal=True)
    assert finished.exit_code == 0
    assert json.loads(finished.stdout) == [{"task_id": "task_1", "status": "COMPLETED"}]


def test_a_wait_gives_up_after_its_timeout(harness: Harness) -> None:
    finished = harness.run("wait", "a", "b", "--timeout", "1ms")
    assert finished.exit_code == 124
    assert finished.stderr == "watcher: timeout; 2 tasks have not ended\n"
    assert finished.rows[1:] == [["a", "-"], ["b", "-"]]


def test_a_wrong_token_says_which_variable_to_set(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WATCHER_API_TOKEN")
    for arguments in (["ls"], ["wait", "t"]):
        finished = harness.run(*arguments)
        assert finished.exit_code == 4
        assert finished.stderr == (
            "watcher: authentication required: name its configuration with -c, or set "
            "WATCHER_API_TOKEN\n"
        )


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["add"], "missing task ID: pass at least one, or use --stdin"),
        (["add", "t", "--label", "x"], "invalid --label 'x'; expected K=V"),
        (["add", "t", "--label", "=x"], "invalid --label '=x'; expected K=V"),
        (["wait", "t", "--timeout", "soon"], "invalid duration"),
        (["ls", "--state", "asleep"], "'asleep' is not one of 'active', 'done'"),
        (["rm"], "Missing argument 'ID…'"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(arguments: list[str], error: str) -> None:
    finished = run(*arguments)
    assert (finished.exit_code, finished.stdout) == (2, "")
    assert finished.stderr.startswith("watcher: ")
    assert error in finished.stderr
    assert finished.stderr.count("\n") == 1
