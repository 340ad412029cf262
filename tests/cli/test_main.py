"""The installed command as a process: quick to start, and one line for each kind of error."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.harness import TOKEN, Harness, run
from tests.support.records import SECRET
from watcher import __version__

COMMAND = str(Path(sys.executable).with_name("watcher"))
CLEAN = {
    name: value for name, value in os.environ.items() if not name.startswith(("WATCHER", "MIXPEEK"))
}
NO_DAEMON = (
    "watcher: cannot connect to the watcher at http://127.0.0.1:9; start it with "
    "`watcher run`, or set --url"
)


def process(*arguments: str, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments],
        input=stdin,
        env={**CLEAN, **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def failed(code: int, *arguments: str, **environ: str) -> str:
    """Run a command that fails; return the one line on standard error."""
    done = process(*arguments, **environ)
    assert done.returncode == code, done
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.splitlines()
    return line


def test_help_imports_nothing_heavy() -> None:
    script = "import sys, watcher.cli.main; print([n for n in sys.modules if '.' not in n])"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    for heavy in ("pydantic", "fastapi", "aiohttp", "httpx", "rich", "msgspec", "anyio", "yaml"):
        assert f"'{heavy}'" not in loaded


def test_help_and_version_succeed() -> None:
    assert process("--version").stdout == f"watcher, version {__version__}\n"
    done = process("add", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: watcher add ")


@pytest.mark.parametrize("arguments", [[], ["channels"]])
def test_a_group_without_a_command_prints_its_help_and_exits_2(arguments: list[str]) -> None:
    finished = run(*arguments)
    assert (finished.exit_code, finished.stdout) == (2, "")
    assert finished.stderr.startswith("Usage: watcher ")


def test_each_kind_of_error_is_one_line_with_its_exit_code(tmp_path: Path) -> None:
    assert "No such command 'frobnicate'" in failed(2, "frobnicate")
    assert "Missing argument" in failed(2, "rm")
    for words, meant in (("pause slack", "channels pause"), ("check", "config check")):
        assert f"Did you mean `watcher {meant}`?" in failed(2, *words.split())
    assert failed(4, "ls", "--url", "http://127.0.0.1:9") == NO_DAEMON
    file = tmp_path / "watcher.yaml"
    file.write_text("server: {prot: 1}\n")
    assert "watcher.yaml:1: server.prot: unknown key; did you mean 'port'?" in failed(
        2, "run", "-c", str(file), MIXPEEK_API_KEY="sk_x"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["add", "t"],
        ["ls"],
        ["show", "t"],
        ["rm", "t"],
        ["wait", "t"],
        ["deliveries"],
        ["attempts", "1"],
        ["retry", "1"],
        ["replay", "--channel", "c", "--since", "1h"],
        ["purge", "--channel", "c", "--state", "failed", "--yes"],
        ["channels", "ls"],
        ["channels", "pause", "c"],
        ["channels", "resume", "c"],
        ["tasks"],
        ["batches", "b"],
        ["kill", "t", "--yes"],
        ["cancel-batch", "b", "c", "--yes"],
        ["status"],
        ["confirm-uploads", "b", "uploads.json"],
    ],
)
def test_without_a_daemon_every_command_exits_4(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "uploads.json").write_text(
        '[{"upload_id": "u", "etag": "e", "file_size_bytes": 1}]'
    )
    finished = run(*arguments, "--url", "http://127.0.0.1:9")
    assert (finished.exit_code, finished.stderr) == (4, f"{NO_DAEMON}\n")


@pytest.mark.parametrize(
    "url", ["http://[", "http://[::1", "ftp://127.0.0.1", "127.0.0.1:9", "", "http://a..b"]
)
def test_an_invalid_url_is_one_line(url: str) -> None:
    for arguments in (["ls"], ["wait", "t"]):
        finished = run(*arguments, "--url", url)
        assert finished.exit_code in (2, 4)
        assert finished.stderr.count("\n") == 1
        assert f"invalid URL {url!r}" in finished.stderr or f"watcher at {url}" in finished.stderr


def test_a_port_in_use_is_one_line_and_exit_2(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        line = failed(
            2,
            "run",
            MIXPEEK_API_KEY="sk_x",
            WATCHER_SERVER__PORT=str(port),
            WATCHER_STORE__URL=f"sqlite:///{tmp_path}/w.db",
            WATCHER_WEBHOOK_URL="http://127.0.0.1:9/",
            WATCHER_WEBHOOK_SECRETS=SECRET,
        )
    assert f"server: cannot listen on 127.0.0.1 port {port}" in line


def test_a_body_from_standard_input_is_signed_and_verified() -> None:
    body = json.dumps({"type": "task.failed"})
    signed = process("sign", stdin=body, WATCHER_WEBHOOK_SECRETS=SECRET).stdout
    headers = [part for line in signed.splitlines() for part in ("-H", line)]
    verified = process("verify", *headers, stdin=body, WATCHER_WEBHOOK_SECRETS=SECRET)
    assert (verified.returncode, verified.stdout) == (0, "ok: signed by secret 1\n")


@pytest.mark.parametrize("arguments", [["config", "schema"], ["ls", "--json"], ["ls"]])
def test_a_closed_pipe_ends_a_command_without_a_message(
    harness: Harness, arguments: list[str]
) -> None:
    environ = {**CLEAN, "WATCHER_URL": harness.url, "WATCHER_API_TOKEN": TOKEN}
    with subprocess.Popen(
        [COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ
    ) as started:
        assert started.stdout is not None
        assert started.stderr is not None
        started.stdout.close()
        assert (started.stderr.read(), started.wait()) == (b"", 1)


FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="this system has no full device")
@pytest.mark.parametrize("arguments", [["config", "schema"], ["healthcheck"], ["--help"]])
def test_output_that_cannot_be_written_is_one_line_and_exit_1(arguments: list[str]) -> None:
    with FULL.open("wb") as full:
        done = subprocess.run(
            [COMMAND, *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            env={**CLEAN, "WATCHER_URL": "http://127.0.0.1:9"},
            check=False,
        )
    error = b"watcher: cannot write the output: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, b"" if arguments == ["healthcheck"] else error)


def test_streams_may_be_closed_and_arguments_any_bytes() -> None:
    def shell(line: str) -> tuple[int, bytes]:
        done = subprocess.run(
            ["/bin/sh", "-c", line, COMMAND],
            env={**CLEAN, "WATCHER_URL": "http://127.0.0.1:9"},
            capture_output=True,
            check=False,
        )
        return done.returncode, done.stderr

    missing = b"watcher: missing task ID: standard input has none\n"
    not_utf8 = b"watcher: an argument or the input is not valid UTF-8\n"
    assert shell('"$0" --version >&- 2>&- <&-') == (0, b"")
    assert shell('"$0" wait --stdin <&-') == (2, missing)
    assert shell(r"""exec "$0" add "$(printf 't\377')" """) == (2, not_utf8)


def test_an_interrupt_at_any_moment_prints_no_traceback(harness: Harness) -> None:
    environ = {**CLEAN, "WATCHER_URL": harness.url, "WATCHER_API_TOKEN": TOKEN}
    script = (
        "import os, signal, sys, threading\n"
        "from watcher.__main__ import main\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == where: signal.raise_signal(signal.SIGINT)\n"
        "where = sys.argv.pop(1)\n"
        # What begins in the background of a shell ignores it.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "main()\n"
    )
    for module in ("watcher.cli.main", "watcher.cli.tables", "watcher.cli.client", "httpx._urls"):
        done = subprocess.run(
            [sys.executable, "-c", script, module, "ls"],
            env=environ,
            capture_output=True,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr.strip()) == (130, b"", b""), module
