"""Slack over the webhook of an app or of a workflow, or with a bot token, which updates one message
per batch.
"""

import re
import string
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, Self

import anyio
import httpx
from pydantic import AfterValidator, Field, SecretStr, model_validator

from watcher.channels._digest import ATTENTION_EVENTS, DIGEST_MOST, choose_tasks, digest_slice
from watcher.channels._text import batch_of, is_about_a_task
from watcher.channels.slack.addresses import is_workflow, unusual_address
from watcher.channels.slack.batch_messages import BatchMessages
from watcher.channels.slack.client import Bot, Webhook, WorkflowWebhook
from watcher.channels.slack.errors import Responses
from watcher.channels.slack.links import MAX_LINKS, PLACEHOLDERS
from watcher.channels.slack.mentions import Mentions
from watcher.channels.slack.outage_messages import OutageMessages, is_outage
from watcher.channels.slack.renderer import Renderer
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
    mentions = Mentions(settings.mention, settings.mention_on, anyio.current_time)
    renderer = Renderer(settings.links, mentions, wall)
    if settings.url is not None:
        url = settings.url.get_secret_value()
        if is_workflow(url):
            workflow = WorkflowWebhook(url, transport, deadline, responses)
            return WorkflowSlack(workflow, settings.digest_above)
        webhook = Webhook(url, transport, deadline, responses)
        return WebhookSlack(webhook, renderer, settings.digest_above)
    bot = Bot(
        api_url=settings.api_url,
        token=settings.bot_token.get_secret_value() if settings.bot_token else "",
        channel=settings.slack_channel or "",
        transport=transport,
        deadline=deadline,
        responses=responses,
    )
    return BotSlack(bot, notes, renderer, settings.digest_above)


class WebhookSlack:
    """Implements `watcher.core.interfaces.channel.Channel`, `Digesting` and `Linking`."""

    def __init__(self, webhook: Webhook, renderer: Renderer, digest_above: int | None) -> None:
        self._webhook = webhook
        self._renderer = renderer
        self._digest_above = digest_above
        self.digest_most = DIGEST_MOST
        self.link_to = renderer.link_to

    def choose(self, waiting: Sequence[Message]) -> Sequence[int]:
        return choose_tasks(waiting, self._digest_above)

    async def send(self, message: Message) -> Receipt:
        return await self.send_digest([message])

    async def send_digest(self, messages: Sequence[Message]) -> Receipt:
        with self._renderer.rendered(messages) as content:
            return await self._webhook.post(content)


class WorkflowSlack:
    """Implements `watcher.core.interfaces.channel.Channel` and `Digesting`."""

    def __init__(self, webhook: WorkflowWebhook, digest_above: int | None) -> None:
        self._webhook = webhook
        self._digest_above = digest_above
        self.digest_most = DIGEST_MOST

    def choose(self, waiting: Sequence[Message]) -> Sequence[int]:
        return digest_slice(range(len(waiting)), self._digest_above)

    async def send(self, message: Message) -> Receipt:
        return await self._webhook.start(variables(message))

    async def send_digest(self, messages: Sequence[Message]) -> Receipt:
        return await self._webhook.start(digest_variables(messages))


class BotSlack:
    """Implements `watcher.core.interfaces.channel.Channel`, `Digesting` and `Linking`.

    All pending events of one batch are sent together.
    """

    def __init__(
        self, bot: Bot, notes: Notes, renderer: Renderer, digest_above: int | None
    ) -> None:
        self._bot = bot
        self._renderer = renderer
        self._batch_messages = BatchMessages(bot, notes, renderer)
        self._outage_messages = OutageMessages(bot, notes, renderer)
        self._digest_above = digest_above
        self.digest_most = DIGEST_MOST
        self.link_to = renderer.link_to

    def choose(self, waiting: Sequence[Message]) -> Sequence[int]:
        if not is_about_a_task(waiting[0]):
            return [0]
        batches = [batch_of(message) for message in waiting]
        same_batch = [
            index
            for index, message in enumerate(waiting)
            if is_about_a_task(message) and batches[index] == batches[0]
        ]
        if batches[0] is not None:
            return same_batch[:DIGEST_MOST]
        return digest_slice(same_batch, self._digest_above)

    async def send(self, message: Message) -> Receipt:
        return await self.send_digest([message])

    async def send_digest(self, messages: Sequence[Message]) -> Receipt:
        try:
            return await self._post(messages)
        except StoreError as error:
            raise DeliveryError(
                DeliveryFailure.CONNECT, str(error), disposition=Disposition.NOT_SENT
            ) from None

    async def _post(self, messages: Sequence[Message]) -> Receipt:
        if len(messages) == 1 and is_outage(messages[0]):
            return await self._outage_messages.post(messages[0])
        if batch := batch_of(messages[0]):
            return await self._batch_messages.post(batch, messages)
        with self._renderer.rendered(messages) as content:
            receipt, _ = await self._bot.post(content)
            return receipt
