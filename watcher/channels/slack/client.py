"""The two ways to Slack: an incoming webhook, and a bot with a token; and what each refusal means for a delivery.

https://api.slack.com/messaging/webhooks and https://api.slack.com/methods/chat.postMessage, "errors".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import anyio
import httpx
import msgspec

from watcher.channels._http import kept, post, require_success
from watcher.channels.slack.blocks import plain
from watcher.core.clock import Clock
from watcher.core.deliveries import Receipt
from watcher.core.errors import DeliveryError, DeliveryFailure, Disposition
from watcher.net.headers import USER_AGENT

_NEVER_AGAIN = frozenset(
    {
        *(
            "access_denied",
            "account_inactive",
            "action_prohibited",
            "channel_is_archived",
            "channel_not_found",
        ),
        *(
            "invalid_auth",
            "invalid_token",
            "is_archived",
            "missing_scope",
            "no_active_hooks",
            "no_permission",
        ),
        *(
            "no_service",
            "no_team",
            "not_allowed_token_type",
            "not_authed",
            "not_in_channel",
            "restricted_action",
        ),
        *(
            "team_access_not_granted",
            "team_disabled",
            "token_expired",
            "token_revoked",
            "user_not_found",
        ),
    }
)
"""What takes no message any more until a person has done something."""
_NOT_THESE_BLOCKS = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long"})
_SLACK_FAILS = frozenset(
    {"fatal_error", "internal_error", "request_timeout", "ratelimited", "service_unavailable"}
)
_NO_SUCH_MESSAGE = frozenset({"cant_update_message", "edit_window_closed", "message_not_found"})
_BOT_EVERY = 1.05
"""Seconds between two requests of a bot: Slack takes about one message a second for each channel."""
_ECHO_LIMIT = 256 * 1024
"""Bytes read of an answer to a bot, in which Slack repeats the whole message."""


class MessageGoneError(DeliveryError):
    """The message that was to be updated is not there any more, or may not be changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """A message in Slack: the channel's ID and the message's timestamp, by which it is known."""

    channel: str
    ts: str


class _Answer(msgspec.Struct):
    ok: bool = False
    error: str = "no_error_named"
    channel: str = ""
    ts: str = ""


_decode_answer = msgspec.json.Decoder(_Answer).decode


class Webhook:
    """An incoming webhook: it takes messages, and can change none."""

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
        except _BlocksRefusedError:
            return await self._send(plain(content))

    async def _send(self, content: Mapping[str, Any]) -> Receipt:
        reply = await post(self._transport, _request(self._url, content), self._deadline)
        if reply.status >= 400:
            said = reply.body.decode("utf-8", "replace").strip()
            if "blocks" in content and said in _NOT_THESE_BLOCKS:
                raise _BlocksRefusedError(DeliveryFailure.REJECTED, said, status=reply.status)
            if said in _NEVER_AGAIN:
                text = f"HTTP {reply.status}: {said}"
                raise DeliveryError(
                    DeliveryFailure.GONE,
                    text,
                    disposition=Disposition.GONE,
                    status=reply.status,
                    response=said,
                )
        return require_success(reply, self._wall)


class Bot:
    """A bot with a token, which posts to one channel, in threads too, and changes what it has posted."""

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
        self._free_at = 0.0

    async def post(
        self, content: Mapping[str, Any], thread: Posted | None = None
    ) -> tuple[Receipt, Posted]:
        """Post a message, in the thread of another where one is given. Raises `DeliveryError`."""
        where = (
            {"channel": self._channel}
            if thread is None
            else {"channel": thread.channel, "thread_ts": thread.ts}
        )
        receipt, answer = await self._call("chat.postMessage", content, where)
        return receipt, Posted(channel=answer.channel or self._channel, ts=answer.ts)

    async def update(self, posted: Posted, content: Mapping[str, Any]) -> Receipt:
        """Change a message. Raises `MessageGoneError` where it is not there any more, and `DeliveryError`."""
        receipt, _ = await self._call(
            "chat.update", content, {"channel": posted.channel, "ts": posted.ts}
        )
        return receipt

    async def _call(
        self, method: str, content: Mapping[str, Any], where: Mapping[str, str]
    ) -> tuple[Receipt, _Answer]:
        try:
            return await self._send(method, {**content, **where})
        except _BlocksRefusedError:
            # Without an empty list the blocks of a message that is changed would stay.
            return await self._send(method, {**plain(content), "blocks": [], **where})

    async def _send(self, method: str, content: Mapping[str, Any]) -> tuple[Receipt, _Answer]:
        begin = max(anyio.current_time(), self._free_at)
        self._free_at = begin + _BOT_EVERY
        await anyio.sleep_until(begin)
        request = _request(
            httpx.URL(self._api_url + method), content, authorization=self._authorization
        )
        reply = await post(self._transport, request, self._deadline, _ECHO_LIMIT)
        receipt = require_success(reply, self._wall)
        try:
            answer = _decode_answer(reply.body)
        except msgspec.MsgspecError:
            text = f"HTTP {reply.status}: the answer is not Slack's"
            raise DeliveryError(
                DeliveryFailure.PROTOCOL, text, status=reply.status, response=kept(reply)
            ) from None
        if not answer.ok:
            raise _refusal(answer.error, reply.status, kept(reply))
        return receipt, answer


_DISPOSITIONS = {
    DeliveryFailure.GONE: Disposition.GONE,
    DeliveryFailure.UNAVAILABLE: Disposition.OVERLOADED,
    DeliveryFailure.REJECTED: Disposition.REJECTED,
}


class _BlocksRefusedError(DeliveryError):
    """Slack does not take these blocks; it may take the same in plain text."""


def _refusal(said: str, status: int, answer: str) -> DeliveryError:
    kind: type[DeliveryError] = DeliveryError
    reason = DeliveryFailure.REJECTED
    if said in _NEVER_AGAIN:
        reason = DeliveryFailure.GONE
    elif said in _SLACK_FAILS:
        reason = DeliveryFailure.UNAVAILABLE
    elif said in _NOT_THESE_BLOCKS:
        kind = _BlocksRefusedError
    elif said in _NO_SUCH_MESSAGE:
        kind = MessageGoneError
    text = f"Slack refuses: {said}"
    return kind(reason, text, disposition=_DISPOSITIONS[reason], status=status, response=answer)


def _request(url: httpx.URL, content: Mapping[str, Any], **headers: str) -> httpx.Request:
    headers |= {
        "content-type": "application/json; charset=utf-8",
        "accept-encoding": "identity",
        "user-agent": USER_AGENT,
    }
    return httpx.Request("POST", url, headers=headers, content=msgspec.json.encode(content))
