"""Slack's own errors: each code of its published lists, over a webhook and over the Web API."""

import json
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.support.virtual_time import VirtualLoop, wall
from watcher.channels.slack import channel as slack
from watcher.channels.slack import errors
from watcher.core.deliveries import Message, Receipt
from watcher.core.errors import DeliveryError, DeliveryFailure, Disposition
from watcher.core.texts import is_shown
from watcher.delivery.notes import InMemoryNotes

pytestmark = pytest.mark.anyio

URL = "https://hooks.slack.com/services/T0/B0/hidden-path-9f3b"
TOKEN = "xoxb-made-up-0123456789"
EVENT = Message(
    event_id="msg_1",
    type="task.failed",
    body=b'{"type":"task.failed","data":{"task_id":"task_1","status":"FAILED"}}',
)


def codes(text: str) -> list[str]:
    return text.split()


# The "Errors" of https://docs.slack.dev/reference/methods/chat.postMessage, .../chat.update and
# .../auth.test, and of https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks.
AGAIN = codes(
    """
    external_channel_migrating fatal_error internal_error message_limit_exceeded rate_limited
    ratelimited request_timeout rollup_error service_unavailable streaming_state_conflict
    team_added_to_org update_failed
    """
)
STOPPED = codes(
    """
    access_denied accesslimited account_inactive action_prohibited app_access_restricted
    channel_is_archived channel_not_found deprecated_endpoint ekm_access_denied
    enterprise_is_restricted invalid_auth invalid_token is_archived is_inactive
    messages_tab_disabled method_deprecated missing_scope no_active_hooks no_permission
    no_service no_service_id no_team not_allowed_token_type not_authed not_in_channel
    org_login_required posting_to_channel_denied posting_to_general_channel_denied
    restricted_action restricted_action_non_threadable_channel
    restricted_action_read_only_channel restricted_action_thread_locked
    restricted_action_thread_only_channel restricted_action_of_a_later_year
    send_on_behalf_not_allowed team_access_not_granted team_disabled team_not_found
    token_expired token_revoked two_factor_setup_required user_not_found
    """
)
MESSAGE = codes(
    """
    agent_prompt_display_not_allowed as_user_not_supported attachment_payload_limit_exceeded
    block_mismatch blocked_file_type cant_broadcast_message draft_already_deleted
    draft_already_sent draft_has_conflict draft_not_found duplicate_channel_not_found
    duplicate_message_not_found file_deleted file_is_deleted file_not_found
    file_share_limit_reached invalid_arg_name invalid_arguments invalid_array_arg
    invalid_attachments invalid_blocks invalid_blocks_format invalid_charset invalid_form_data
    invalid_metadata_format invalid_metadata_schema invalid_payload invalid_post_type
    markdown_text_conflict max_file_sharing_exceeded metadata_must_be_sent_from_app
    metadata_too_large missing_file_data missing_post_type msg_blocks_too_long msg_too_long
    no_dual_broadcast_content_update no_text slack_connect_blocked_file_type
    slack_connect_canvas_sharing_blocked slack_connect_clip_sharing_blocked
    slack_connect_file_link_sharing_blocked slack_connect_file_upload_sharing_blocked
    slack_connect_lists_sharing_blocked too_many_attachments too_many_contact_cards
    unable_to_share_files
    """
)
MESSAGE_GONE = ["cannot_reply_to_message", "cant_update_message", "edit_window_closed"]
MESSAGE_GONE += ["message_not_found"]

Channel = slack.WebhookSlack | slack.WorkflowSlack | slack.BotSlack
Handler = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


def built(handler: Handler, **options: Any) -> Channel:
    settings = slack.Settings(name="alerts", **options)
    return slack.create(
        settings, transport=httpx.MockTransport(handler), notes=InMemoryNotes(), wall=wall
    )


def webhook(handler: Handler) -> Channel:
    return built(handler, url=URL)


def bot(handler: Handler) -> Channel:
    return built(handler, bot_token=TOKEN, slack_channel="#alerts")


def in_json(code: str, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json={"ok": False, "error": code})


def ways(code: str) -> list[Channel]:
    """Return channels that get `code` in each of the ways in which Slack answers it."""
    return [
        bot(lambda _: in_json(code)),
        bot(lambda _: in_json(code, 403)),
        webhook(lambda _: httpx.Response(400, text=code)),
        webhook(lambda _: httpx.Response(403, text=f"{code}\n")),
        webhook(lambda _: in_json(code)),
    ]


async def failure(channel: Channel) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await channel.send(EVENT)
    assert "hidden-path" not in str(caught.value)
    assert TOKEN not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("code", AGAIN)
async def test_what_time_fixes_is_tried_again(code: str) -> None:
    for channel in ways(code):
        error = await failure(channel)
        assert error.disposition is Disposition.OVERLOADED
        assert code in str(error)


@pytest.mark.parametrize("code", STOPPED)
async def test_what_a_person_has_to_fix_stops_the_channel(code: str) -> None:
    for channel in ways(code):
        error = await failure(channel)
        assert (error.reason, error.disposition) == (DeliveryFailure.GONE, Disposition.GONE)
        assert code in str(error)


