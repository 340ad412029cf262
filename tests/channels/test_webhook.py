"""The request of a webhook, and its settings."""

from typing import Any

import anyio
import anyio.abc
import httpx
import pytest
from pydantic import ValidationError

from tests.support.raw_server import read_request, server
from tests.support.records import SECRET
from watcher.channels import webhook
from watcher.core.deliveries import Message, Receipt
from watcher.core.errors import DeliveryError
from watcher.delivery.notes import InMemoryNotes
from watcher.net.transport import channel_transport

pytestmark = pytest.mark.anyio


async def sent(**options: Any) -> httpx.Request:
    requests = []

    def handler(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(204)

    settings = webhook.Settings(
        name="x", url="https://receiver.example/a?b=c", secrets=[SECRET], **options
    )
    channel = webhook.create(
        settings,
        transport=httpx.MockTransport(handler),
        notes=InMemoryNotes(),
        wall=lambda: 1614265330.9,
    )
    body = b'{"test": 2432232314}'
    assert await channel.send(
        Message(event_id="msg_p5jXN8AQM9LWM0D4loKWxJek", type="t", body=body)
    ) == Receipt(status=204)
    return requests[0]


async def test_the_request_conforms_to_the_specification() -> None:
    request = await sent()

    assert request.method == "POST"
    assert str(request.url) == "https://receiver.example/a?b=c"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == "msg_p5jXN8AQM9LWM0D4loKWxJek"
    assert request.headers["webhook-timestamp"] == "1614265330"
    assert request.headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert request.content == b'{"test": 2432232314}'


async def test_custom_headers_are_sent() -> None:
    request = await sent(headers={"X-Team": "search", "Authorization": "Bearer abc"})
    assert request.headers["x-team"] == "search"
    assert request.headers["authorization"] == "Bearer abc"


@pytest.mark.parametrize(
    "headers",
    [
        {"Webhook-Id": "x"},
        {"webhook-signature": "x"},
        {"Content-Type": "text/plain"},
        {"HOST": "x"},
        {"content-length": "1"},
        {"bad name": "x"},
        {"": "x"},
        {"x": "a\r\nb: c"},
        {"x": "ä"},
    ],
)
def test_reserved_and_invalid_headers_are_rejected(
    headers: dict[str, str],
) -> None:
    with pytest.raises(ValidationError):
        webhook.Settings(
            name="x", url="https://receiver.example/", secrets=[SECRET], headers=headers
        )


@pytest.mark.parametrize(
    "url",
    [
        "receiver.example",
        "ftp://receiver.example/",
        "https:///no-host",
        "https://u:p@receiver.example/",
        "http://x:99999/",
    ],
)
def test_an_invalid_url_is_rejected_without_showing_it(url: str) -> None:
    with pytest.raises(ValidationError) as caught:
        webhook.Settings(name="x", url=url, secrets=[SECRET])
    assert url not in str(caught.value)


@pytest.mark.parametrize("secrets", [[], ["whsec_short"], [SECRET, "whsec_c2hvcnQ="]])
def test_missing_and_invalid_secrets_are_rejected(secrets: list[str]) -> None:
    with pytest.raises(ValidationError):
        webhook.Settings(name="x", url="https://receiver.example/", secrets=secrets)


async def deliver(response: bytes, *, requests: list[bytes], stays_open: bool = False) -> Receipt:
    """Send one event to a receiver that writes `response` to its socket."""

    async def serve(stream: anyio.abc.SocketStream, _: int) -> None:
        requests.append(await read_request(stream))
        await stream.send(response)
        if stays_open:
            await anyio.sleep_forever()

    outcome: Receipt | DeliveryError
    async with server(serve) as url:
        settings = webhook.Settings(name="x", url=url, secrets=[SECRET])
        async with channel_transport(settings) as transport:
            channel = webhook.create(
                settings, transport=transport, notes=InMemoryNotes(), wall=lambda: 1614265330.9
            )
            try:
                outcome = await channel.send(Message(event_id="msg_1", type="t", body=b"{}"))
            except DeliveryError as error:
                outcome = error
    if isinstance(outcome, DeliveryError):
        raise outcome
    return outcome


@pytest.mark.parametrize("stays_open", [False, True])
@pytest.mark.parametrize(
    "rest",
    [
        b"",
        b"X-Long: " + b"y" * 100_000,
        b"no colon\r\n\r\n",
        b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok",
        b"Content-Length: 2000\r\n\r\nok",
        b"Content-Length: 2\r\n\r\nok and more",
    ],
)
async def test_a_2xx_is_a_delivery_whatever_follows_it(rest: bytes, stays_open: bool) -> None:
    requests: list[bytes] = []
    began = anyio.current_time()
    receipt = await deliver(b"HTTP/1.1 200 OK\r\n" + rest, requests=requests, stays_open=stays_open)
    assert receipt.status == 200
    assert len(requests) == 1
    assert anyio.current_time() - began < 5


async def test_an_error_status_is_known_whatever_follows_it() -> None:
    with pytest.raises(DeliveryError) as caught:
        await deliver(b"HTTP/1.1 503 Busy\r\nno colon\r\n\r\n", requests=[])
    assert caught.value.status == 503
