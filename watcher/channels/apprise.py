"""Any service that Apprise supports: e-mail, Teams, Discord, PagerDuty and a hundred more.

Requires the optional extra `apprise`. Apprise opens its own connections, from a thread; it does not
report why a notification failed, so every failure is retried. URLs:
https://appriseit.com/services/
"""

import importlib
import logging
import re
from collections.abc import Sequence
from functools import partial
from types import ModuleType
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import httpx
from pydantic import Field, SecretStr, model_validator

from watcher.channels._digest import ATTENTION_EVENTS, DIGEST_MOST, digest_slice
from watcher.channels._text import (
    cut,
    digest_text,
    event_data,
    facts,
    headline_of,
    item_errors,
    partial_success,
    text_of,
)
from watcher.core.clock import Clock
from watcher.core.deliveries import Message, Receipt
from watcher.core.errors import DeliveryError, DeliveryFailure
from watcher.core.interfaces.channel import Notes
from watcher.core.setting_types import is_loopback
from watcher.core.settings import ChannelSettings

_TYPES = {
    "failure": (
        "task.failed",
        "task.lost",
        "source.unreachable",
        "channel.failing",
        "channel.stopped",
    ),
    "warning": ("task.completed_with_errors", "task.stalled", "task.canceled"),
    "success": ("task.completed", "source.recovered", "channel.recovered"),
}
_MAX_TEXT = 2000
_MAX_ITEM_ERRORS = 3
_STATUS = re.compile(r"error=(\d{3})\b")


class Settings(ChannelSettings):
    """One Apprise `url`, such as `mailtos://…`.

    More than `digest_above` pending messages are combined in one (null: never).
    """

    default_events: ClassVar[tuple[str, ...]] = ATTENTION_EVENTS

    type: Literal["apprise"] = "apprise"
    url: SecretStr
    concurrency: Annotated[int, Field(ge=1, le=256)] = 1
    rate: Annotated[float, Field(gt=0, le=100_000)] | None = 1.0
    digest_above: Annotated[int, Field(ge=1)] | None = 5
    allow_http: bool = False

    @model_validator(mode="after")
    def _supported_and_encrypted(self) -> Self:
        try:
            service = _library().Apprise.instantiate(
                self.url.get_secret_value(), suppress_exceptions=True
            )
        except ImportError:
            raise ValueError(
                "type apprise needs an extra: pip install 'mixpeek-watcher[apprise]'"
            ) from None
        if service is None:
            raise ValueError("url is not supported by Apprise; see https://appriseit.com/services/")
        if not (self.allow_http or _encrypted(service, self.url.get_secret_value())):
            raise ValueError(
                "url uses a service without encryption: use its variant with TLS, or set allow_http"
            )
        return self


def create(
    settings: Settings, *, transport: httpx.AsyncBaseTransport, notes: Notes, wall: Clock
) -> "AppriseChannel":
    return AppriseChannel(settings)


class AppriseChannel:
    """Implements `watcher.core.interfaces.channel.Channel` and `Digesting`."""

    def __init__(self, settings: Settings) -> None:
        self._apprise = _library().Apprise()
        self._apprise.add(settings.url.get_secret_value())
        self._deadline = settings.timeout
        self._digest_above = settings.digest_above
        self._threads = anyio.CapacityLimiter(settings.concurrency)
        self.digest_most = DIGEST_MOST

    def choose(self, waiting: Sequence[Message]) -> Sequence[int]:
        return digest_slice(range(len(waiting)), self._digest_above)

    async def send(self, message: Message) -> Receipt:
        return await self._notify(*notification(message), notify_type(message.type))

    async def send_digest(self, messages: Sequence[Message]) -> Receipt:
        types = {notify_type(message.type) for message in messages}
        worst = next(each for each in (*_TYPES, "info") if each in types)
        return await self._notify(
            f"🔔 {len(messages)} events", digest_text(messages, _MAX_TEXT), worst
        )

    async def _notify(self, title: str, body: str, type_: str) -> Receipt:
        notify = partial(
            self._apprise.notify, title=title, body=body, notify_type=type_, body_format="text"
        )
        try:
            with anyio.fail_after(self._deadline):
                result = await anyio.to_thread.run_sync(
                    notify, abandon_on_cancel=True, limiter=self._threads
                )
        except TimeoutError:
            text = f"not completed within {self._deadline:g} s"
            raise DeliveryError(DeliveryFailure.TIMEOUT, text) from None
        if not result:
            raise _failure(result)
        return Receipt(status=200)


def notification(message: Message) -> tuple[str, str]:
    """Return the title and the text for an event."""
    data = event_data(message)
    lines = [
        f"{name}: {cut(value, _MAX_TEXT // 4)}" for name, value in facts(message, data) if value
    ]
    details = [
        text_of(data.get("error_message")),
        partial_success(data),
        *item_errors(data)[:_MAX_ITEM_ERRORS],
    ]
    return headline_of(message.type, data), cut(
        "\n".join([*lines, *filter(None, details)]), _MAX_TEXT
    )


def notify_type(event_type: str) -> str:
    """Return Apprise's type of an event: `failure`, `warning`, `success` or `info`."""
    return next((type_ for type_, events in _TYPES.items() if event_type in events), "info")


def _failure(result: Any) -> DeliveryError:
    # Apprise's log may contain parts of the URL; only the status is safe to show.
    status = _STATUS.search(" ".join(entry.message for entry in result.logs()))
    suffix = f": HTTP {status[1]}" if status else ""
    return DeliveryError(
        DeliveryFailure.UNAVAILABLE,
        f"Apprise could not deliver{suffix}",
        status=int(status[1]) if status else None,
    )


def _library() -> ModuleType:
    """Import the optional library, and silence its loggers: they may log parts of a URL."""
    module = importlib.import_module("apprise")
    for name in ("apprise", "urllib3"):
        logging.getLogger(name).propagate = False
    return module


def _encrypted(service: Any, url: str) -> bool:
    """Return whether the URL uses TLS, a service without a TLS variant, or this machine."""
    schema = urlsplit(url).scheme.lower()
    plain, encrypted = (
        {schemas} if isinstance(schemas, str) else set(schemas or ())
        for schemas in (service.protocol, service.secure_protocol)
    )
    return (
        schema in encrypted
        or not (schema in plain and encrypted)
        or is_loopback(str(service.host or ""))
    )
