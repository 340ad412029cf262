"""Unix sockets and TLS of the listeners, over real sockets."""

import errno
import socket
import ssl
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.streams.tls
import httpx
import pytest
from starlette.types import Receive, Scope, Send

from tests.support.certificates import Certificate, issue
from watcher.api import server
from watcher.api.clients import peer_of
from watcher.api.listener import Limits
from watcher.core.errors import ConfigurationError
from watcher.core.listener_settings import ServerSettings, TlsSettings
from watcher.net.server_tls import ListenerTls

pytestmark = pytest.mark.anyio

ROOT = issue("Acme Root", authority=True)
LEAF = issue("first", ROOT, hosts=["127.0.0.1"])
RENEWED = issue("second", ROOT, hosts=["127.0.0.1"])


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def serving(
    settings: ServerSettings, request_within: float = 5
) -> AsyncIterator[tuple[str, ListenerTls | None]]:
    stopping = anyio.Event()
    with server.listening("server", settings) as (listener, tls):
        async with anyio.create_task_group() as tasks:
            serve = partial(server.serve, tls=tls, limits=Limits(request_within=request_within))
            await tasks.start(serve, app, listener, stopping)
            with anyio.fail_after(10):
                yield server.url_of(listener, tls=tls is not None), tls
            stopping.set()


async def answer(url: str, transport: httpx.AsyncBaseTransport) -> str:
    async with httpx.AsyncClient(transport=transport) as client:
        return (await client.get(url)).text


# Both versions of IP


def without_ipv6(family: int, *others: int) -> socket.socket:
    if family == socket.AF_INET6:
        raise OSError(errno.EAFNOSUPPORT, "made up")
    return socket.socket(family, *others)


@pytest.mark.parametrize(
    ("host", "create", "hosts"),
    [
        ("::", socket.socket, ["127.0.0.1", "::1"] if socket.has_dualstack_ipv6() else []),
        ("::", without_ipv6, ["127.0.0.1"]),
        ("0.0.0.0", without_ipv6, ["127.0.0.1"]),
    ],
)
async def test_every_address_is_of_ipv4_too(
    host: str, create: Callable[..., socket.socket], hosts: list[str]
) -> None:
    peers: list[str] = []

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        peers.append(peer_of(scope))
        await app(scope, receive, send)

    stopping = anyio.Event()
    listener = server.bind("server", host, 0, create)
    async with anyio.create_task_group() as tasks:
        await tasks.start(server.serve, noting, listener, stopping)
        port = listener.getsockname()[1]
        assert server.url_of(listener) == f"http://127.0.0.1:{port}"
        for one in hosts:
            async with await anyio.connect_tcp(one, port) as stream:
                await stream.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                assert (await stream.receive()).startswith(b"HTTP/1.1 200")
        stopping.set()
    assert peers == hosts


def test_without_ipv6_one_address_of_it_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="server: cannot listen on ::1 port 0: made up"):
        server.bind("server", "::1", 0, without_ipv6)


# A socket


def at(path: Path) -> ServerSettings:
    return ServerSettings(socket=path)


async def test_a_socket_serves_its_owner_and_group_and_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "new" / "api.sock"
    for _ in range(2):
        async with serving(at(path)) as (url, _tls):
            assert url == f"unix://{path}"
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
            assert not stat.S_IMODE(path.parent.stat().st_mode) & 0o007
            transport = httpx.AsyncHTTPTransport(uds=str(path))
            assert await answer("http://x/", transport) == "ok"
        assert not path.exists()


async def test_a_socket_in_use_stays_and_one_left_behind_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        assert "another process listens there" in fault(at(path))
        assert path.exists()
    async with serving(at(path)):
        assert "another process listens there" in fault(at(path))


def fault(settings: ServerSettings) -> str:
    with (
        pytest.raises(ConfigurationError) as caught,
        server.listening("server", settings),
    ):
        pass
    (line,) = caught.value.problems
    return line