@pytest.mark.parametrize("code", MESSAGE)
@pytest.mark.parametrize("kind", [webhook, bot])
async def test_a_rejected_message_is_sent_again_at_once_as_short_plain_text(
    code: str, kind: Callable[[Handler], Channel]
) -> None:
    sent: list[dict[str, Any]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content))
        if sent[-1].get("blocks"):
            return in_json(code) if kind is bot else httpx.Response(400, text=code)
        return httpx.Response(200, json={"ok": True, "ts": "1.2", "channel": "C1"})

    assert (await kind(handler).send(EVENT)).status == 200
    assert len(sent) == 2
    assert "task_1" in sent[1]["text"]
    assert len(sent[1]["text"]) <= 3000


@pytest.mark.parametrize("code", [*MESSAGE, *MESSAGE_GONE])
async def test_only_if_plain_text_is_rejected_too_the_event_is_rejected(code: str) -> None:
    for channel in ways(code):
        error = await failure(channel)
        assert (error.reason, error.disposition) == (
            DeliveryFailure.REJECTED,
            Disposition.REJECTED,
        )


async def test_a_message_that_is_too_large_for_a_proxy_is_sent_as_plain_text() -> None:
    sizes: list[int] = []

    def handler(request: httpx.Request) -> httpx.Response:
        sizes.append(len(request.content))
        return httpx.Response(413 if len(sizes) == 1 else 200, text="ok")

    await webhook(handler).send(EVENT)
    assert sizes[1] < sizes[0]


def test_the_lists_are_complete_and_name_each_code_once() -> None:
    sets = [errors.RATE_LIMITED, errors.UNAVAILABLE, errors.STOPPED]
    sets += [errors.MESSAGE_REJECTED, errors.MESSAGE_GONE]
    assert sum(map(len, sets)) == len(frozenset.union(*sets))
    published = {*AGAIN, *STOPPED, *MESSAGE, *MESSAGE_GONE}
    assert [code for code in published if not errors.is_known(code)] == []


@pytest.mark.parametrize("code", ["thing_of_a_later_year", "no"])
async def test_an_unknown_code_is_tried_again_and_logged_once(
    code: str, caplog: pytest.LogCaptureFixture
) -> None:
    channel = bot(lambda _: in_json(code))
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            error = await failure(channel)
            assert error.disposition is Disposition.TRANSIENT
    assert caplog.messages == [
        f"channel 'alerts': Slack answered with the unknown error {code}; will retry"
    ]


async def test_an_unknown_code_with_an_error_status_means_what_the_status_means() -> None:
    error = await failure(bot(lambda _: in_json("thing_of_a_later_year", 403)))
    assert error.disposition is Disposition.PERSISTENT


@pytest.mark.parametrize("kind", [webhook, bot])
@pytest.mark.parametrize("status", [200, 429, 503])
async def test_retry_after_is_kept(kind: Callable[[Handler], Channel], status: int) -> None:
    def handler(_: httpx.Request) -> httpx.Response:
        content = {"ok": False, "error": "ratelimited"}
        return httpx.Response(status, headers={"retry-after": "77"}, json=content)

    error = await failure(kind(handler))
    assert (error.disposition, error.retry_after) == (Disposition.OVERLOADED, 77)
    assert error.reason is DeliveryFailure.RATE_LIMITED


@pytest.mark.parametrize(
    "body",
    [
        b"<html><title>Sign in to the proxy</title>",
        b"",
        b"okay",
        b'"ok"',
        b"{}",
        b"[]",
        b"null",
        b'{"status":"ok"}',
        b'{"success":true}',
        b'{"ok":"true"}',
        b'{"ok":null}',
        b'{"ok":1}',
        b"\xff\xfe",
        b"restricted_action\x1b[2J\n<!channel>",
        "ok\u3164".encode(),
    ],
)
@pytest.mark.parametrize("kind", [webhook, bot])
async def test_a_200_that_is_not_slacks_is_a_failure(
    kind: Callable[[Handler], Channel], body: bytes
) -> None:
    error = await failure(kind(lambda _: httpx.Response(200, content=body)))
    assert (error.reason, error.disposition) == (
        DeliveryFailure.PROTOCOL,
        Disposition.TRANSIENT,
    )
    assert str(error).startswith("HTTP 200: not an answer of Slack")
    assert is_shown(str(error))


@pytest.mark.parametrize("body", [b"ok", b"ok\n", b"OK", b'{"ok":true}', b'{"ok": true, "x": 1}'])
async def test_the_answers_to_a_webhook_that_are_slacks(body: bytes) -> None:
    receipt = await webhook(lambda _: httpx.Response(200, content=body)).send(EVENT)
    assert receipt == Receipt(status=200, response=body.decode())


async def test_a_positive_answer_that_is_cut_off_is_a_delivery() -> None:
    body = b'{"ok":true,"channel":"C0123","ts":"1405894322.002768","message":{"text":"Task fai'
    receipt = await bot(lambda _: httpx.Response(200, content=body)).send(EVENT)
    assert receipt.status == 200
    answer = errors.decode_answer(body)
    assert answer is not None
    assert (answer.channel, answer.ts) == ("C0123", "1405894322.002768")
    assert errors.decode_answer(b'{"ok":false,"error":"int') is None
