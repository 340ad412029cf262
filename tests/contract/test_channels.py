"""The contract of `Channel`, for every channel in the package that uses the HTTP transport."""

from collections.abc import Callable
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.records import SECRET
from tests.support.virtual_time import VirtualLoop, wall
from watcher.configuration import plugins
from watcher.core.deliveries import Message, Receipt
from watcher.core.errors import DeliveryError, DeliveryFailure, Disposition
from watcher.core.interfaces.channel import Channel
from watcher.core.settings import ConnectionSettings
from watcher.delivery.notes import InMemoryNotes

pytestmark = pytest.mark.anyio

URL = "https://receiver.example/hidden-path-9f3b"
BODY = (
    b'{"type":"task.failed","timestamp":"2026-11-23T07:00:00.123456Z","data":{"task_id":"task_1","status":"FAILED",'
    b'"previous_status":"IN_PROGRESS","error_message":"boom"}}'
)
MESSAGE = Message(event_id="msg_1", type="task.failed", body=BODY)
SETTINGS: dict[str, dict[str, Any]] = {
    "webhook": {"secrets": [SECRET], "headers": {"x-token": "hidden-token-77aa"}},
    "slack": {},
}
ACCEPTED = {"webhook": "body", "slack": "ok"}
"""The body of a response that accepts a message."""
HIDDEN = ("hidden-path-9f3b", "hidden-token-77aa", SECRET, SECRET.removeprefix("whsec_"))
NOT_ABOUT_THE_BODY = {401, 403, 404, 408, 410, 425, 429}

Handler = Callable[[httpx.Request], httpx.Response]


def rejected(error: DeliveryError) -> bool:
    return error.disposition is Disposition.REJECTED


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


def over_http() -> list[str]:
    return [
        name
        for name in plugins.names("channels")
        if issubclass(plugins.load("channels", name).Settings, ConnectionSettings)
    ]


@pytest.fixture(params=over_http())
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def settings_of(kind: str, **options: Any) -> Any:
    return plugins.load("channels", kind).Settings(name="x", url=URL, **SETTINGS[kind], **options)


def built(kind: str, transport: httpx.AsyncBaseTransport, **options: Any) -> Channel:
    channel: Channel = plugins.load("channels", kind).create(
        settings_of(kind, **options), transport=transport, notes=InMemoryNotes(), wall=wall
    )
    return channel


def answering(kind: str, handler: Handler) -> Channel:
    return built(kind, httpx.MockTransport(handler))


async def failure(channel: Channel) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await channel.send(MESSAGE)
    assert not any(secret in str(caught.value) for secret in HIDDEN)
    return caught.value


def expected(status: int) -> tuple[DeliveryFailure, bool]:
    if status >= 500:
        return DeliveryFailure.UNAVAILABLE, False
    if status == 429:
        return DeliveryFailure.RATE_LIMITED, False
    if status == 410:
        return DeliveryFailure.GONE, False
    if status in (413, 431):
        return DeliveryFailure.TOO_LARGE, False
    if status >= 400:
        return DeliveryFailure.REJECTED, status not in NOT_ABOUT_THE_BODY
    return (DeliveryFailure.REDIRECT if status >= 300 else DeliveryFailure.REJECTED), False


async def test_every_status_from_100_to_599(kind: str) -> None:
    for status in range(100, 600):
        requests: list[httpx.Request] = []

        def handler(
            request: httpx.Request, status: int = status, received: list[httpx.Request] = requests
        ) -> httpx.Response:
            received.append(request)
            return httpx.Response(
                status, headers={"location": "https://elsewhere.example/"}, text=ACCEPTED[kind]
            )

        channel = answering(kind, handler)
        if 200 <= status < 300:
            assert await channel.send(MESSAGE) == Receipt(status=status, response=ACCEPTED[kind])
        else:
            error = await failure(channel)
            assert (error.reason, rejected(error)) == expected(status), status
            assert (error.status, error.response) == (status, ACCEPTED[kind])
        assert len(requests) == (2 if (kind, status) == ("slack", 413) else 1)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(min_codepoint=32, max_codepoint=126)))
