"""The transport over real sockets: connection reuse, broken connections, and error types."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import anyio.abc
import anyio.lowlevel
import httpx
import pytest
import trustme
from pydantic import SecretStr

from tests.support.raw_server import OK, read_request, server
from watcher.core.settings import ConnectionSettings
from watcher.net.exchange import ExchangeError, exchange
from watcher.net.response_handler import LONGEST_LIFE
from watcher.net.transport import SENT_ONCE, AiohttpTransport, create_transport

pytestmark = pytest.mark.anyio


async def post(
    transport: AiohttpTransport, url: str, *, deadline: float = 5.0, limit: int = 100
) -> tuple[int, bytes]:
    request = httpx.Request("POST", url, content=b"{}", headers={"x-secret": "hidden-value"})
    reply = await exchange(transport, request, deadline=deadline, body_limit=limit)
    return reply.status, reply.body


async def test_a_connection_is_reused() -> None:
    numbers = []

    async def serve(stream: anyio.abc.SocketStream, number: int) -> None:
        while True:
            await read_request(stream)
            numbers.append(number)
            await stream.send(OK)

    async with server(serve) as url, create_transport() as transport:
        for _ in range(3):
            assert await post(transport, url) == (200, b"ok")

    assert numbers == [1, 1, 1]


class ShiftedLoop(asyncio.SelectorEventLoop):
    """A loop whose clock a test can put forward."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


@pytest.mark.parametrize("anyio_backend", [("asyncio", {"loop_factory": ShiftedLoop})])
async def test_a_connection_in_constant_use_is_replaced_after_45_s() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, ShiftedLoop)
    numbers = []

    async def serve(stream: anyio.abc.SocketStream, number: int) -> None:
        while True:
            await read_request(stream)
            numbers.append(number)
            await stream.send(OK)

    async with server(serve) as url, create_transport() as transport:
        for _ in range(12):
            assert await post(transport, url) == (200, b"ok")
            loop.ahead += LONGEST_LIFE / 5

    assert LONGEST_LIFE == 45
    assert numbers == [1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3]


@pytest.mark.parametrize("anyio_backend", [("asyncio", {"loop_factory": ShiftedLoop})])
async def test_an_idle_connection_is_closed_after_45_s() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, ShiftedLoop)
    closed = anyio.Event()

    async def serve(stream: anyio.abc.SocketStream, _: int) -> None:
        await read_request(stream)
        await stream.send(OK)
        with suppress(anyio.EndOfStream):
            await stream.receive()
        closed.set()

    async with server(serve) as url, create_transport() as transport:
        await post(transport, url)
        loop.ahead += LONGEST_LIFE
        with anyio.fail_after(30):
            await closed.wait()


async def test_unrequested_data_is_not_the_next_response() -> None:
    connections = []

    async def serve(stream: anyio.abc.SocketStream, number: int) -> None:
        connections.append(number)
        await read_request(stream)
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
        await anyio.sleep(0.01)
        await stream.send(b"k" + OK.replace(b"ok", b"no"))
        await read_request(stream)
        await stream.send(OK)

    async with server(serve) as url, create_transport() as transport:
        for _ in range(3):
            assert await post(transport, url) == (200, b"ok")

    assert connections == [1, 2, 3]


async def test_a_reused_connection_that_breaks_within_a_response_is_not_used_to_send_again() -> (
    None
):
    served = []

    async def serve(stream: anyio.abc.SocketStream, number: int) -> None:
        await read_request(stream)
        served.append(number)
        await stream.send(OK)
        await read_request(stream)
        served.append(number)
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-")

    async with server(serve) as url, create_transport() as transport:
        await post(transport, url)
        with pytest.raises(ExchangeError):
            await post(transport, url)

    assert served == [1, 1]


async def test_a_reused_connection_that_was_closed_meanwhile_is_replaced() -> None:
    served = []

    async def serve(stream: anyio.abc.SocketStream, number: int) -> None:
        await read_request(stream)
        served.append(number)
        await stream.send(OK)
        if number == 1:
            await read_request(stream)  # read, and closed without a response

    async with server(serve) as url, create_transport() as transport:
        assert await post(transport, url) == (200, b"ok")
        assert await post(transport, url) == (200, b"ok")

    assert served == [1, 2]


async def test_a_new_connection_that_closes_without_a_response_is_not_retried() -> None:
    connections = []

    async def serve(stream: anyio.abc.SocketStream, number: int) -> None:
        connections.append(number)
        await read_request(stream)

    async with server(serve) as url, create_transport() as transport:
        with pytest.raises(ExchangeError) as caught:
            await post(transport, url)

    assert caught.value.kind == "protocol"
    assert connections == [1]


async def test_the_deadline_ends_a_slow_body() -> None:
    async def serve(stream: anyio.abc.SocketStream, _: int) -> None:
        await read_request(stream)
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            await stream.send(b"x")
            await anyio.sleep(0.01)

    async with server(serve) as url, create_transport() as transport:
        with pytest.raises(ExchangeError) as caught:
            await post(transport, url, deadline=0.1, limit=8192)

    assert caught.value.kind == "timeout"


async def test_a_body_is_read_up_to_the_limit_and_its_connection_is_not_reused() -> None:
    connections = []

    async def serve(stream: anyio.abc.SocketStream, number: int) -> None:
        connections.append(number)
        await read_request(stream)
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 100000)
        await anyio.sleep_forever()

    async with server(serve) as url, create_transport() as transport:
        for _ in range(2):
            assert await post(transport, url, limit=8192) == (200, b"x" * 8192)

    assert connections == [1, 2]


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"",
    ],
)
async def test_a_response_that_is_not_http_is_a_protocol_error_without_a_secret_in_its_text(
    answer: bytes,
) -> None:
    async def serve(stream: anyio.abc.SocketStream, _: int) -> None:
        await read_request(stream)
        await stream.send(answer)

    async with server(serve) as url, create_transport() as transport:
        with pytest.raises(ExchangeError) as caught:
            await post(transport, url)

    assert caught.value.kind == "protocol"
    assert "hidden-value" not in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)


