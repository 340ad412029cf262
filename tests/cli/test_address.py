"""How commands find the daemon, and what they send over which connection."""

import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import anyio
import pytest
from anyio.from_thread import start_blocking_portal

from tests.api.harness import opened
from tests.cli.harness import TOKEN, run
from tests.support.certificates import issue
from watcher.api import server
from watcher.api.app import create_api
from watcher.cli import address
from watcher.core.errors import ConfigurationError
from watcher.core.listener_settings import ServerSettings
from watcher.core.masking import MASK, SECRETS

ROOT = issue("Acme Root", authority=True)
LEAF = issue("watcher", ROOT, hosts=["watcher.example"])
CLIENT = issue("client", ROOT, for_clients=True)


@asynccontextmanager
async def _served(folder: Path, settings: ServerSettings) -> AsyncIterator[str]:
    async with opened(folder, WATCHER_SERVER__API_TOKEN=TOKEN) as (daemon, _):
        with server.listening("server", settings) as (listener, tls):
            async with anyio.create_task_group() as tasks:
                serve = partial(server.serve, tls=tls)
                await tasks.start(serve, create_api(daemon), listener, daemon.stopping)
                yield server.url_of(listener, tls=tls is not None)
                daemon.stopping.set()


@contextmanager
def served(folder: Path, settings: ServerSettings) -> Iterator[str]:
    """Serve an API with a token; yield its URL."""
    with (
        start_blocking_portal("asyncio") as portal,
        portal.wrap_async_context_manager(_served(folder, settings)) as url,
    ):
        yield url


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name, content in {
        "token": f"{TOKEN}\n".encode(),
        "certificate": LEAF.pem,
        "key": LEAF.key_pem,
        "authority": ROOT.pem,
        "client": CLIENT.pem + CLIENT.key_pem,
    }.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def written(folder: Path, text: str) -> str:
    """Write a configuration, which is invalid but for its section `server`."""
    file = folder / "watcher.yaml"
    file.write_text(f"sources: [{{name: a b}}]\nchannel: 7\nserver: {{{text}}}\n")
    return str(file)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # httpcore's, of a missing socket
def test_a_socket_and_its_token_come_from_the_configuration_or_a_url(files: Path) -> None:
    path = files / "api.sock"
    config = written(files, f"socket: {path}, api_token_file: {files}/token")
    with served(files, ServerSettings(socket=path)):
        done = run("ls", "-c", config)
        assert (done.exit_code, done.stderr) == (0, "")
        assert run("healthcheck", "-c", config).stdout == f"unix://{path}: ok: ok\n"
        for url in (f"unix://{path}", f"unix:{path}"):
            assert run("healthcheck", "--url", url).stdout == f"{url}: ok: ok\n"
            done = run("channels", "ls", "--url", url)
            assert (done.exit_code, "authentication required" in done.stderr) == (4, True)
    done = run("ls", "-c", config)
    assert done.exit_code == 4
    assert f"cannot connect to the watcher at unix://{path}" in done.stderr
    gc.collect()  # the unclosed socket, while its warning is ignored


