"""What each error of Slack means for a delivery.

The codes are those of https://docs.slack.dev/reference/methods for chat.postMessage, chat.update
and auth.test, and of https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks.
Slack's lists are not complete, so an unknown code is retried, and logged.
"""

import logging
import re
from collections.abc import Callable

import msgspec

from watcher.channels._http import body_excerpt, require_success
from watcher.core.clock import Clock
from watcher.core.deliveries import Receipt
from watcher.core.errors import DeliveryError, DeliveryFailure, Disposition
from watcher.core.log_fields import about
from watcher.core.texts import spaced
from watcher.net.delays import retry_after
from watcher.net.exchange import Reply

logger = logging.getLogger(__name__)

RATE_LIMITED = frozenset({"message_limit_exceeded", "rate_limited", "ratelimited"})
UNAVAILABLE = frozenset(
    {
        *("external_channel_migrating", "fatal_error", "internal_error", "request_timeout"),
        *("rollup_error", "service_unavailable", "streaming_state_conflict", "team_added_to_org"),
        *("update_failed",),
    }
)
"""Time alone fixes these: try again."""
STOPPED = frozenset(
    {
        # The token, its permissions, and the workspace.
        *("access_denied", "accesslimited", "account_inactive", "app_access_restricted"),
        *("deprecated_endpoint", "ekm_access_denied", "enterprise_is_restricted", "invalid_auth"),
        *("invalid_token", "method_deprecated", "missing_scope", "no_permission"),
        *("not_allowed_token_type", "not_authed", "org_login_required"),
        *("send_on_behalf_not_allowed", "team_access_not_granted", "team_disabled"),
        *("team_not_found", "token_expired", "token_revoked", "two_factor_setup_required"),
        # The channel, and who may post there.
        *("action_prohibited", "cannot_dm_bot", "channel_is_archived", "channel_not_found"),
        *("invalid_channel", "is_archived", "is_inactive", "messages_tab_disabled"),
        *("not_allowed", "not_in_channel", "posting_to_channel_denied"),
        *("posting_to_general_channel_denied", "user_is_bot", "user_is_restricted"),
        *("unknown_method", "user_not_found", "user_not_in_channel", "users_not_found"),
        # The webhook.
        *("invalid_webhook", "no_active_hooks", "no_service", "no_service_id", "no_team"),
        *("trigger_not_found", "workflow_not_found", "workflow_not_published"),
    }
)
"""Nothing is accepted until a person has fixed the cause; see also `_STOPPED_PREFIX`."""
_STOPPED_PREFIX = "restricted_action"
MESSAGE_REJECTED = frozenset(
    {
        *("attachment_payload_limit_exceeded", "block_mismatch", "invalid_attachments"),
        *("invalid_blocks", "invalid_blocks_format", "invalid_payload", "markdown_text_conflict"),
        *("msg_blocks_too_long", "msg_too_long", "no_text", "too_many_attachments"),
        *("missing_text_or_fallback_or_attachments", "too_many_contact_cards"),
        # The form of the request.
        *("agent_prompt_display_not_allowed", "as_user_not_supported", "invalid_arg_name"),
        *("invalid_arguments", "invalid_array_arg", "invalid_charset", "invalid_form_data"),
        *("invalid_json", "invalid_post_type", "json_not_object", "missing_argument"),
        *("missing_charset", "missing_post_type", "superfluous_charset"),
        # Parts that the watcher does not send.
        *("blocked_file_type", "cant_broadcast_message", "draft_already_deleted"),
        *("draft_already_sent", "draft_has_conflict", "draft_not_found"),
        *("duplicate_channel_not_found", "duplicate_message_not_found", "file_deleted"),
        *("file_is_deleted", "file_not_found", "file_share_limit_reached"),
        *("invalid_metadata_format", "invalid_metadata_schema", "max_file_sharing_exceeded"),
        *("metadata_must_be_sent_from_app", "metadata_too_large", "missing_file_data"),
        *("no_dual_broadcast_content_update", "slack_connect_blocked_file_type"),
        *("slack_connect_canvas_sharing_blocked", "slack_connect_clip_sharing_blocked"),
        *("slack_connect_file_link_sharing_blocked", "slack_connect_file_upload_sharing_blocked"),
        *("slack_connect_lists_sharing_blocked", "unable_to_share_files"),
    }
)
"""Slack rejects this message; it may accept the same text without blocks."""
MESSAGE_GONE = frozenset(
    {
        *("cannot_reply_to_message", "cant_update_message", "edit_window_closed"),
        *("message_not_found", "thread_not_found"),
    }
)
"""The message to update or to reply to no longer exists, or can no longer be changed."""

_CODE = re.compile(r"[a-z][a-z0-9_]{0,79}")
_TOO_LARGE = 413
_EXCERPT = 100