async def test_a_closed_port_and_an_unknown_host_are_connect_errors() -> None:
    async with server(lambda stream, number: anyio.lowlevel.checkpoint()) as url:
        pass
    async with create_transport() as transport:
        for target in (url, "http://no-such-host.invalid/"):
            with pytest.raises(ExchangeError) as caught:
                await post(transport, target)
            assert caught.value.kind == "connect"


async def test_a_server_without_tls_is_a_connect_error() -> None:
    async def serve(stream: anyio.abc.SocketStream, _: int) -> None:
        await stream.receive()
        await stream.send(OK)

    async with server(serve) as url, create_transport() as transport:
        with pytest.raises(ExchangeError) as caught:
            await post(transport, url.replace("http:", "https:"))
    assert caught.value.kind == "connect"


async def test_only_the_headers_of_the_request_and_those_that_http_requires_are_sent() -> None:
    heads = []

    async def serve(stream: anyio.abc.SocketStream, _: int) -> None:
        heads.append(await read_request(stream))
        await stream.send(OK)

    async with server(serve) as url, create_transport() as transport:
        await post(transport, url)

    names = {line.split(b":")[0].lower() for line in heads[0].split(b"\r\n")[1:]}
    assert names == {b"host", b"content-length", b"x-secret"}


async def test_only_a_configured_proxy_is_used_not_one_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = []

    async def serve(stream: anyio.abc.SocketStream, _: int) -> None:
        while True:
            lines.append((await read_request(stream)).split(b"\r\n")[0])
            await stream.send(OK)

    async with server(serve) as url:
        monkeypatch.setenv("HTTP_PROXY", url)
        monkeypatch.setenv("http_proxy", url)
        async with create_transport(reached=ConnectionSettings(proxy=SecretStr(url))) as transport:
            await post(transport, "http://upstream.example/x")
        async with create_transport(reached=ConnectionSettings()) as transport:
            with pytest.raises(ExchangeError) as caught:
                await post(transport, "http://upstream.invalid/")

    assert lines == [b"POST http://upstream.example/x HTTP/1.1"]
    assert caught.value.kind == "connect"


async def test_with_an_unreachable_proxy_the_request_was_not_sent() -> None:
    async with create_transport(
        reached=ConnectionSettings(proxy=SecretStr("http://me:hidden@127.0.0.1:1"))
    ) as transport:
        with pytest.raises(ExchangeError, match="the proxy could not be reached") as caught:
            await post(transport, "https://upstream.example/x")
    assert caught.value.not_sent
    assert "hidden" not in str(caught.value)


@asynccontextmanager
async def tls_server(authority: trustme.CA, peers: list[object]) -> AsyncIterator[str]:
    """Run a server that requires a client certificate of `authority`, and collect their names."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(writer.get_extra_info("peercert")["subjectAltName"])
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    async with listener:
        yield f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}/"


async def test_tls_is_verified_and_a_private_authority_and_a_client_certificate_are_used(
    tmp_path: Path,
) -> None:
    authority, other_authority = trustme.CA(), trustme.CA()
    ca_file, other_ca_file = tmp_path / "ca.pem", tmp_path / "other.pem"
    client_file = tmp_path / "client.pem"
    authority.cert_pem.write_to_path(ca_file)
    other_authority.cert_pem.write_to_path(other_ca_file)
    certificate = authority.issue_cert("watcher@example.com")
    certificate.private_key_and_cert_chain_pem.write_to_path(client_file)
    peers: list[object] = []

    async with tls_server(authority, peers) as url:

        async def attempt(**files: Path) -> tuple[int, bytes]:
            async with create_transport(reached=ConnectionSettings(**files)) as transport:
                return await post(transport, url)

        assert await attempt(ca_file=ca_file, client_certificate_file=client_file) == (200, b"ok")
        with pytest.raises(ExchangeError, match="the TLS certificate is not valid"):
            await attempt()
        with pytest.raises(ExchangeError, match="the TLS certificate is not valid"):
            await attempt(ca_file=other_ca_file)
        with pytest.raises(ExchangeError) as rejected:
            await attempt(ca_file=ca_file)

    assert not rejected.value.not_sent
    assert peers == [(("email", "watcher@example.com"),)]


async def test_a_request_marked_sent_once_uses_a_new_connection_and_is_not_resent() -> None:
    served = []

    async def serve(stream: anyio.abc.SocketStream, number: int) -> None:
        await read_request(stream)
        served.append(number)
        if number == 1:
            await stream.send(OK)
            await read_request(stream)
            served.append(number)

    async with server(serve) as url, create_transport() as transport:
        assert await post(transport, url) == (200, b"ok")
        request = httpx.Request("POST", url, content=b"{}", extensions={SENT_ONCE: True})
        with pytest.raises(ExchangeError):
            await exchange(transport, request, deadline=5.0, body_limit=100)

    assert served == [1, 2]


@pytest.mark.parametrize(
    ("url", "not_sent"), [("http://unknown.invalid/", True), ("http://127.0.0.1:1/", False)]
)
async def test_a_request_that_was_not_sent_is_distinguished_from_a_rejected_connection(
    url: str, not_sent: bool
) -> None:
    async with create_transport(connections=1) as transport:
        with pytest.raises(ExchangeError) as caught:
            await post(transport, url, deadline=30)
    assert (caught.value.kind, caught.value.not_sent) == ("connect", not_sent)
