"""Slack: an incoming webhook, or a bot with a token, which shows a batch as one message that it changes."""

import re
import string
from collections.abc import Sequence
from typing import Annotated, Literal, Self

import httpx
from pydantic import AfterValidator, Field, SecretStr, model_validator

from watcher.channels._digest import ATTENTION_EVENTS, DIGEST_MOST, digest_slice
from watcher.channels._text import batch_of
from watcher.channels.slack.batch_messages import Batches
from watcher.channels.slack.blocks import MOST_LINKS, PLACEHOLDERS, render, render_digest
from watcher.channels.slack.client import Bot, Webhook
from watcher.core.clock import Clock
from watcher.core.deliveries import Message, Receipt
from watcher.core.errors import DeliveryError, DeliveryFailure, Disposition, StoreError
from watcher.core.interfaces.channel import Notes
from watcher.core.settings import ChannelSettings, ConnectionSettings, http_url

DEFAULT_EVENTS = ATTENTION_EVENTS

_MENTION = re.compile(r"<(?:!here|!channel|!everyone|@[UW][A-Z0-9]+|!subteam\^S[A-Z0-9]+)>")


def _mention(text: str) -> str:
    if not _MENTION.fullmatch(text):
        raise ValueError("is no mention such as <!here>, <@U012AB3CD> or <!subteam^S012AB3CD>")
    return text


def _templates(links: dict[str, str]) -> dict[str, str]:
    for name, template in links.items():
        for _, field, _, _ in string.Formatter().parse(template):
            if field is not None and field not in PLACEHOLDERS:
                raise ValueError(
                    f"{name!r} holds {{{field}}}; known: {', '.join(sorted(PLACEHOLDERS))}"
                )
        http_url(template)
    return links


def _optional_url(url: SecretStr | None) -> SecretStr | None:
    if url is not None:
        http_url(url.get_secret_value())
    return url


def _with_slash(url: str) -> str:
    return http_url(url).rstrip("/") + "/"


class Settings(ConnectionSettings, ChannelSettings):
    """The `url` of an incoming webhook, or a `bot_token` and the `slack_channel` it posts to.

    More than `digest_above` messages that wait at once become one (null: never). `links` are URL templates,
    `{task_id}` and its like filled in. `api_url` is another one for GovSlack.
    """

    type: Literal["slack"] = "slack"
    url: Annotated[SecretStr | None, AfterValidator(_optional_url)] = None
    bot_token: SecretStr | None = None
    slack_channel: Annotated[str, Field(min_length=1)] | None = None
    api_url: Annotated[str, AfterValidator(_with_slash)] = "https://slack.com/api/"
    concurrency: Annotated[int, Field(ge=1, le=256)] = 4
    rate: Annotated[float, Field(gt=0, le=100_000)] | None = (
        1.0  # what Slack allows for each webhook
    )
    digest_above: Annotated[int, Field(ge=1)] | None = 5
    mention: Annotated[str, AfterValidator(_mention)] | None = None
    mention_on: tuple[str, ...] = ("task.failed", "task.lost", "source.unreachable")
    links: Annotated[dict[str, str], Field(max_length=MOST_LINKS), AfterValidator(_templates)] = (
        Field(default_factory=dict)
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.url is None) == (self.bot_token is None):
            raise ValueError(
                "give either the url (url_file) of a webhook, or a bot_token (bot_token_file)"
            )
        if (self.bot_token is None) != (self.slack_channel is None):
            raise ValueError("a bot_token and a slack_channel belong together")
        return self


def create(
    settings: Settings, *, transport: httpx.AsyncBaseTransport, notes: Notes, wall: Clock
) -> "WebhookSlack | BotSlack":
    """Return the channel that posts to Slack over `transport`."""
    deadline = settings.timeout
    if settings.url is not None:
        return WebhookSlack(
            Webhook(settings.url.get_secret_value(), transport, deadline, wall), settings
        )
    bot = Bot(
        api_url=settings.api_url,
        token=settings.bot_token.get_secret_value() if settings.bot_token else "",
        channel=settings.slack_channel or "",
        transport=transport,
        deadline=deadline,
        wall=wall,
    )
    return BotSlack(bot, notes, settings)


class WebhookSlack:
    """Implements `watcher.core.interfaces.channel.Channel` and `Digesting`."""

    def __init__(self, webhook: Webhook, settings: Settings) -> None:
        self._webhook = webhook
        self._settings = settings
        self.digest_most = DIGEST_MOST

    def choose(self, waiting: Sequence[Message]) -> Sequence[int]:
        return digest_slice(range(len(waiting)), self._settings.digest_above)

    async def send(self, message: Message) -> Receipt:
        return await self._webhook.post(render(message, self._settings))

    async def send_digest(self, messages: Sequence[Message]) -> Receipt:
        return await self._webhook.post(render_digest(messages, self._settings))


class BotSlack:
    """Implements `watcher.core.interfaces.channel.Channel` and `Digesting`: what waits for one batch is told together."""

    def __init__(self, bot: Bot, notes: Notes, settings: Settings) -> None:
        self._bot = bot
        self._batches = Batches(bot, notes, settings)
        self._settings = settings
        self.digest_most = DIGEST_MOST

    def choose(self, waiting: Sequence[Message]) -> Sequence[int]:
        batches = [batch_of(message) for message in waiting]
        alike = [number for number, batch in enumerate(batches) if batch == batches[0]]
        return (
            alike[:DIGEST_MOST]
            if batches[0] is not None
            else digest_slice(alike, self._settings.digest_above)
        )

    async def send(self, message: Message) -> Receipt:
        return await self._tell([message])

    async def send_digest(self, messages: Sequence[Message]) -> Receipt:
        return await self._tell(messages)

    async def _tell(self, messages: Sequence[Message]) -> Receipt:
        batch = batch_of(messages[0])
        if batch is None:
            single = len(messages) == 1
            content = (
                render(messages[0], self._settings)
                if single
                else render_digest(messages, self._settings)
            )
            receipt, _ = await self._bot.post(content)
            return receipt
        try:
            return await self._batches.tell(batch, messages)
        except StoreError as error:
            raise DeliveryError(
                DeliveryFailure.CONNECT, str(error), disposition=Disposition.NOT_SENT
            ) from None
