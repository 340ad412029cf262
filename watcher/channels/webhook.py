"""A webhook according to the Standard Webhooks specification: a POST of the signed event."""

import re
from typing import Annotated, Literal

import httpx
from pydantic import AfterValidator, Field, SecretStr

from watcher.channels._http import REST_WITHIN, post, require_success
from watcher.core.clock import Clock
from watcher.core.deliveries import Message, Receipt
from watcher.core.interfaces.channel import Notes
from watcher.core.setting_types import SecretUrl
from watcher.core.settings import ChannelSettings, ConnectionSettings
from watcher.core.signing import Signer, parse_secret
from watcher.net.headers import USER_AGENT

_RESERVED = frozenset(
    {"host", "content-type", "content-length", "transfer-encoding", "connection", "te", "upgrade"}
)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2


def _valid_secret(secret: SecretStr) -> SecretStr:
    parse_secret(secret.get_secret_value())
    return secret


def _some_without_expiry(secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    Signer(secret.get_secret_value() for secret in secrets)
    return secrets


def _custom_headers(headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a valid header name")
        if name.lower() in _RESERVED or name.lower().startswith("webhook-"):
            raise ValueError(f"{name!r} is reserved: the watcher sets it")
        text = value.get_secret_value()
        if not (text.isascii() and text.isprintable()):
            raise ValueError(
                f"the value of {name!r} contains characters that are invalid in a header"
            )
    return headers


class Settings(ConnectionSettings, ChannelSettings):
    """A webhook's settings.

    Each of `secrets` adds a signature; the newest comes first. `headers` are added to each request,
    and may contain a token.
    """

    type: Literal["webhook"] = "webhook"
    url: SecretUrl
    secrets: Annotated[
        tuple[Annotated[SecretStr, AfterValidator(_valid_secret)], ...],
        Field(min_length=1),
        AfterValidator(_some_without_expiry),
    ]
    headers: Annotated[dict[str, SecretStr], AfterValidator(_custom_headers)] = Field(
        default_factory=dict
    )


def create(
    settings: Settings,
    *,
    transport: httpx.AsyncBaseTransport,
    notes: Notes,
    wall: Clock,
) -> "WebhookChannel":
    return WebhookChannel(settings, transport, wall)


class WebhookChannel:
    """Implements `watcher.core.interfaces.channel.Channel`."""

    def __init__(
        self, settings: Settings, transport: httpx.AsyncBaseTransport, wall: Clock
    ) -> None:
        self._url = httpx.URL(settings.url.get_secret_value())
        self._signer = Signer(secret.get_secret_value() for secret in settings.secrets)
        headers = {
            "user-agent": USER_AGENT,
            "accept-encoding": "identity",
            **{name: value.get_secret_value() for name, value in settings.headers.items()},
            "content-type": "application/json",
        }
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]
        self._deadline = settings.timeout
        self._transport = transport
        self._wall = wall

    async def send(self, message: Message) -> Receipt:
        timestamp = int(self._wall())
        headers = [
            *self._headers,
            (b"webhook-id", message.event_id.encode()),
            (b"webhook-timestamp", b"%d" % timestamp),
            (
                b"webhook-signature",
                self._signer.sign(message.event_id, timestamp, message.body).encode(),
            ),
        ]
        # Encoded headers and a stream skip work in httpx that costs a tenth of a delivery.
        request = httpx.Request(
            "POST", self._url, headers=headers, stream=httpx.ByteStream(message.body)
        )
        reply = await post(self._transport, request, self._deadline, rest_within=REST_WITHIN)
        return require_success(reply, self._wall)
