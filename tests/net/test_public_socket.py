"""`deny_private`: which connections are made, and what becomes of the others."""

import socket

import anyio.abc
import httpx
import pytest
from pydantic import ValidationError

from tests.support.raw_server import OK, read_request, server
from watcher.channels import webhook
from watcher.channels.slack import channel as slack
from watcher.core.receiver_settings import ReceiverSettings
from watcher.net.exchange import ExchangeError, exchange
from watcher.net.public_socket import NotPublicError, public_socket
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