@pytest.mark.parametrize("authority", ["", "authority"])
def test_the_configured_certificate_is_trusted_and_no_other(
    files: Path, authority: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = {"certificate_file": files / "certificate", "key_file": files / "key"}
    if authority:
        tls["client_ca_file"] = files / authority
        monkeypatch.setenv("WATCHER_CLIENT_CERTIFICATE_FILE", str(files / "client"))
    settings = ServerSettings.model_validate({"port": 0, "tls": tls})
    with served(files, settings) as url:
        keys = ", ".join(f"{key}: {path}" for key, path in tls.items())
        port = url.rpartition(":")[2]
        config = written(files, f"port: {port}, api_token_file: {files}/token, tls: {{{keys}}}")
        done = run("wait", "-c", config, "--timeout", "1ms", "task_1")
        assert (done.exit_code, "timeout" in done.stderr) == (124, True)
        assert run("ls", "-c", config).exit_code == 0
        (files / "certificate").write_bytes(issue("other", ROOT).pem + ROOT.pem)
        done = run("ls", "-c", config)
        assert (done.exit_code, "no TLS connection to the watcher" in done.stderr) == (4, True)
        assert run("healthcheck", "-c", config).exit_code == 0  # which judges no file


def test_a_url_is_verified_with_the_system_or_a_file(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = issue("local", ROOT, hosts=["127.0.0.1"])
    (files / "certificate").write_bytes(local.pem)
    (files / "key").write_bytes(local.key_pem)
    tls = {"certificate_file": files / "certificate", "key_file": files / "key"}
    monkeypatch.setenv("WATCHER_API_TOKEN", TOKEN)
    with served(files, ServerSettings.model_validate({"port": 0, "tls": tls})) as url:
        done = run("ls", "--url", url)
        assert (done.exit_code, "WATCHER_CA_FILE" in done.stderr) == (4, True)
        monkeypatch.setenv("WATCHER_CA_FILE", str(files / "authority"))
        assert run("ls", "--url", url).exit_code == 0
        assert run("healthcheck", "--url", url).exit_code == 0
    monkeypatch.setenv("WATCHER_CA_FILE", str(files / "token"))
    done = run("ls", "--url", url)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"watcher: WATCHER_CA_FILE: {files}/token cannot be used: ")


def test_the_order_of_what_names_the_daemon(files: Path) -> None:
    config = Path(written(files, f"port: 9, api_token_file: {files}/token"))
    assert address.find(None, None, {}).url == "http://127.0.0.1:8080"
    found = address.find(None, config, {"WATCHER_SERVER__PORT": "10"})
    assert (found.url, found.token) == ("http://127.0.0.1:10", TOKEN)
    found = address.find(None, config, {"WATCHER_API_TOKEN": "other-api-token-0"})
    assert (found.url, found.token) == ("http://127.0.0.1:9", "other-api-token-0")
    found = address.find("http://x", config, {})
    assert (found.url, found.token) == ("http://x", None)  # the token is the configured daemon's
    (files / "token").unlink()
    assert address.find(None, config, {"WATCHER_API_TOKEN": TOKEN}).token == TOKEN
    with pytest.raises(ConfigurationError, match="token: No such file"):
        address.find(None, config, {})


@pytest.mark.parametrize(
    ("url", "token", "warned"),
    [
        ("http://watcher.example:8080", TOKEN, True),
        ("http://me:password@watcher.example", "", True),
        ("http://watcher.example", "", False),
        ("http://127.0.0.1:1", TOKEN, False),
        ("http://[::1]:1", TOKEN, False),
        ("https://watcher.example", TOKEN, False),
        ("unix:///run/x.sock", TOKEN, False),
    ],
)
def test_a_secret_over_plain_http_is_noticed(url: str, token: str, warned: bool) -> None:
    environ = {"WATCHER_API_TOKEN": token} if token else {}
    assert address.find(url, None, environ).exposes_secrets() is warned


def test_the_warning_and_the_error_show_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHER_API_TOKEN", TOKEN)
    url = "http://me:hidden@watcher.invalid:1"
    for arguments in (["ls"], ["wait", "task_1"], ["healthcheck"]):
        done = run(*arguments, "--url", url)
        output = done.stdout + done.stderr
        assert "http://watcher.invalid:1" in output
        assert "hidden" not in output
        assert ("is not encrypted" in output) is (arguments != ["healthcheck"])


def test_a_relative_socket_is_a_usage_error() -> None:
    assert run("ls", "--url", "unix:api.sock").exit_code == 2


@pytest.mark.parametrize(
    "url",
    [
        *("", "localhost:8080", "htp://x", "http://", "http://a..b", "http://127.0.0.1:1x"),
        *("http://[::1", f"http://{'a' * 300}", "http://\ud800"),
    ],
)
def test_an_invalid_url_is_a_usage_error_without_its_password(url: str) -> None:
    shown = url
    if url.startswith("http://"):
        url = url.replace("//", "//me:canary-password@")
    done = run("ls", "--url", url)
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1].startswith(f"watcher: invalid URL {shown!r}; expected one")


def test_the_secrets_of_an_address_are_masked_from_then_on(files: Path) -> None:
    config = written(files, f"api_token_file: {files}/token")
    address.find(None, Path(config), {})
    address.find("http://me:canary-password@x.example", None, {"WATCHER_API_TOKEN": "canary-env"})
    assert SECRETS.text(f"{TOKEN} canary-password canary-env") == f"{MASK} {MASK} {MASK}"
