"""Whatever Apprise reaches: e-mail, Teams, Discord, PagerDuty and a hundred more, by one URL of its own kind.

Needs the optional extra `apprise`. Apprise makes its own connections, from a thread; it says of a failure no more than
that it was one, so every failure is tried again. URLs: https://appriseit.com/services/
"""

import importlib
import logging
import re
from collections.abc import Sequence
from functools import partial
from types import ModuleType
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import httpx
from pydantic import Field, SecretStr, model_validator

from watcher.channels._digest import ATTENTION_EVENTS, DIGEST_MOST, digest_slice
from watcher.channels._text import (
    by_kind,
    counted,
    cut,
    event_data,
    facts,
    headline_of,
    item_errors,
    listed,
    partial_success,
    text_of,
)
from watcher.core.clock import Clock
from watcher.core.deliveries import Message, Receipt
from watcher.core.errors import DeliveryError, DeliveryFailure
from watcher.core.interfaces.channel import Notes
from watcher.core.settings import ChannelSettings, is_loopback

DEFAULT_EVENTS = ATTENTION_EVENTS

_KINDS = {
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
_LONGEST = 2000
_ITEMS = 3
_STATUS = re.compile(r"error=(\d{3})\b")


class Settings(ChannelSettings):
    """One Apprise `url`, such as `mailtos://…`.

    More than `digest_above` messages that wait at once become one (null: never).
    """

    type: Literal["apprise"] = "apprise"
    url: SecretStr
    concurrency: Annotated[int, Field(ge=1, le=256)] = 1
    rate: Annotated[float, Field(gt=0, le=100_000)] | None = 1.0
    digest_above: Annotated[int, Field(ge=1)] | None = 5
    allow_http: bool = False

    @model_validator(mode="after")
    def _usable(self) -> Self:
        try:
            service = _library().Apprise.instantiate(
                self.url.get_secret_value(), suppress_exceptions=True
            )
        except ImportError:
            raise ValueError(
                "type apprise needs an extra: pip install 'mixpeek-watcher[apprise]'"
            ) from None
        if service is None:
            raise ValueError("url is none that Apprise knows; see https://appriseit.com/services/")
        if not (self.allow_http or _encrypted(service, self.url.get_secret_value())):
            raise ValueError(
                "url names a service without encryption: use the one with TLS, or set allow_http"
            )
        return self


def create(
    settings: Settings, *, transport: httpx.AsyncBaseTransport, notes: Notes, wall: Clock
) -> "AppriseChannel":
    """Return the channel that notifies `settings.url`; the connections are Apprise's own, not `transport`'s."""
    return AppriseChannel(settings)


class AppriseChannel:
    """Implements `watcher.core.interfaces.channel.Channel` and `Digesting`."""

    def __init__(self, settings: Settings) -> None:
        self._apprise = _library().Apprise()
        self._apprise.add(settings.url.get_secret_value())
        self._deadline = settings.timeout
        self._above = settings.digest_above
        self._threads = anyio.CapacityLimiter(settings.concurrency)
        self.digest_most = DIGEST_MOST

    def choose(self, waiting: Sequence[Message]) -> Sequence[int]:
        return digest_slice(range(len(waiting)), self._above)

    async def send(self, message: Message) -> Receipt:
        return await self._notify(*worded(message), kind_of(message.type))

    async def send_digest(self, messages: Sequence[Message]) -> Receipt:
        kinds = {kind_of(message.type) for message in messages}
        worst = next(kind for kind in (*_KINDS, "info") if kind in kinds)
        return await self._notify(f"🔔 {len(messages)} events", worded_digest(messages), worst)

    async def _notify(self, title: str, body: str, kind: str) -> Receipt:
        notify = partial(
            self._apprise.notify, title=title, body=body, notify_type=kind, body_format="text"
        )
        try:
            with anyio.fail_after(self._deadline):
                result = await anyio.to_thread.run_sync(
                    notify, abandon_on_cancel=True, limiter=self._threads
                )
        except TimeoutError:
            text = f"no end within {self._deadline:g} s"
            raise DeliveryError(DeliveryFailure.TIMEOUT, text) from None
        if not result:
            raise _failure(result)
        return Receipt(status=200)


def worded(message: Message) -> tuple[str, str]:
    """Return the title and the text that tell `message`."""
    told = event_data(message)
    lines = [
        f"{name}: {cut(value, _LONGEST // 4)}" for name, value in facts(message, told) if value
    ]
    further = [
        text_of(told.get("error_message")),
        partial_success(told),
        *item_errors(told)[:_ITEMS],
    ]
    return headline_of(message.type, told), cut(
        "\n".join([*lines, *filter(None, further)]), _LONGEST
    )


def worded_digest(messages: Sequence[Message]) -> str:
    """Return one text that tells all of `messages`, those of a type together, each named, or counted."""
    names = by_kind(messages)
    room = _LONGEST // len(names)
    return "\n".join(
        f"{counted(kind, len(of_a_kind))}: {listed(of_a_kind, room)}"
        for kind, of_a_kind in names.items()
    )


def kind_of(event_type: str) -> str:
    """Return what Apprise calls an event: `failure`, `warning`, `success` or `info`."""
    return next((kind for kind, types in _KINDS.items() if event_type in types), "info")


def _failure(result: Any) -> DeliveryError:
    # The lines may hold parts of the URL; a status alone is safe to show.
    found = _STATUS.search(" ".join(entry.message for entry in result.logs()))
    said = f": HTTP {found[1]}" if found else ""
    return DeliveryError(
        DeliveryFailure.UNAVAILABLE,
        f"Apprise could not deliver{said}",
        status=int(found[1]) if found else None,
    )


def _library() -> ModuleType:
    """Return Apprise, imported where it is used alone. Its log lines may hold parts of a URL, so none goes further."""
    module = importlib.import_module("apprise")
    for name in ("apprise", "urllib3"):
        logging.getLogger(name).propagate = False
    return module


def _encrypted(service: Any, url: str) -> bool:
    """Return whether the service has no variant with TLS, uses it, or is on this machine."""
    schema = urlsplit(url).scheme.lower()
    plain, safe = (
        {one} if isinstance(one, str) else set(one or ())
        for one in (service.protocol, service.secure_protocol)
    )
    return schema in safe or not (schema in plain and safe) or is_loopback(str(service.host or ""))