def test_what_is_not_a_socket_is_never_removed(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    path.write_text("precious")
    assert "a file that is not a socket is there" in fault(at(path))
    path.rename(tmp_path / "file")
    path.symlink_to(tmp_path / "file")
    assert "a file that is not a socket is there" in fault(at(path))
    assert (tmp_path / "file").read_text() == "precious"


def test_a_folder_that_every_user_may_write_is_not_used(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    assert f"every user may replace files in {folder}" in fault(at(folder / "api.sock"))
    assert f"every user may replace files in {folder}" in fault(at(folder / "a" / "api.sock"))
    folder.chmod(0o1777)
    with server.listening("server", at(folder / "api.sock")):
        pass


@pytest.mark.parametrize(
    ("path", "text"),
    [("api.sock", "expected an absolute path"), ("/" + "x" * 107, "at most 107 bytes")],
)
def test_a_path_that_commands_could_not_find(path: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        at(Path(path))


# TLS


def files(folder: Path, certificate: Certificate, **more: Path) -> TlsSettings:
    (folder / "certificate").write_bytes(certificate.pem)
    (folder / "key").write_bytes(certificate.key_pem)
    return TlsSettings(certificate_file=folder / "certificate", key_file=folder / "key", **more)


def trusting(*certificates: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata="".join(one.pem.decode() for one in certificates))
    return context


async def subject(url: str, context: ssl.SSLContext) -> str:
    """Return the name of the certificate that new connections get."""
    async with await anyio.connect_tcp(
        "127.0.0.1", httpx.URL(url).port or 0, ssl_context=context, tls_hostname="127.0.0.1"
    ) as stream:
        shown: Any = stream.extra(anyio.streams.tls.TLSAttribute.peer_certificate)
        return str(shown["subject"][0][0][1])


async def test_a_certificate_is_replaced_and_a_bad_one_changes_nothing(tmp_path: Path) -> None:
    settings = ServerSettings(port=0, tls=files(tmp_path, LEAF))
    async with serving(settings) as (url, tls):
        assert tls is not None
        context = trusting(ROOT)
        assert await answer(url, httpx.AsyncHTTPTransport(verify=context)) == "ok"
        files(tmp_path, RENEWED)
        tls.reload()
        assert await subject(url, context) == "second"
        (tmp_path / "key").write_bytes(LEAF.key_pem)
        with pytest.raises(ConfigurationError, match="the key does not belong to the certificate"):
            tls.reload()
        assert await subject(url, context) == "second"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1:DeprecationWarning")
async def test_old_versions_and_plain_http_are_rejected_without_a_log_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(ServerSettings(port=0, tls=files(tmp_path, LEAF))) as (url, _):
        context = trusting(ROOT)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.raises((ssl.SSLError, anyio.BrokenResourceError)):
            await subject(url, context)
        with pytest.raises(httpx.TransportError):
            await answer(url.replace("https", "http"), httpx.AsyncHTTPTransport())
    assert [record for record in caplog.records if record.levelname != "INFO"] == []


async def test_clients_need_a_certificate_of_the_authority(tmp_path: Path) -> None:
    (tmp_path / "authority").write_bytes(ROOT.pem)
    client = issue("client", ROOT, for_clients=True)
    (tmp_path / "client").write_bytes(client.pem + client.key_pem)
    other = issue("client", for_clients=True)
    (tmp_path / "other").write_bytes(other.pem + other.key_pem)
    tls = files(tmp_path, LEAF, client_ca_file=tmp_path / "authority")
    async with serving(ServerSettings(port=0, tls=tls)) as (url, _):
        context = trusting(ROOT)
        with pytest.raises(httpx.TransportError):
            await answer(url, httpx.AsyncHTTPTransport(verify=context))
        context.load_cert_chain(tmp_path / "other")
        with pytest.raises(httpx.TransportError):
            await answer(url, httpx.AsyncHTTPTransport(verify=context))
        context.load_cert_chain(tmp_path / "client")
        assert await answer(url, httpx.AsyncHTTPTransport(verify=context)) == "ok"


async def test_a_handshake_that_does_not_come_is_cut_off(tmp_path: Path) -> None:
    settings = ServerSettings(port=0, tls=files(tmp_path, LEAF))
    async with (
        serving(settings, request_within=0.1) as (url, _),
        await anyio.connect_tcp("127.0.0.1", httpx.URL(url).port or 0) as stream,
    ):
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            assert not await stream.receive()
