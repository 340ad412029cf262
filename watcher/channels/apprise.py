"""Any service that Apprise supports: e-mail, Teams, Discord, PagerDuty and a hundred more.

Requires the optional extra `apprise`. Apprise runs in a process of its own, see `_apprise_worker`;
what follows a failure depends on the status of the service's response, if it uses HTTP. URLs:
https://appriseit.com/services/
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, Self

import httpx
from pydantic import AfterValidator, Field, SecretStr, model_validator

from watcher.channels._apprise_process import (
    Notification,
    NotificationOutcome,
    NotStartedError,
    WorkerEndedError,
    Workers,
    service_of,
)
from watcher.channels._digest import ATTENTION_EVENTS, DIGEST_MOST, choose_tasks
from watcher.channels._http import require_success
from watcher.channels._neutral_text import neutral
from watcher.channels._text import (
    cut_at_word,
    digest_text,
    event_data,
    facts,
    headline_of,
    item_errors,
    one_line,
    partial_success,
    text_of,
)
from watcher.core.clock import Clock
from watcher.core.deliveries import Message, Receipt
from watcher.core.errors import DeliveryError, DeliveryFailure, Disposition
from watcher.core.interfaces.channel import Notes
from watcher.core.local_address import is_loopback
from watcher.core.setting_types import check_url_text
from watcher.core.settings import ChannelSettings
from watcher.net.exchange import Reply

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
_MAX_TITLE = 300
_MAX_ITEM_ERRORS = 3
_INDENT = "\n    "
_REASONS: dict[str | None, DeliveryFailure] = {
    "connect": DeliveryFailure.CONNECT,
    "timeout": DeliveryFailure.TIMEOUT,
}


def _url_text(url: SecretStr) -> SecretStr:
    check_url_text(url.get_secret_value())
    return url


class Settings(ChannelSettings):
    """One Apprise `url`, such as `mailtos://…`.

    More than `digest_above` pending events of tasks are combined in one (null: never). Each of
    `concurrency` takes a process of about 55 MB while it sends, and for 30 s afterwards.
    """

    default_events: ClassVar[tuple[str, ...]] = ATTENTION_EVENTS

    type: Literal["apprise"] = "apprise"
    url: Annotated[SecretStr, AfterValidator(_url_text)]
    concurrency: Annotated[int, Field(ge=1, le=256)] = 1
    rate: Annotated[float, Field(gt=0, le=100_000)] | None = 1.0
    digest_above: Annotated[int, Field(ge=1)] | None = 5
    allow_http: bool = False

    @model_validator(mode="after")
    def _supported_and_encrypted(self) -> Self:
        try:
            service = service_of(self.url.get_secret_value())
        except ImportError:
            raise ValueError(
                "type apprise needs an extra: pip install 'mixpeek-watcher[apprise]'"
            ) from None
        if service is None:
            raise ValueError("url is not supported by Apprise; see https://appriseit.com/services/")
        if not (self.allow_http or service.encrypted or is_loopback(service.host)):
            raise ValueError(
                "url uses a service without encryption: use its variant with TLS, or set allow_http"
            )
        return self


def create(
    settings: Settings, *, transport: httpx.AsyncBaseTransport, notes: Notes, wall: Clock
) -> "AppriseChannel":
    return AppriseChannel(settings, wall)


class AppriseChannel:
    """Implements `Channel`, `Digesting` and `Closing` of `watcher.core.interfaces.channel`."""

    def __init__(self, settings: Settings, wall: Clock) -> None:
        self._workers = Workers(settings.url.get_secret_value())
        self._deadline = settings.timeout
        self._digest_above = settings.digest_above
        self._wall = wall
        self.digest_most = DIGEST_MOST

    def choose(self, waiting: Sequence[Message]) -> Sequence[int]:
        """Combine events of tasks: a service for incidents opens one for an outage and resolves it
        for its end.
        """
        return choose_tasks(waiting, self._digest_above)

    async def send(self, message: Message) -> Receipt:
        title, body = notification(message)
        return await self._notify(title, body, notify_type(message.type), subject_of(message))

    async def send_digest(self, messages: Sequence[Message]) -> Receipt:
        types = {notify_type(message.type) for message in messages}
        worst = next(each for each in (*_TYPES, "info") if each in types)
        title = f"🔔 {len(messages)} events"
        text = neutral(digest_text(messages, _MAX_TEXT))
        return await self._notify(title, text, worst, title)

    async def aclose(self) -> None:
        await self._workers.aclose()

    async def _notify(self, title: str, body: str, type_: str, key: str) -> Receipt:
        content = Notification(title=title, body=body, type=type_, key=key)
        try:
            outcome = await self._workers.notify(content, self._deadline)
        except TimeoutError:
            text = f"not completed within {self._deadline:g} s"
            raise DeliveryError(DeliveryFailure.TIMEOUT, text) from None
        except NotStartedError:
            raise DeliveryError(
                DeliveryFailure.CONNECT,
                "Apprise could not be started",
                disposition=Disposition.NOT_SENT,
            ) from None
        except WorkerEndedError:
            text = "Apprise could not deliver: its process ended"
            raise DeliveryError(DeliveryFailure.UNAVAILABLE, text) from None
        if not outcome.delivered:
            raise self._failure(outcome)
        return Receipt(status=200)

    def _failure(self, outcome: NotificationOutcome) -> DeliveryError:
        # Apprise's log, and what a service writes, may contain parts of the URL.
        text = "Apprise could not deliver"
        if outcome.status is None:
            reason = _REASONS.get(outcome.failure, DeliveryFailure.UNAVAILABLE)
            words = {"connect": ": no connection", "timeout": ": timed out"}
            return DeliveryError(reason, text + words.get(outcome.failure or "", ""))
        headers = {} if outcome.retry_after is None else {"retry-after": outcome.retry_after}
        reply = Reply(status=outcome.status, headers=headers, body=b"", truncated=False)
        try:
            require_success(reply, self._wall)
        except DeliveryError as error:
            return DeliveryError(
                error.reason,
                f"{text}: {error}",
                disposition=error.disposition,
                status=error.status,
                retry_after=error.retry_after,
            )
        return DeliveryError(DeliveryFailure.UNAVAILABLE, text)


def subject_of(message: Message) -> str:
    """Return what an event is about, such as `source mixpeek`: an outage and its end agree."""
    subject = message.type.partition(".")[0]
    data = event_data(message)
    name = data.get("task_id") if subject == "task" else data.get(subject)
    return cut_at_word(f"{subject} {one_line(text_of(name))}", 200)


def notification(message: Message) -> tuple[str, str]:
    """Return the title and the text for an event."""
    data = event_data(message)
    lines = [
        f"{name}: {cut_at_word(value, _MAX_TEXT // 4)}"
        for name, value in facts(message, data)
        if value
    ]
    # Nothing in a line can look like the beginning of another.
    if error := text_of(data.get("error_message")):
        lines.append(f"Error: {_INDENT.join(error.splitlines())}")
    if summary := partial_success(data):
        lines.append(f"Partial success: {summary}")
    lines += [f"• {item}" for item in item_errors(data)[:_MAX_ITEM_ERRORS]]
    headline = neutral(cut_at_word(headline_of(message.type, data), _MAX_TITLE))
    # Apprise sends nothing without a text.
    return headline, neutral(cut_at_word("\n".join(lines), _MAX_TEXT)) or headline


def notify_type(event_type: str) -> str:
    """Return Apprise's type of an event: `failure`, `warning`, `success` or `info`."""
    return next((type_ for type_, events in _TYPES.items() if event_type in events), "info")
