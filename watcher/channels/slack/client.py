"""Slack's incoming webhooks and Web API, and what each of its errors means for a delivery.

https://api.slack.com/messaging/webhooks and the "errors" of
https://api.slack.com/methods/chat.postMessage.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import anyio
import httpx
import msgspec

from watcher.channels._http import body_excerpt, post, require_success
from watcher.channels.slack.blocks import plain
from watcher.core.clock import Clock
from watcher.core.deliveries import Receipt
from watcher.core.errors import DeliveryError, DeliveryFailure, Disposition
from watcher.net.headers import USER_AGENT

_PERMANENT_ERRORS = frozenset(
    {
        *("access_denied", "account_inactive", "action_prohibited", "channel_is_archived"),
        *("channel_not_found", "invalid_auth", "invalid_token", "is_archived", "missing_scope"),
        *("no_active_hooks", "no_permission", "no_service", "no_team", "not_allowed_token_type"),
        *("not_authed", "not_in_channel", "restricted_action", "team_access_not_granted"),
        *("team_disabled", "token_expired", "token_revoked", "user_not_found"),
    }
)
"""No message is accepted until an operator has fixed the cause."""
_BLOCKS_ERRORS = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long"})
_TRANSIENT_ERRORS = frozenset(
    {"fatal_error", "internal_error", "request_timeout", "ratelimited", "service_unavailable"}
)
_MESSAGE_ERRORS = frozenset({"cant_update_message", "edit_window_closed", "message_not_found"})
_BOT_INTERVAL = 1.05
"""Seconds between two requests of a bot: Slack accepts about one message a second per channel."""
_BOT_RESPONSE_LIMIT = 256 * 1024
"""Maximum number of bytes read of a response to a bot, which repeats the whole message."""


class MessageGoneError(DeliveryError):
    """The message to update no longer exists, or can no longer be changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """A message in Slack, identified by the channel's ID and the message's timestamp."""

    channel: str
    ts: str


class _Response(msgspec.Struct):
    ok: bool = False
    error: str = "no_error_named"
    channel: str = ""
    ts: str = ""


_decode_response = msgspec.json.Decoder(_Response).decode


class Webhook:
    """An incoming webhook: it posts messages, and cannot update them."""

    def __init__(
        self, url: str, transport: httpx.AsyncBaseTransport, deadline: float, wall: Clock
    ) -> None:
        self._url = httpx.URL(url)
        self._transport = transport
        self._deadline = deadline
        self._wall = wall

    async def post(self, content: Mapping[str, Any]) -> Receipt:
        """Post a message. Raises `DeliveryError`."""
        try:
            return await self._send(content)
        except _BlocksRejectedError:
            return await self._send(plain(content))

    async def _send(self, content: Mapping[str, Any]) -> Receipt:
        reply = await post(self._transport, _request(self._url, content), self._deadline)
        if reply.status >= 400:
            error = reply.body.decode("utf-8", "replace").strip()
            if "blocks" in content and error in _BLOCKS_ERRORS:
                raise _BlocksRejectedError(DeliveryFailure.REJECTED, error, status=reply.status)
            if error in _PERMANENT_ERRORS:
                text = f"HTTP {reply.status}: {error}"
                raise DeliveryError(
                    DeliveryFailure.GONE,
                    text,
                    disposition=Disposition.GONE,
                    status=reply.status,
                    response=error,
                )
        return require_success(reply, self._wall)


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
        wall: Clock,
    ) -> None:
        self._api_url = api_url
        self._authorization = f"Bearer {token}"
        self._channel = channel
        self._transport = transport
        self._deadline = deadline
        self._wall = wall
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
        receipt, response = await self._call("chat.postMessage", content, destination)
        return receipt, Posted(channel=response.channel or self._channel, ts=response.ts)

    async def update(self, posted: Posted, content: Mapping[str, Any]) -> Receipt:
        """Update a message. Raises `DeliveryError`; `MessageGoneError` if it no longer exists."""
        receipt, _ = await self._call(
            "chat.update", content, {"channel": posted.channel, "ts": posted.ts}
        )
        return receipt

    async def _call(
        self, method: str, content: Mapping[str, Any], destination: Mapping[str, str]
    ) -> tuple[Receipt, _Response]:
        try:
            return await self._send(method, {**content, **destination})
        except _BlocksRejectedError:
            # Without an empty list an updated message keeps its blocks.
            return await self._send(method, {**plain(content), "blocks": [], **destination})

    async def _send(self, method: str, content: Mapping[str, Any]) -> tuple[Receipt, _Response]:
        begin = max(anyio.current_time(), self._next_request_at)
        self._next_request_at = begin + _BOT_INTERVAL
        await anyio.sleep_until(begin)
        request = _request(
            httpx.URL(self._api_url + method), content, authorization=self._authorization
        )
        reply = await post(self._transport, request, self._deadline, _BOT_RESPONSE_LIMIT)
        receipt = require_success(reply, self._wall)
        try:
            response = _decode_response(reply.body)
        except msgspec.MsgspecError:
            text = f"HTTP {reply.status}: not a response of the Slack API"
            raise DeliveryError(
                DeliveryFailure.PROTOCOL, text, status=reply.status, response=body_excerpt(reply)
            ) from None
        if not response.ok:
            raise _api_error(response.error, reply.status, body_excerpt(reply))
        return receipt, response


_DISPOSITIONS = {
    DeliveryFailure.GONE: Disposition.GONE,
    DeliveryFailure.UNAVAILABLE: Disposition.OVERLOADED,
    DeliveryFailure.REJECTED: Disposition.REJECTED,
}


class _BlocksRejectedError(DeliveryError):
    """Slack rejects these blocks; it may accept the same message as plain text."""


def _api_error(error: str, status: int, response: str) -> DeliveryError:
    kind: type[DeliveryError] = DeliveryError
    reason = DeliveryFailure.REJECTED
    if error in _PERMANENT_ERRORS:
        reason = DeliveryFailure.GONE
    elif error in _TRANSIENT_ERRORS:
        reason = DeliveryFailure.UNAVAILABLE
    elif error in _BLOCKS_ERRORS:
        kind = _BlocksRejectedError
    elif error in _MESSAGE_ERRORS:
        kind = MessageGoneError
    text = f"Slack error: {error}"
    return kind(reason, text, disposition=_DISPOSITIONS[reason], status=status, response=response)


def _request(url: httpx.URL, content: Mapping[str, Any], **headers: str) -> httpx.Request:
    headers |= {
        "content-type": "application/json; charset=utf-8",
        "accept-encoding": "identity",
        "user-agent": USER_AGENT,
    }
    return httpx.Request("POST", url, headers=headers, content=msgspec.json.encode(content))
