"""`deny_private`: which connections are made, and what becomes of the others."""

import socket

import anyio
import anyio.abc
import httpx
import pytest
from pydantic import ValidationError

from tests.support.raw_server import OK, read_request, server
from watcher.channels import webhook
from watcher.channels.slack import channel as slack
from watcher.core.receiver_settings import ReceiverSettings
from watcher.net.exchange import ExchangeError, exchange
from watcher.net.public_socket import NotPublicError, SocketFactory, public_socket
from watcher.net.receiver_socket import RECEIVE_BUFFER, plain_socket, with_small_buffer
from watcher.net.transport import create_transport

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.mark.anyio
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:7f00:1]"])
@pytest.mark.parametrize("denied", [True, False])
async def test_the_address_that_is_used_decides(host: str, denied: bool) -> None:
    connections = 0

    async def serve(stream: anyio.abc.SocketStream, number: int) -> None:
        nonlocal connections
        connections = number
        await read_request(stream)
        await stream.send(OK)

    reached = ReceiverSettings(deny_private=denied)
    async with server(serve) as url, create_transport(reached=reached) as transport:
        request = httpx.Request("GET", url.replace("127.0.0.1", host))
        if denied:
            with pytest.raises(ExchangeError, match="no public address, as deny_private") as caught:
                await exchange(transport, request, deadline=10.0, body_limit=100)
            assert caught.value.kind == "connect"
            assert not caught.value.not_sent
        else:
            assert (await exchange(transport, request, deadline=10.0, body_limit=100)).body == b"ok"
    assert connections == (0 if denied else 1)


def test_each_address_of_a_name_is_checked() -> None:
    kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
    with pytest.raises(NotPublicError):
        public_socket((*kind, ("169.254.169.254", 80)))
    with public_socket((*kind, ("8.8.8.8", 443))) as made:
        assert made.family == socket.AF_INET
    with pytest.raises(NotPublicError):
        public_socket((socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fd00:ec2::254", 80, 0, 0)))


def settings(**values: object) -> webhook.Settings:
    return webhook.Settings.model_validate(
        {"name": "x", "url": "https://example.com/x", "secrets": [SECRET], "deny_private": True}
        | values
    )


@pytest.mark.parametrize(
    "host",
    [
        "10.0.0.1",
        "localhost",
        "a.localhost.",
        "127.1",
        "0x7f000001",
        "2130706433",
        "[::1]",
        "[fd00::1]",
    ],
)
def test_a_host_that_is_never_public_is_an_error_of_the_settings(host: str) -> None:
    with pytest.raises(ValidationError, match="not on the internet") as caught:
        settings(url=f"https://{host}/secret-path")
    assert "secret-path" not in str(caught.value)


def test_the_api_of_slack_has_to_be_on_the_internet_too() -> None:
    bot = {"name": "x", "bot_token": "xoxb-made-up", "slack_channel": "#x", "deny_private": True}
    assert slack.Settings.model_validate(bot).deny_private
    with pytest.raises(ValidationError, match="the host of api_url is not on the internet"):
        slack.Settings.model_validate({**bot, "api_url": "https://[::ffff:a00:1]/api/"})


def test_a_proxy_would_resolve_the_host() -> None:
    with pytest.raises(ValidationError, match="cannot hold with a proxy"):
        settings(proxy="http://proxy.internal:3128")
    assert settings(url="https://8.8.8.8/").deny_private


@pytest.mark.parametrize("make", [plain_socket, public_socket])
def test_a_receiver_can_send_little_before_it_is_read(make: SocketFactory) -> None:
    info = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("1.1.1.1", 80))
    with with_small_buffer(make)(info) as small, socket.socket() as usual:
        size = small.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        assert size <= 2 * RECEIVE_BUFFER < usual.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


def test_a_receiver_with_a_private_address_is_denied_all_the_same() -> None:
    info = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 80))
    with pytest.raises(NotPublicError):
        with_small_buffer(public_socket)(info)


@pytest.mark.anyio
@pytest.mark.parametrize("large", [True, False])
async def test_of_an_endless_response_little_waits(large: bool) -> None:
    sent = 0

    async def serve(stream: anyio.abc.SocketStream, _: int) -> None:
        nonlocal sent
        stream.extra(anyio.abc.SocketAttribute.raw_socket).setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024
        )
        await read_request(stream)
        await stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10000000\r\n\r\n")
        for _ in range(1000):
            await stream.send(b"x" * 10_000)
            sent += 10_000

    async with server(serve) as url, create_transport(large_responses=large) as transport:
        response = await transport.handle_async_request(httpx.Request("GET", url))
        with anyio.move_on_after(0.5):
            await anyio.sleep_forever()
        await response.aclose()
    assert (sent > 300_000) == large
