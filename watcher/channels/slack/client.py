"""Slack's incoming webhooks, workflow webhooks and Web API."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import anyio
import httpx
import msgspec

from watcher.channels._http import post
from watcher.channels.slack.content import plain
from watcher.channels.slack.errors import Answer, Responses, about_the_message, decode_answer
from watcher.core.deliveries import Receipt
from watcher.core.errors import DeliveryError
from watcher.net.headers import USER_AGENT

_BOT_INTERVAL = 1.05
"""Seconds between two requests of a bot: Slack accepts about one message a second per channel."""
_BOT_RESPONSE_LIMIT = 256 * 1024
"""Maximum number of bytes read of a response to a bot, which repeats the whole message."""
_PLACE = re.compile(r"[A-Za-z0-9.]{1,40}")
_NO_PREVIEWS = {"unfurl_links": False, "unfurl_media": False}
_REST_WITHIN = 3.0
"""Seconds for what follows a status line. Unlike for other receivers, the status does not say it
all: without Slack's word the message is sent again, and people see it twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """A message in Slack, identified by the channel's ID and the message's timestamp."""

    channel: str
    ts: str


class Webhook:
    """An incoming webhook: it posts messages, and cannot update them.

    Slack answers `ok`; so do services that imitate it.
    """

    def __init__(
        self, url: str, transport: httpx.AsyncBaseTransport, deadline: float, responses: Responses
    ) -> None:
        self._url = httpx.URL(url)
        self._transport = transport
        self._deadline = deadline
        self._responses = responses

    async def post(self, content: Mapping[str, Any]) -> Receipt:
        """Post a message. Raises `DeliveryError`."""
        try:
            return await self._send(content)
        except DeliveryError as error:
            if not about_the_message(error):
                raise
        return await self._send(plain(content))

    async def _send(self, content: Mapping[str, Any]) -> Receipt:
        request = _request(self._url, {**content, **_NO_PREVIEWS})
        reply = await post(self._transport, request, self._deadline, rest_within=_REST_WITHIN)
        return self._responses.require_ok(reply, _is_ok)


class WorkflowWebhook:
    """The webhook that starts a workflow, with variables that are all texts."""

    def __init__(
        self, url: str, transport: httpx.AsyncBaseTransport, deadline: float, responses: Responses
    ) -> None:
        self._url = httpx.URL(url)
        self._transport = transport
        self._deadline = deadline
        self._responses = responses

    async def start(self, variables: Mapping[str, str]) -> Receipt:
        """Start the workflow. Raises `DeliveryError`."""
        request = _request(self._url, variables)
        reply = await post(self._transport, request, self._deadline, rest_within=_REST_WITHIN)
        return self._responses.require_ok(reply, _is_no_page)


class Bot:
    """A bot with a token: it posts to one channel and its threads, and updates its messages."""

    def __init__(
        self,
        *,
        api_url: str,
        token: str,
        channel: str,
        transport: httpx.AsyncBaseTransport,
        deadline: float,
        responses: Responses,
    ) -> None:
        self._api_url = api_url
        self._authorization = f"Bearer {token}"
        self._channel = channel
        self._transport = transport
        self._deadline = deadline
        self._responses = responses
        self._next_request_at = 0.0

    async def post(
        self, content: Mapping[str, Any], thread: Posted | None = None
    ) -> tuple[Receipt, Posted]:
        """Post a message to the channel, or to `thread`. Raises `DeliveryError`."""
        destination = (
            {"channel": self._channel}
            if thread is None
            else {"channel": thread.channel, "thread_ts": thread.ts}
        )
        receipt, answer = await self._call(
            "chat.postMessage", {**content, **_NO_PREVIEWS}, destination
        )
        return receipt, Posted(
            channel=_place(answer.channel) or self._channel, ts=_place(answer.ts)
        )

    async def update(self, posted: Posted, content: Mapping[str, Any]) -> Receipt:
        """Update a message. Raises `DeliveryError`; `MessageGoneError` if it no longer exists."""
        receipt, _ = await self._call(
            "chat.update", content, {"channel": posted.channel, "ts": posted.ts}
        )
        return receipt

    async def _call(
        self, method: str, content: Mapping[str, Any], destination: Mapping[str, str]
    ) -> tuple[Receipt, Answer]:
        try:
            return await self._send(method, {**content, **destination})
        except DeliveryError as error:
            if not about_the_message(error):
                raise
        # Without empty lists an updated message keeps its blocks and attachments.
        options = {name: content[name] for name in _NO_PREVIEWS if name in content}
        content = {**plain(content), **options, "blocks": [], "attachments": []}
        return await self._send(method, {**content, **destination})

    async def _send(self, method: str, content: Mapping[str, Any]) -> tuple[Receipt, Answer]:
        begin = max(anyio.current_time(), self._next_request_at)
        self._next_request_at = begin + _BOT_INTERVAL
        await anyio.sleep_until(begin)
        request = _request(
            httpx.URL(self._api_url + method), content, authorization=self._authorization
        )
        reply = await post(
            self._transport,
            request,
            self._deadline,
            _BOT_RESPONSE_LIMIT,
            rest_within=_REST_WITHIN,
        )
        receipt = self._responses.require_ok(reply, _is_answer)
        return receipt, decode_answer(reply.body) or Answer(ok=True)


def _place(text: object) -> str:
    """Return the ID of a channel or the timestamp of a message; empty if `text` is neither."""
    return text if isinstance(text, str) and _PLACE.fullmatch(text) else ""


def _is_answer(body: bytes) -> bool:
    answer = decode_answer(body)
    return answer is not None and answer.ok


def _is_ok(body: bytes) -> bool:
    return body.strip().lower() == b"ok" or _is_answer(body)


def _is_no_page(body: bytes) -> bool:
    """Return whether a body is not HTML. Slack answers `{"ok":true}` or nothing to a workflow."""
    return not body.lstrip().startswith(b"<")


def _request(url: httpx.URL, content: Mapping[str, Any], **headers: str) -> httpx.Request:
    headers |= {
        "content-type": "application/json; charset=utf-8",
        "accept-encoding": "identity",
        "user-agent": USER_AGENT,
    }
    return httpx.Request("POST", url, headers=headers, content=msgspec.json.encode(content))
