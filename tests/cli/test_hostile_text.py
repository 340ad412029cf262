"""Text of others on a terminal: no command prints a live control character of it, or a line more.

The daemon is a hostile one, which answers every request with the same fields.
"""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.cli.harness import Finished, run

TEXT = (
    "a\x1b]8;;http://evil\x1b\\link\x1b]8;;\x07\x1b[35;7mb\x1b[2J\r\nwatcher: forged\x9b1A\u202e"
    "\u2028\u2029\x85\u200b\ufeff[bold red]m[/][link=http://evil]n[/link]\U000e0041\x00"
)
FIELDS = (
    *("task_id", "status", "state", "task_type", "error_message", "message", "name", "type"),
    *("reason", "channel", "last_error", "event_id", "previous_status", "error", "answer", "at"),
    *("namespace", "source", "batch_id", "detail", "number", "duration"),
)
ITEM: Mapping[str, Any] = {
    **dict.fromkeys(FIELDS, TEXT),
    "labels": {TEXT: TEXT},
    "terminal": True,
    "lost_at": None,
    "changed_at": None,
    "since": None,
    "created_at": "2026-11-23T07:00:00Z",
    "sent": 1,
    "confirmations_count": 1,
}
ANSWER = {
    **ITEM,
    **{name: [ITEM] for name in ("items", "transitions", "history", "requests")},
    **dict.fromkeys(("added", "existing", "pending", "queued", "purged"), 1),
    "next_cursor": None,
}
ARGUMENT = TEXT.replace("\x00", "")  # no argument can hold it
COMMANDS = [
    *(["add", "t"], ["add", "t", "--json"], ["ls"], ["ls", "--json"], ["show", "t"]),
    *(["show", "t", "--json"], ["rm", "t"], ["rm", "t", "u"], ["wait", "t", "--timeout", "100ms"]),
    *(["deliveries"], ["deliveries", "--json"], ["attempts", "1"], ["retry", "1", "2"]),
    *(["channels", "ls"], ["channels", "pause", ARGUMENT], ["channels", "resume", "c"]),
    *(["replay", "--channel", ARGUMENT, "--since", "1h"], ["tasks"], ["tasks", "--json"]),
    *(["batches", "b"], ["kill", "t", "--yes"], ["cancel-batch", "b", "c", "--yes"]),
    *(["replay", "--channel", "c", "--since", ARGUMENT], [ARGUMENT], ["ls", f"--{ARGUMENT}"]),
    *(["add", ARGUMENT], ["run", "-c", ARGUMENT], ["config", "check", ARGUMENT]),
    *(["tasks", "--filters", ARGUMENT], ["ls", "--label", ARGUMENT], ["attempts", ARGUMENT]),
    *(["wait", "t", "--timeout", ARGUMENT], ["verify", ARGUMENT], ["sign", ARGUMENT]),
    *(["channels", "test", ARGUMENT], ["add", "\udcff"], ["confirm-uploads", "b", ARGUMENT]),
    ["healthcheck", "--url", f"http://{ARGUMENT}"],
]


OWN = re.compile(r"\r?(\x1b\[([0-9;]*m|1A|2K|\?25[lh]))+\r?")
"""Colours of rich and click, and how the bar of `wait` moves the cursor."""


class Hostile(BaseHTTPRequestHandler):
    status = 200

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", "0")))
        body = json.dumps(ANSWER).encode()
        self.send_response(self.status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = answer  # noqa: N815  # http.server's names

    def log_message(self, *_: object) -> None:
        pass


class Rejecting(Hostile):
    status = 409


@pytest.fixture(scope="module", params=[Hostile, Rejecting])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), request.param)
    Thread(target=server.serve_forever, args=(0.01,)).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def assert_harmless(finished: Finished) -> None:
    for stream in (finished.stdout, finished.stderr):
        assert "\x1b[35;7m" not in stream
        text = OWN.sub("", stream)
        live = [
            char
            for char in text
            if char != "\n" and unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        ]
        assert not live, finished
        assert "\nwatcher: forged" not in stream
        assert "Traceback" not in stream


@pytest.mark.parametrize("terminal", [False, True])
def test_no_command_prints_a_live_control_character(
    url: str, terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHER_URL", url)
    printed = ""
    for arguments in COMMANDS:
        finished = run(*arguments, terminal=terminal)
        assert_harmless(finished)
        printed += finished.stdout + finished.stderr
    assert "forged" in printed  # the text itself was shown


def test_json_has_the_same_value_with_escapes(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHER_URL", url)
    finished = run("ls", "--json")
    if finished.exit_code == 0:
        assert json.loads(finished.stdout)[0]["error_message"] == TEXT
        assert "\\u202e" in finished.stdout
    else:
        assert len(finished.stderr.splitlines()) == 1


def test_what_a_configuration_holds_is_escaped(tmp_path: Path) -> None:
    file = tmp_path / "watcher.yaml"
    file.write_text(json.dumps({"sources": [{"api_key": "k" * 16, TEXT: 1}], TEXT: TEXT}))
    assert_harmless(run("config", "check", str(file)))
    labels = {"list": "tasks", "labels": {"a": TEXT}}
    file.write_text(json.dumps({"sources": [{"api_key": "k" * 16}], "discovery": [labels]}))
    shown = run("config", "show", "-c", str(file))
    assert shown.exit_code == 0
    assert_harmless(shown)
    assert "\\u202E" in shown.stdout


def test_one_id_that_fails_does_not_stop_the_others(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHER_URL", url)
    finished = run("rm", "t", "u")
    if finished.exit_code == 0:
        assert finished.stdout == "2 removed\n"
    else:
        assert (finished.exit_code, finished.stdout) == (1, "0 removed\n")
        assert [line[:12] for line in finished.stderr.splitlines()] == [
            "watcher: t: ",
            "watcher: u: ",
        ]
