"""The request of a webhook, and its settings."""

import json
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
from watcher.core.errors import DeliveryError, Disposition
from watcher.delivery.notes import InMemoryNotes
from watcher.net.transport import channel_transport
from watcher.testing.receiver import verify

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


EVENT = json.dumps(
    {
        "type": "task.failed",
        "timestamp": "2026-11-23T07:00:00Z",
        "data": {
            "task_id": "task_1",
            "status": "FAILED",
            "outputs": ["x" * 100_000],
            "additional_data": {"log": "y" * 10_000},
        },
    }
).encode()


class Choosy:
    """Accepts bodies of up to `limit` bytes, and rejects larger ones as `rejects` says."""

    def __init__(self, limit: int, rejects: int | Exception) -> None:
        self.limit = limit
        self.rejects = rejects
        self.sizes: list[int] = []
        self.accepted: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.sizes.append(len(request.content))
        if len(request.content) <= self.limit:
            self.accepted.append(request)
            return httpx.Response(204)
        if isinstance(self.rejects, Exception):
            raise self.rejects
        return httpx.Response(self.rejects, text="too large")

    async def receive(self, **options: Any) -> dict[str, Any]:
        settings = webhook.Settings(name="x", url="https://r.example/", secrets=[SECRET], **options)
        channel = webhook.create(
            settings,
            transport=httpx.MockTransport(self),
            notes=InMemoryNotes(),
            wall=lambda: 1614265330.9,
        )
        await channel.send(Message(event_id="msg_1", type="task.failed", body=EVENT))
        data: dict[str, Any] = json.loads(self.accepted[-1].content)["data"]
        return data


@pytest.mark.parametrize("rejects", [413, 431, httpx.WriteError("broken pipe")])
@pytest.mark.parametrize(
    ("limit", "fields"),
    [
        (200_000, ["task_id", "status", "outputs", "additional_data"]),
        (50_000, ["task_id", "status", "additional_data", "truncated"]),
    ],
)
async def test_what_is_too_large_is_sent_at_once_in_a_smaller_form(
    rejects: int | Exception, limit: int, fields: list[str]
) -> None:
    assert list(await Choosy(limit, rejects).receive()) == fields


async def test_a_smaller_form_is_signed_with_the_same_id() -> None:
    receiver = Choosy(1000, 413)
    assert await receiver.receive() == {"task_id": "task_1", "status": "FAILED", "truncated": True}
    (request,) = receiver.accepted
    assert request.headers["webhook-id"] == "msg_1"
    assert verify(SECRET, request.headers, request.content)
    assert receiver.sizes == sorted(receiver.sizes, reverse=True)


async def test_too_large_in_every_form_names_the_size() -> None:
    receiver = Choosy(10, 413)
    with pytest.raises(DeliveryError, match=r"HTTP 413: too large .*has 1.. bytes") as caught:
        await receiver.receive()
    assert caught.value.disposition is Disposition.TOO_LARGE
    assert len(receiver.sizes) == 3


async def test_a_limit_of_the_channel_needs_no_rejection() -> None:
    receiver = Choosy(50_000, 413)
    assert "outputs" not in await receiver.receive(max_body="50KiB")
    assert len(receiver.sizes) == 1


async def test_omitted_fields_are_never_sent() -> None:
    receiver = Choosy(200_000, 413)
    assert list(await receiver.receive(omit=["outputs"])) == [
        "task_id",
        "status",
        "additional_data",
    ]


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