async def test_no_retry_after_raises(kind: str, text: str) -> None:
    channel = answering(kind, lambda request: httpx.Response(503, headers={"retry-after": text}))
    error = await failure(channel)
    assert error.retry_after is None or 0 <= error.retry_after <= 86400


async def test_retry_after_is_passed_on(kind: str) -> None:
    error = await failure(
        answering(kind, lambda request: httpx.Response(429, headers={"retry-after": "77"}))
    )
    assert error.retry_after == 77


class Dripping(httpx.AsyncBaseTransport):
    """Responds with one byte a second, endlessly."""

    def __init__(self) -> None:
        self.read = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        async def drip() -> Any:
            while True:
                await anyio.sleep(1)
                self.read += 1
                yield b"x"

        return httpx.Response(200, content=drip())


async def test_the_deadline_is_for_the_whole_exchange(kind: str) -> None:
    transport = Dripping()
    if kind == "webhook":  # the status is sufficient
        receipt = await built(kind, transport, timeout=15.0).send(MESSAGE)
        assert receipt.status == 200
        assert anyio.current_time() <= 1
        return
    error = await failure(built(kind, transport, timeout=15.0))

    # What arrived within 3 s of the status is not Slack's word for a success.
    reason = DeliveryFailure.PROTOCOL if kind == "slack" else DeliveryFailure.TIMEOUT
    assert error.reason is reason
    assert transport.read <= 15
    assert anyio.current_time() <= (4 if kind == "slack" else 16)


async def test_at_most_eight_kibibytes_of_a_response_are_read(kind: str) -> None:
    read = 0

    async def endless() -> Any:
        nonlocal read
        while True:
            read += 1024
            yield b"x" * 1024

    channel = answering(kind, lambda request: httpx.Response(200, content=endless()))
    if kind == "slack":  # which has a word for its success
        assert (await failure(channel)).response == "x" * 1024
    else:
        assert await channel.send(MESSAGE) == Receipt(status=200, response="x" * 1024)
    assert read <= 10 * 1024


@pytest.mark.parametrize(
    ("raised", "reason"),
    [
        (httpx.ConnectError("refused"), DeliveryFailure.CONNECT),
        (httpx.ReadTimeout("slow"), DeliveryFailure.TIMEOUT),
        (httpx.RemoteProtocolError("broken"), DeliveryFailure.PROTOCOL),
        (httpx.ReadError("reset"), DeliveryFailure.PROTOCOL),
    ],
)
async def test_each_transport_error_has_a_reason(
    kind: str, raised: Exception, reason: DeliveryFailure
) -> None:
    def handler(_: httpx.Request) -> httpx.Response:
        raise raised

    error = await failure(answering(kind, handler))
    assert (error.reason, error.status, rejected(error)) == (reason, None, False)


async def test_the_same_message_is_sent_as_the_same_bytes(kind: str) -> None:
    bodies = []

    def handler(request: httpx.Request) -> httpx.Response:
        bodies.append(request.content)
        return httpx.Response(200, text=ACCEPTED[kind])

    channel = answering(kind, handler)
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(channel.send, MESSAGE)

    assert len(bodies) == 3
    assert len(set(bodies)) == 1


async def test_no_secret_is_shown(kind: str) -> None:
    channel = answering(kind, lambda request: httpx.Response(500, text="no"))
    settings = settings_of(kind)
    shown = (
        f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()} {channel!r}"
    )
    assert not any(secret in shown for secret in HIDDEN)


async def test_the_response_is_shown_in_one_short_line(kind: str) -> None:
    channel = answering(
        kind, lambda request: httpx.Response(500, text="first\n\x1b[31msecond" + "x" * 5000)
    )
    text = str(await failure(channel))
    assert text.startswith("HTTP 500: first [31msecond")
    assert text.isprintable()
    assert len(text) < 300
