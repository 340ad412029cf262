"""A webhook according to the Standard Webhooks specification: a POST of the signed event."""

import re
from dataclasses import replace
from typing import Annotated, Literal

import httpx
from pydantic import AfterValidator, ByteSize, Field, SecretStr, WithJsonSchema
from pydantic.config import JsonDict

from watcher.channels._http import REST_WITHIN, post, require_success
from watcher.core.clock import Clock
from watcher.core.deliveries import Message, Receipt
from watcher.core.errors import DeliveryError, DeliveryFailure, Disposition
from watcher.core.event_forms import EventForms
from watcher.core.interfaces.channel import Notes
from watcher.core.receiver_settings import ReceiverSettings
from watcher.core.secret_texts import beyond_ascii
from watcher.core.setting_types import LONGEST_SECRET, SecretUrl
from watcher.core.settings import SIZE_SCHEMA, ChannelSettings
from watcher.core.signing import Signer, parse_secret
from watcher.net.headers import USER_AGENT

_BUFFERED = 64 * 1024
_RESERVED = frozenset(
    {"host", "content-type", "content-length", "transfer-encoding", "connection", "te", "upgrade"}
)
_CREDENTIALS = frozenset({"authorization", "proxy-authorization"})
_SCHEME = re.compile(r"(?i:basic|bearer|digest|token)")
"""A header that has only its scheme has an empty secret."""
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2


def _in_any_case(name: str) -> str:
    return "".join(f"[{char}{char.upper()}]" if char.isalpha() else char for char in name)


_NAMES_SCHEMA: JsonDict = {
    "pattern": f"^{_HEADER_NAME.pattern}$",
    "not": {
        "pattern": f"^(?:{'|'.join(map(_in_any_case, sorted(_RESERVED)))})$"
        f"|^{_in_any_case('webhook-')}|{_in_any_case('_file')}$"
    },
}


def _valid_secret(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if not text.strip():
        raise ValueError("must not be empty")
    if fault := beyond_ascii(text, spaces=True):
        raise ValueError(fault)
    parse_secret(text)
    return secret


def _some_without_expiry(secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    Signer(secret.get_secret_value() for secret in secrets)
    return secrets


def _custom_headers(headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
    if len({name.lower() for name in headers}) < len(headers):
        raise ValueError("the same header twice: names differ in case only")
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a valid header name")
        if name.lower() in _RESERVED or name.lower().startswith("webhook-"):
            raise ValueError(f"{name!r} is reserved: the watcher sets it")
        text = value.get_secret_value()
        if len(text) > LONGEST_SECRET:
            raise ValueError(f"the value of {name!r} is longer than {LONGEST_SECRET} characters")
        if fault := beyond_ascii(text, spaces=True):
            raise ValueError(f"the value of {name!r} {fault}, which no header can carry")
        if not text.strip() or (name.lower() in _CREDENTIALS and _SCHEME.fullmatch(text.strip())):
            raise ValueError(f"the value of {name!r} must not be empty")
    return headers


class Settings(ReceiverSettings, ChannelSettings):
    """A webhook's settings.

    Each of `secrets` adds a signature; the newest comes first. `headers` are added to each request.
    They are secrets, and a file may contain one: `headers: {Authorization: {file: /run/secrets/x}}`
    with the whole value, such as `Bearer …`. The file is read again when it changes.
    """

    type: Literal["webhook"] = "webhook"
    url: SecretUrl
    secrets: Annotated[
        tuple[Annotated[SecretStr, AfterValidator(_valid_secret)], ...],
        Field(min_length=1),
        AfterValidator(_some_without_expiry),
    ]
    headers: Annotated[dict[str, SecretStr], AfterValidator(_custom_headers)] = Field(
        default_factory=dict, json_schema_extra={"propertyNames": _NAMES_SCHEMA}
    )
    max_body: Annotated[ByteSize, Field(ge=1024), WithJsonSchema(SIZE_SCHEMA)] = ByteSize(262_144)
    """Size up to which an event is sent whole; a larger one is sent without outputs and inputs,
    then without additional_data, marked truncated."""
    omit: tuple[str, ...] = ()
    """Fields of `data` that are never sent."""


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
        self._forms = EventForms(limit=settings.max_body, omit=settings.omit)
        self._deadline = settings.timeout
        self._transport = transport
        self._wall = wall

    async def send(self, message: Message) -> Receipt:
        error: DeliveryError | None = None
        size = 0
        for body in self._forms.of(message.body):
            size = len(body)
            try:
                return await self._post(_with(message, body))
            except DeliveryError as failure:
                if not _may_be_too_large(failure, size):
                    raise
                error = failure
        if error is None:
            raise RuntimeError("an event has no form")
        raise DeliveryError(
            error.reason,
            f"{error} (the smallest form of the event has {size} bytes)",
            disposition=error.disposition,
            status=error.status,
            response=error.response,
        )

    async def _post(self, message: Message) -> Receipt:
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


def _with(message: Message, body: bytes) -> Message:
    return message if body is message.body else replace(message, body=body)


def _may_be_too_large(error: DeliveryError, size: int) -> bool:
    """Return whether a smaller form may be accepted. A receiver may also reset the connection in
    the middle of a body that does not fit in the buffers between.
    """
    was_cut = error.reason is DeliveryFailure.PROTOCOL and size > _BUFFERED
    return error.disposition is Disposition.TOO_LARGE or was_cut