class MessageRejectedError(DeliveryError):
    """Slack rejects this message; it may accept the same message as plain text."""


class MessageGoneError(DeliveryError):
    """The message to update or to reply to no longer exists, or can no longer be changed."""


class Answer(msgspec.Struct):
    """A response of the Web API. `channel` and `ts` name the message that it is about."""

    ok: bool
    error: object = None
    channel: object = ""
    ts: object = ""


_decode = msgspec.json.Decoder(Answer).decode
_ACCEPTED = re.compile(rb'\s*\{\s*"ok"\s*:\s*true\s*[,}]')
_PLACE = re.compile(rb'"(channel|ts)"\s*:\s*"([A-Za-z0-9.]{1,40})"')


def decode_answer(body: bytes) -> Answer | None:
    """Return Slack's answer in JSON; None if `body` is anything else.

    Of a body that was cut off, the beginning shows whether Slack accepted the message.
    """
    try:
        return _decode(body)
    except (msgspec.MsgspecError, RecursionError):
        if not _ACCEPTED.match(body):
            return None
        place = {name.decode(): text.decode() for name, text in reversed(_PLACE.findall(body))}
        return Answer(ok=True, **place)


def is_known(code: str) -> bool:
    known = RATE_LIMITED | UNAVAILABLE | STOPPED | MESSAGE_REJECTED | MESSAGE_GONE
    return code in known or code.startswith(_STOPPED_PREFIX)


def about_the_message(error: DeliveryError) -> bool:
    """Return whether the same message may be accepted as short plain text."""
    return isinstance(error, MessageRejectedError) or error.status == _TOO_LARGE


class Responses:
    """What the responses to one channel's requests mean. Logs each unknown code once."""

    def __init__(self, channel: str, wall: Clock) -> None:
        self._channel = channel
        self._wall = wall
        self._logged: set[str] = set()

    def require_ok(self, reply: Reply, is_ok: Callable[[bytes], bool]) -> Receipt:
        """Return the receipt of a 2xx response whose body `is_ok`; else raise `DeliveryError`."""
        code = _code_of(reply.body)
        # 429 is a rate limit, whatever a proxy writes into the body.
        if code is not None and is_known(code) and reply.status != 429:
            raise self._failure(code, reply)
        receipt = require_success(reply, self._wall)
        if code is not None:
            raise self._failure(code, reply)
        if not is_ok(reply.body):
            raise DeliveryError(
                DeliveryFailure.PROTOCOL,
                f"HTTP {reply.status}: not an answer of Slack{_shown(reply)}",
                status=reply.status,
                response=body_excerpt(reply),
            )
        return receipt

    def _failure(self, code: str, reply: Reply) -> DeliveryError:
        kind, reason, disposition = _meaning(code)
        if not is_known(code) and code not in self._logged and len(self._logged) < 100:
            self._logged.add(code)
            logger.warning(
                "channel %r: Slack answered with the unknown error %s; will retry",
                self._channel,
                code,
                extra=about(channel=self._channel),
            )
        source = "Slack error" if 200 <= reply.status < 300 else f"HTTP {reply.status}"
        return kind(
            reason,
            f"{source}: {code}",
            disposition=disposition,
            status=reply.status,
            retry_after=retry_after(reply.headers, self._wall()),
            response=body_excerpt(reply),
        )


def _meaning(code: str) -> tuple[type[DeliveryError], DeliveryFailure, Disposition]:
    if code in STOPPED or code.startswith(_STOPPED_PREFIX):
        return DeliveryError, DeliveryFailure.GONE, Disposition.GONE
    if code in RATE_LIMITED:
        return DeliveryError, DeliveryFailure.RATE_LIMITED, Disposition.OVERLOADED
    if code in UNAVAILABLE:
        return DeliveryError, DeliveryFailure.UNAVAILABLE, Disposition.OVERLOADED
    if code in MESSAGE_REJECTED:
        return MessageRejectedError, DeliveryFailure.REJECTED, Disposition.REJECTED
    if code in MESSAGE_GONE:
        return MessageGoneError, DeliveryFailure.REJECTED, Disposition.REJECTED
    return DeliveryError, DeliveryFailure.UNAVAILABLE, Disposition.TRANSIENT


def _code_of(body: bytes) -> str | None:
    """Return the error of a negative answer, in JSON or as the whole text; None without one."""
    answer = decode_answer(body)
    if answer is not None:
        if answer.ok:
            return None
        code = answer.error
        return code if isinstance(code, str) and _CODE.fullmatch(code) else "no_error_named"
    text = body[:_EXCERPT].decode("utf-8", "replace").strip()
    return text if _CODE.fullmatch(text) and len(body) <= _EXCERPT and is_known(text) else None


def _shown(reply: Reply) -> str:
    text = " ".join(spaced(body_excerpt(reply)).split())[:_EXCERPT]
    return f" ({text})" if text else " (no text)"
