"""The command line: quick to start, clear when it is used wrongly."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.records import SECRET

COMMAND = str(Path(sys.executable).with_name("watcher"))
CLEAN = {
    name: value for name, value in os.environ.items() if not name.startswith(("WATCHER", "MIXPEEK"))
}


def run(*arguments: str, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments],
        input=stdin,
        env={**CLEAN, **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def failed(code: int, *arguments: str, **environ: str) -> str:
    """The one line on standard error."""
    done = run(*arguments, **environ)
    assert done.returncode == code, done
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.splitlines()
    return line


def test_help_imports_nothing_heavy() -> None:
    script = "import sys, watcher.cli; print([name for name in sys.modules if '.' not in name])"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    for heavy in ("pydantic", "fastapi", "aiohttp", "httpx", "rich", "msgspec", "anyio", "yaml"):
        assert f"'{heavy}'" not in loaded


@pytest.mark.parametrize(
    "command",
    [
        *(
            "run",
            "healthcheck",
            "demo",
            "add",
            "ls",
            "show",
            "rm",
            "wait",
            "deliveries",
            "retry",
            "replay",
            "purge",
            "attempts",
            "channels",
            "config",
        ),
        *(
            "tasks",
            "batches",
            "cancel-batch",
            "confirm-uploads",
            "kill",
            "sign",
            "verify",
            "routes",
        ),
    ],
)
def test_every_command_has_help(command: str) -> None:
    done = run(command, "--help")
    assert done.returncode == 0
    assert "Usage: watcher" in done.stdout


def test_a_daemon_that_is_not_there_is_not_healthy() -> None:
    done = run("healthcheck", MIXPEEK_API_KEY="sk", WATCHER_SERVER__PORT="1")
    assert done.returncode == 1
    assert done.stdout == "http://127.0.0.1:1: failed: cannot connect to the watcher\n"
    assert "set --url" in failed(2, "healthcheck", MIXPEEK_API_KEY="sk", WATCHER_SERVER__PORT="0")


def test_usage_errors_are_one_line_and_exit_2() -> None:
    assert "No such command 'frobnicate'" in failed(2, "frobnicate")
    assert "missing task ID" in failed(2, "add")
    assert "expected K=V" in failed(2, "add", "t", "--label", "x")
    assert "invalid duration" in failed(2, "wait", "t", "--timeout", "soon")
    assert "Missing argument" in failed(2, "rm")
    assert "is not a valid integer" in failed(2, "retry", "x")


def test_no_daemon_is_one_line_and_exit_4() -> None:
    for command in (
        ["tasks"],
        ["batches", "b"],
        ["kill", "t"],
        ["cancel-batch", "b", "c"],
        ["ls"],
        ["add", "t"],
        ["wait", "t"],
        ["deliveries"],
        ["rm", "t"],
        ["show", "t"],
        ["retry", "1"],
    ):
        line = failed(4, *command, "--url", "http://127.0.0.1:9")
        assert line == (
            "watcher: cannot connect to the watcher at http://127.0.0.1:9; start it with "
            "`watcher run`, or set --url"
        )


def test_configuration_errors_are_a_line_each_and_exit_2(tmp_path: Path) -> None:
    file = tmp_path / "watcher.yaml"
    file.write_text("server: {prot: 1}\npolling: {min_interval: x}\n")
    for command in (
        ["run", "-c", str(file)],
        ["config", "check", str(file)],
        ["config", "show", "-c", str(file)],
    ):
        done = run(*command, MIXPEEK_API_KEY="sk_x")
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 2
        assert "watcher.yaml:1: server.prot: unknown key; did you mean 'port'?" in done.stderr


def test_a_port_in_use_is_one_line_and_exit_2(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
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


def test_config_check_show_and_schema(tmp_path: Path) -> None:
    file = tmp_path / "watcher.yaml"
    file.write_text(
        f"channels: "
        f"[{{name: b, type: webhook, url: 'https://h.example/hidden', secrets: [{SECRET}]}}]\n"
    )
    checked = run("config", "check", str(file), MIXPEEK_API_KEY="sk_hidden")
    assert (checked.returncode, checked.stdout) == (0, "ok: 1 sources, 1 channels, 0 routes\n")
    shown = run("config", "show", "-c", str(file), MIXPEEK_API_KEY="sk_hidden")
    assert "base_url: https://api.mixpeek.com" in shown.stdout
    assert "hidden" not in shown.stdout
    assert SECRET not in shown.stdout
    assert json.loads(run("config", "schema").stdout)["type"] == "object"


def test_channels_test_shows_each_receivers_response() -> None:
    environ = {
        "MIXPEEK_API_KEY": "sk_x",
        "WATCHER_WEBHOOK_URL": "http://127.0.0.1:9/hidden",
        "WATCHER_WEBHOOK_SECRETS": SECRET,
    }
    done = run("channels", "test", **environ)
    assert (done.returncode, done.stdout) == (1, "webhook: failed: connection refused\n")
    assert "unknown channel other; expected one of: webhook" in failed(
        2, "channels", "test", "other", **environ
    )


def test_config_check_live_tries_the_key() -> None:
    done = run(
        "config", "check", "--live", MIXPEEK_API_KEY="sk_x", MIXPEEK_BASE_URL="http://127.0.0.1:9"
    )
    assert done.returncode == 1
    assert "mixpeek: failed: connection refused" in done.stdout


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "invalid first line; expected upload_id,etag,file_size_bytes"),
        ("a,b\n1,2\n", "invalid first line; expected upload_id,etag,file_size_bytes"),
        ("upload_id,etag\n", "contains no upload"),
        ("upload_id,etag\n,x\n", "line 2: missing upload_id"),
        (
            "upload_id,file_size_bytes\nu1,5\nu2,many\n",
            "line 3: invalid file_size_bytes 'many'; expected an integer of at least 1",
        ),
        (
            "upload_id,color\nu1,red\n",
            "line 2: unknown field 'color'; expected one of: upload_id, etag, file_size_bytes",
        ),
        ('upload_id\n"u1\n', "after line 1: unexpected end of data"),
        ("[", "invalid JSON"),
        ('{"uploads": []}', "expected a list of objects"),
        ("[1]", "expected a list of objects"),
        ('[{"upload_id": 7}]', "entry 0: missing upload_id"),
        ('[{"upload_id": "u", "etag": 7}]', "entry 0: invalid etag; expected a string"),
        (
            '[{"upload_id": "u", "file_size_bytes": 0}]',
            "entry 0: invalid file_size_bytes '0'; expected an integer of at least 1",
        ),
        (b"\xff\xfe", "not valid UTF-8"),
    ],
)
def test_a_file_of_uploads_that_cannot_be_used_is_one_line(
    tmp_path: Path, content: str | bytes, said: str
) -> None:
    file = tmp_path / "uploads"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert said in failed(2, "confirm-uploads", "bkt", str(file))


def test_a_file_of_uploads_that_is_not_there_is_one_line() -> None:
    assert "no such file or directory" in failed(
        2, "confirm-uploads", "bkt", "/nowhere/uploads.csv"
    )


def test_filters_that_are_not_a_json_object_are_a_usage_error() -> None:
    assert "--filters: invalid JSON" in failed(2, "tasks", "--filters", "{")
    assert "--filters: expected a JSON object" in failed(2, "tasks", "--filters", "[]")


def test_what_is_signed_is_verified(tmp_path: Path) -> None:
    (tmp_path / "secrets").write_text(f"whsec_{'QUJD' * 11}\n{SECRET} until=2126-12-01T00:00:00Z\n")
    signed = run(
        "sign", "--secrets-file", str(tmp_path / "secrets"), stdin='{"type": "task.failed"}'
    ).stdout
    lines = [part for line in signed.splitlines() for part in ("-H", line)]
    body = '{"type": "task.failed"}'
    assert [line.partition(":")[0] for line in signed.splitlines()] == [
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
    ]
    good = run("verify", *lines, stdin=body, WATCHER_WEBHOOK_SECRETS=SECRET)
    assert (good.returncode, good.stdout) == (0, "ok: signed by secret 1\n")
    bad = run("verify", *lines, stdin=body + " ", WATCHER_WEBHOOK_SECRETS=SECRET)
    assert (bad.returncode, bad.stdout.partition(":")[0]) == (1, "invalid")


def test_signing_without_a_secret_or_with_a_bad_one_is_one_line_and_exit_2() -> None:
    assert "missing secret" in failed(2, "sign")
    assert "24 to 64" in failed(2, "sign", WATCHER_WEBHOOK_SECRETS="whsec_QUJD")
    assert "public key" in failed(2, "sign", WATCHER_WEBHOOK_SECRETS="whpk_QUJD")
    assert "32" in failed(2, "verify", WATCHER_WEBHOOK_SECRETS="whpk_QUJD")


def test_routes_test_shows_the_channels_and_the_reasons(tmp_path: Path) -> None:
    channels = [
        {"name": name, "type": "slack", "url": "http://127.0.0.1:1/"}
        for name in ("alerts", "search")
    ]
    routes = [
        {"channels": ["alerts"], "statuses": ["FAILED"]},
        {"channels": ["search"], "labels": {"team": "search"}, "initial": True},
    ]
    settings = {
        "MIXPEEK_API_KEY": "sk",
        "WATCHER_CHANNELS": json.dumps(channels),
        "WATCHER_ROUTES": json.dumps(routes),
    }

    def said(*arguments: str) -> str:
        done = run("routes", "test", *arguments, **settings)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert said("--status", "FAILED", "--label", "team=search").splitlines() == [
        "routes[0] to alerts: yes",
        "routes[1] to search: yes",
        "task.failed matches: alerts, search",
    ]
    assert "routes[1] to search: no: the label team is not search" in said("--status", "FAILED")
    assert "task.pending matches: search" in said("--status", "PENDING", "--label", "team=search")
    assert "source.unreachable no matching route" in said("--event", "source.unreachable")
    assert json.loads(said("--status", "FAILED", "--json"))["channels"] == ["alerts"]
    assert "either --status or --event" in failed(2, "routes", "test", **settings)
