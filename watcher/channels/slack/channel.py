"""Slack over the webhook of an app or of a workflow, or with a bot token, which updates one message
per batch.
"""

import re
import string
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, Self

import httpx
from pydantic import AfterValidator, Field, SecretStr, model_validator

from watcher.channels._digest import ATTENTION_EVENTS, DIGEST_MOST, digest_slice
from watcher.channels._text import batch_of
from watcher.channels.slack.addresses import is_workflow, unusual_address
from watcher.channels.slack.batch_messages import BatchMessages
from watcher.channels.slack.blocks import (
    MAX_LINKS,
    PLACEHOLDERS,
    render,
    render_all,
    render_digest,
)
from watcher.channels.slack.client import Bot, Webhook, WorkflowWebhook
from watcher.channels.slack.errors import Responses
from watcher.channels.slack.workflow import digest_variables, variables
from watcher.core.clock import Clock
from watcher.core.deliveries import Message, Receipt
from watcher.core.errors import DeliveryError, DeliveryFailure, Disposition, StoreError
from watcher.core.interfaces.channel import Notes
from watcher.core.receiver_settings import ReceiverSettings
from watcher.core.setting_types import Token, http_url
from watcher.core.settings import ChannelSettings

_MENTION = re.compile(r"<(?:!here|!channel|!everyone|@[UW][A-Z0-9]+|!subteam\^S[A-Z0-9]+)>")


def _mention(text: str) -> str:
    if not _MENTION.fullmatch(text):
        raise ValueError(
            "invalid mention; expected one such as <!here>, <@U012AB3CD> or <!subteam^S012AB3CD>"
        )
    return text


def _templates(links: dict[str, str]) -> dict[str, str]:
    for name, template in links.items():
        for _, field, form, conversion in string.Formatter().parse(template):
            if field is not None and (field not in PLACEHOLDERS or form or conversion):
                known = ", ".join(sorted(PLACEHOLDERS))
                raise ValueError(f"unknown {{{field}}} in {name!r}; expected one of {known}")
        http_url(template.format_map(dict.fromkeys(PLACEHOLDERS, "x")))
    return links


def _optional_url(url: SecretStr | None) -> SecretStr | None:
    if url is not None:
        http_url(url.get_secret_value())
    return url


def _with_slash(url: str) -> str:
    return http_url(url).rstrip("/") + "/"


class Settings(ReceiverSettings, ChannelSettings):
    """The `url` of a webhook, or a `bot_token` and the `slack_channel` it posts to.

    A URL with `/triggers/` or `/workflows/` in its path starts a workflow; it gets the variables
    `text`, `task_id`, `task_type`, `status` and `error_message`, all texts.

    More than `digest_above` pending messages are combined in one (null: never). `links` are URL
    templates with placeholders such as `{task_id}`. GovSlack has a different `api_url`.
    """

    default_events: ClassVar[tuple[str, ...]] = ATTENTION_EVENTS

    type: Literal["slack"] = "slack"
    url: Annotated[SecretStr | None, AfterValidator(_optional_url)] = None
    bot_token: Token | None = None
    slack_channel: Annotated[str, Field(min_length=1)] | None = None
    api_url: Annotated[str, AfterValidator(_with_slash)] = "https://slack.com/api/"
    concurrency: Annotated[int, Field(ge=1, le=256)] = 4
    rate: Annotated[float, Field(gt=0, le=100_000)] | None = (
        1.0  # what Slack allows for each webhook
    )
    digest_above: Annotated[int, Field(ge=1)] | None = 5
    mention: Annotated[str, AfterValidator(_mention)] | None = None
    mention_on: tuple[str, ...] = ("task.failed", "task.lost", "source.unreachable")
    links: Annotated[dict[str, str], Field(max_length=MAX_LINKS), AfterValidator(_templates)] = (
        Field(default_factory=dict)
    )

    @model_validator(mode="after")
    def _webhook_or_bot(self) -> Self:
        if (self.url is None) == (self.bot_token is None):
            raise ValueError(
                "set either the url (url_file) of a webhook, or a bot_token (bot_token_file)"
            )
        if (self.bot_token is None) != (self.slack_channel is None):
            raise ValueError("bot_token and slack_channel require each other")
        return self

    def warnings(self) -> tuple[str, ...]:
        url = self.api_url if self.url is None else self.url.get_secret_value()
        setting = "api_url" if self.url is None else "url"
        problem = unusual_address(url, is_api=self.url is None)
        return () if problem is None else (f"{setting} {problem}",)


def create(
    settings: Settings, *, transport: httpx.AsyncBaseTransport, notes: Notes, wall: Clock
) -> "WebhookSlack | WorkflowSlack | BotSlack":
    deadline = settings.timeout
    responses = Responses(settings.name, wall)
    if settings.url is not None:
        url = settings.url.get_secret_value()
        if is_workflow(url):
            return WorkflowSlack(WorkflowWebhook(url, transport, deadline, responses), settings)
        return WebhookSlack(Webhook(url, transport, deadline, responses), settings)
    bot = Bot(
        api_url=settings.api_url,
        token=settings.bot_token.get_secret_value() if settings.bot_token else "",
        channel=settings.slack_channel or "",
        transport=transport,
        deadline=deadline,
        responses=responses,
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


class WorkflowSlack:
    """Implements `watcher.core.interfaces.channel.Channel` and `Digesting`."""

    def __init__(self, webhook: WorkflowWebhook, settings: Settings) -> None:
        self._webhook = webhook
        self._settings = settings
        self.digest_most = DIGEST_MOST

    def choose(self, waiting: Sequence[Message]) -> Sequence[int]:
        return digest_slice(range(len(waiting)), self._settings.digest_above)

    async def send(self, message: Message) -> Receipt:
        return await self._webhook.start(variables(message))

    async def send_digest(self, messages: Sequence[Message]) -> Receipt:
        return await self._webhook.start(digest_variables(messages))


class BotSlack:
    """Implements `watcher.core.interfaces.channel.Channel` and `Digesting`.

    All pending events of one batch are sent together.
    """

    def __init__(self, bot: Bot, notes: Notes, settings: Settings) -> None:
        self._bot = bot
        self._batch_messages = BatchMessages(bot, notes, settings)
        self._settings = settings
        self.digest_most = DIGEST_MOST

    def choose(self, waiting: Sequence[Message]) -> Sequence[int]:
        batches = [batch_of(message) for message in waiting]
        same_batch = [index for index, batch in enumerate(batches) if batch == batches[0]]
        return (
            same_batch[:DIGEST_MOST]
            if batches[0] is not None
            else digest_slice(same_batch, self._settings.digest_above)
        )

    async def send(self, message: Message) -> Receipt:
        return await self._post([message])

    async def send_digest(self, messages: Sequence[Message]) -> Receipt:
        return await self._post(messages)

    async def _post(self, messages: Sequence[Message]) -> Receipt:
        batch = batch_of(messages[0])
        if batch is None:
            receipt, _ = await self._bot.post(render_all(messages, self._settings))
            return receipt
        try:
            return await self._batch_messages.post(batch, messages)
        except StoreError as error:
            raise DeliveryError(
                DeliveryFailure.CONNECT, str(error), disposition=Disposition.NOT_SENT
            ) from None
