"""`watcher healthcheck`: what it imports, where it looks, and what answers mean."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from tests.cli.harness import harness_in, run
from watcher.cli import health
from watcher.cli.health import Probe, UnknownPortError, check, probes_of

COMMAND = str(Path(sys.executable).with_name("watcher"))
SLOW = ("click", "httpx", "pydantic", "anyio", "asyncio", "ssl", "dataclasses", "http.client")
"""What would cost more than all the rest."""
OK = b'HTTP/1.1 200 OK\r\n\r\n{"status": "ok"}'
BROKEN = "server: {port: 9"


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """Serve one request with these bytes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            accepted, _ = listener.accept()
            with accepted:
                accepted.recv(4096)
                accepted.sendall(answer)

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def silent() -> Iterator[str]:
    """Listen, and never answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def urls(folder: Path, text: str | None, **environ: str) -> list[str]:
    file = folder / "watcher.yaml"
    if text is not None:
        file.write_text(text)
    return [probe.url for probe in probes_of(None, {"WATCHER_CONFIG": str(file), **environ})]


def test_a_mistyped_file_is_an_error_whatever_listens_at_the_default_ports(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.yaml", tmp_path / "missing" / "watcher.yaml"):
        finished = run("healthcheck", "-c", str(path))
        assert (finished.exit_code, finished.stdout) == (2, "")
        assert finished.stderr.startswith(f"watcher: cannot read {path}: ")
        assert health.run(["-c", str(path)], {}) is None  # the command of click prints it


def test_it_imports_nothing_that_is_slow(tmp_path: Path) -> None:
    """… so that it takes a tenth of a second of CPU time; counted in modules, which is exact."""
    with harness_in(tmp_path) as harness:
        port = harness.url.rpartition(":")[2]
        (tmp_path / "watcher.yaml").write_text(f"sources: 7\nserver: {{port: {port}}}\n")
        # Measuring coverage imports much before any code of ours.
        environ = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}
        environ["PYTHONPROFILEIMPORTTIME"] = "1"
        done = subprocess.run(
            [COMMAND, "healthcheck", "-c", str(tmp_path / "watcher.yaml")],
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stdout) == (0, f"{harness.url}: ok: ok\n")
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert {"watcher.cli.health", "yaml", "socket"} <= imported
    assert imported.isdisjoint(SLOW)


@pytest.mark.parametrize(
    ("text", "environ", "expected"),
    [
        ("{}", {}, ["http://127.0.0.1:8080"]),
        ("", {}, ["http://127.0.0.1:8080"]),
        ("telemetry: {}", {}, ["http://127.0.0.1:9464", "http://127.0.0.1:8080"]),
        ("telemetry: null\nserver:", {}, ["http://127.0.0.1:8080"]),
        ("server: {port: 9}\nchannels: 7\nno: [", {}, None),
        ("server: {port: 9}\nno_such: 7", {}, ["http://127.0.0.1:9"]),
        ("server: {host: '::1', port: '9'}", {}, ["http://[::1]:9"]),
        ("server: {host: '::'}", {}, ["http://127.0.0.1:8080"]),
        ("server: {socket: /run/x.sock}", {}, ["unix:///run/x.sock"]),
        ("server: {tls: {certificate_file: /x}}", {}, ["https://127.0.0.1:8080"]),
        ("server: {port: 0}\ntelemetry: {port: 7}", {}, ["http://127.0.0.1:7"]),
        ("server: {port: 9}", {"WATCHER_SERVER__PORT": "10"}, ["http://127.0.0.1:10"]),
        (
            "server: {port: 9}",
            {"WATCHER_TELEMETRY__HOST": "::1"},
            ["http://[::1]:9464", "http://127.0.0.1:9"],
        ),
        (
            "{}",
            {"WATCHER_SERVER__TLS__KEY_FILE": "/x", "WATCHER_PORT": "tcp://10.0.0.1"},
            ["https://127.0.0.1:8080"],
        ),
        (BROKEN, {}, None),
        (BROKEN, {"WATCHER_TELEMETRY__PORT": "7"}, ["http://127.0.0.1:7", "http://127.0.0.1:8080"]),
        ("7", {}, None),
        ("server: 7", {}, None),
        ("a: \udc80", {}, None),
        (None, {}, None),
    ],
)
def test_it_looks_where_the_configuration_says(
    tmp_path: Path, text: str | None, environ: dict[str, str], expected: list[str] | None
) -> None:
    """… whatever else is wrong with it; at both defaults if it cannot be read."""
    if text is not None and not text.isascii():
        (tmp_path / "watcher.yaml").write_bytes(text.encode(errors="surrogateescape"))
        text = None
    defaults = ["http://127.0.0.1:9464", "http://127.0.0.1:8080"]
    assert urls(tmp_path, text, **environ) == (expected or defaults)


@pytest.mark.parametrize("port", ["0", "no", "null", "[]"])
def test_without_a_port_it_is_an_error(tmp_path: Path, port: str) -> None:
    with pytest.raises(UnknownPortError):
        urls(tmp_path, f"server: {{port: {port}}}")
    done = run("healthcheck", "-c", str(tmp_path / "watcher.yaml"))
    assert (done.exit_code, "set --url" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("answer", "good", "text"),
    [
        (OK, True, "ok"),
        (OK.replace(b"200", b"503").replace(b'"ok"', b'"stalled loops: x"'), False, "stalled"),
        (b"", False, "not a watcher API"),
        (b"SSH-2.0-x\r\n", False, "not a watcher API"),
        (b"HTTP/1.1 ok\r\n\r\n{}", False, "not a watcher API"),
        (OK.replace(b'{"status": "ok"}', b"[]"), False, "not a watcher API"),
        (OK.replace(b'{"status": "ok"}', b"[" * 60_000), False, "not a watcher API"),
        (OK.replace(b'"ok"', b'"' + b"x" * 10**5), False, "not a watcher API"),
    ],
)
def test_what_answers_says_how_it_is(answer: bytes, good: bool, text: str) -> None:
    with answering(answer) as url:
        found = check([Probe(url)])
    assert (found.url, found.good) == (url, good)
    assert text in found.text


def test_the_next_place_is_tried_where_nothing_listens_and_not_if_a_daemon_hangs() -> None:
    nothing = Probe("http://127.0.0.1:9")
    with answering(OK) as url:
        assert check([nothing, Probe(url)]) == (url, True, "ok", True)
    assert check([nothing, nothing]).text == "cannot connect to the watcher"
    with silent() as hanging, silent() as other:
        found = check([Probe(hanging), Probe(other)], timeout=0.05)
    assert (found.url, found.good) == (hanging, False)


@pytest.mark.parametrize(
    "url", ["http://", "http://a b", "http://\x1b", "http://x:no", "http://[x"]
)
def test_a_url_that_is_none_is_no_watcher(url: str) -> None:
    assert check([Probe(url)]).good is False


def test_a_password_is_sent_and_not_shown() -> None:
    requests: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            accepted, _ = listener.accept()
            with accepted:
                requests.append(accepted.recv(4096))
                accepted.sendall(OK)

        Thread(target=serve, daemon=True).start()
        place = f"127.0.0.1:{listener.getsockname()[1]}"
        found = check([Probe(f"http://me:p%40ss@{place}/watcher/")])
    assert found == (f"http://{place}/watcher/", True, "ok", True)
    assert requests[0] == (
        b"GET /watcher/healthz HTTP/1.0\r\nhost: %b\r\n"
        b"authorization: Basic bWU6cEBzcw==\r\n\r\n" % place.encode()
    )


@pytest.mark.parametrize(
    "arguments", [["--help"], ["-c"], ["--url="], ["--url", "https://x"], ["--no-such"], ["x"]]
)
def test_what_is_not_plain_is_left_to_the_command(arguments: list[str]) -> None:
    assert health.run(arguments, {}) is None
