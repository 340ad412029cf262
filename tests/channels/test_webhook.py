"""What a webhook request looks like, and which settings it takes."""

from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from tests.support.records import SECRET
from watcher.channels import webhook
from watcher.core.deliveries import Message, Receipt
from watcher.delivery.notes import PassingNotes

pytestmark = pytest.mark.anyio


async def sent(**given: Any) -> httpx.Request:
    requests = []

    def handler(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(204)

    settings = webhook.Settings(
        name="x", url="https://receiver.example/a?b=c", secrets=[SECRET], **given
    )
    channel = webhook.create(
        settings,
        transport=httpx.MockTransport(handler),
        notes=PassingNotes(),
        wall=lambda: 1614265330.9,
    )
    body = b'{"test": 2432232314}'
    assert await channel.send(
        Message(event_id="msg_p5jXN8AQM9LWM0D4loKWxJek", type="t", body=body)
    ) == Receipt(status=204)
    return requests[0]


async def test_the_request_is_as_the_specification_has_it() -> None:
    request = await sent()

    assert request.method == "POST"
    assert str(request.url) == "https://receiver.example/a?b=c"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == "msg_p5jXN8AQM9LWM0D4loKWxJek"
    assert request.headers["webhook-timestamp"] == "1614265330"
    assert request.headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert request.content == b'{"test": 2432232314}'


async def test_fixed_headers_go_along() -> None:
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
def test_headers_that_are_the_watchers_own_or_no_headers_are_refused(
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
def test_what_is_no_url_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ValidationError) as caught:
        webhook.Settings(name="x", url=url, secrets=[SECRET])
    assert url not in str(caught.value)


@pytest.mark.parametrize("secrets", [[], ["whsec_short"], [SECRET, "whsec_c2hvcnQ="]])
def test_secrets_that_sign_nothing_are_refused(secrets: list[str]) -> None:
    with pytest.raises(ValidationError):
        webhook.Settings(name="x", url="https://receiver.example/", secrets=secrets)
