"""Slack messages: their limits, escaping and content."""

import json
import re
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from slack_sdk.models.blocks import ActionsBlock, HeaderBlock, SectionBlock

from tests.support.virtual_time import wall
from watcher.channels.slack import blocks
from watcher.channels.slack import channel as slack
from watcher.core.deliveries import Message
from watcher.core.errors import DeliveryError, DeliveryFailure
from watcher.delivery.notes import InMemoryNotes

pytestmark = pytest.mark.anyio

MENTION = "<!here>"
LINKS = {
    "Task": "https://console.example/tasks/{task_id}",
    "Runbook": "https://wiki.example/batches",
}
SETTINGS = slack.Settings(
    name="alerts", url="https://hooks.slack.example/x", mention=MENTION, links=LINKS
)
BLOCKS: dict[str, Any] = {"header": HeaderBlock, "section": SectionBlock, "actions": ActionsBlock}

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=12,
)
texts = st.text() | st.sampled_from(
    ["<!channel>", "&<>" * 2000, "word " * 3000, "`" * 5000, "<@U1>", "x" * 9000]
)
event_data = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(
            (
                "task_id",
                "task_type",
                "namespace",
                "previous_status",
                "error_message",
                "reason",
                "since",
                "source",
            ),
            texts | json_values,
        ),
        "status": st.sampled_from(["FAILED", "COMPLETED_WITH_ERRORS"]) | texts,
        "labels": st.dictionaries(texts, texts, max_size=5) | json_values,
        "outputs": json_values
        | st.fixed_dictionaries(
            {"failed_count": json_values},
            optional={
                "processed_count": json_values,
                "success_rate": json_values,
                "errors": st.lists(texts | json_values),
            },
        ),
    },
)


def message(kind: str, data: object, watched_for: float | None = 125.0) -> Message:
    body = json.dumps(
        {"type": kind, "timestamp": "2026-11-23T07:00:00.123456Z", "data": data}
    ).encode()
    return Message(event_id="msg_1", type=kind, body=body, watched_for=watched_for)


def rendered(kind: str, **data: Any) -> dict[str, Any]:
    return blocks.render(message(kind, data), SETTINGS)


def shown(content: dict[str, Any]) -> str:
    return json.dumps(content["blocks"], ensure_ascii=False)


def texts_of(value: Any) -> list[str]:
    """Return every text that Slack parses as markup."""
    if isinstance(value, list):
        return [text for item in value for text in texts_of(item)]
    if not isinstance(value, dict):
        return []
    if value.get("type") == "mrkdwn":
        return [value["text"]]
    return [text for item in value.values() for text in texts_of(item)]


def every_text(value: Any) -> list[str]:
    if isinstance(value, list):
        return [text for item in value for text in every_text(item)]
    if not isinstance(value, dict):
        return []
    own = [value["text"]] if isinstance(value.get("text"), str) else []
    return own + [text for item in value.values() for text in every_text(item)]


def assert_valid(content: dict[str, Any]) -> None:
    assert 0 < len(content["text"]) <= 4000
    assert len(json.dumps(content, ensure_ascii=False, separators=(",", ":"))) <= 15_000
    assert sum(map(len, [content["text"], *every_text(content["blocks"])])) <= 9_000
    assert len(content["blocks"]) <= 50
    for block in content["blocks"]:
        BLOCKS[block["type"]](
            **{name: value for name, value in block.items() if name != "type"}
        ).to_dict()
        for field in block.get("fields", ()):
            assert 0 < len(field["text"]) <= 2000
        if block["type"] == "section" and "text" in block:
            assert 0 < len(block["text"]["text"]) <= 3000
        if block["type"] == "header":
            assert 0 < len(block["text"]["text"]) <= 150
    for text in [content["text"], *texts_of(content["blocks"])]:
        assert "<" not in text.replace(MENTION, "", 1)
        assert not re.search(r"&(?!amp;|lt;|gt;)", text)


@given(
    kind=st.sampled_from(["task.failed", "task.completed_with_errors", "source.unreachable"])
    | texts,
    data=event_data,
)
def test_any_event_is_a_message_within_slacks_limits_that_mentions_no_one(
    kind: str, data: object
) -> None:
    assert_valid(blocks.render(message(kind, data), SETTINGS))


@given(body=st.binary(max_size=50))
def test_a_body_that_is_not_an_event_is_still_a_message(body: bytes) -> None:
    assert_valid(blocks.render(Message(event_id="msg_1", type="task.failed", body=body), SETTINGS))


def test_a_failure_shows_status_task_error_labels_and_duration() -> None:
    content = rendered(
        "task.failed",
        task_id="task_1",
        task_type="api_x",
        namespace="production",
        previous_status="IN_PROGRESS",
        status="FAILED",
        error_message="Object <x> & y not found",
        labels={"team": "search"},
    )

    assert content["text"] == "<!here> ❌ Task failed: task_1: Object &lt;x&gt; &amp; y not found"
    text = shown(content)
    for part in (
        "IN_PROGRESS → FAILED",
        "api_x",
        "production",
        "team: search",
        "2 min 5 s",
        "&lt;x&gt; &amp; y",
    ):
        assert part in text


def test_a_partial_success_shows_the_counts_and_the_first_three_errors() -> None:
    errors = [{"object_id": f"obj_{number}", "error": f"broken {number}"} for number in range(5)]
    content = rendered(
        "task.completed_with_errors",
        task_id="task_1",
        status="COMPLETED_WITH_ERRORS",
        outputs=[
            {
                "failed_count": 5,
                "processed_count": 200,
                "success_rate": 0.975,
                "failed_items": errors,
            }
        ],
    )

    text = shown(content)
    assert "5 of 200 failed, success rate 97.5%" in text
    assert "obj_2: broken 2" in text
    assert "obj_3" not in text
    assert MENTION not in content["text"]


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (0, "0.0%"),
        (0.0, "0.0%"),
        (0.005, "0.5%"),
        (0.97, "97.0%"),
        (1, "100.0%"),
        (1.0, "100.0%"),
        (1.5, "1.5%"),
        (97.0, "97.0%"),
        (97, "97.0%"),
        (100, "100.0%"),
    ],
)
def test_a_success_rate_is_a_fraction_or_a_percentage(rate: float, text: str) -> None:
    content = rendered(
        "task.completed_with_errors",
        task_id="task_1",
        status="COMPLETED_WITH_ERRORS",
        outputs=[{"success_rate": rate, "processed_count": 200}],
    )
    assert f"success rate {text}" in shown(content)


@pytest.mark.parametrize("rate", [-0.1, 100.1, 9700, True, "0.97", None, [0.97], {}])
def test_any_other_success_rate_is_not_shown(rate: object) -> None:
    content = rendered(
        "task.completed_with_errors",
        task_id="task_1",
        status="COMPLETED_WITH_ERRORS",
        outputs=[{"failed_count": 3, "processed_count": 100, "success_rate": rate}],
    )
    assert "3 of 100 failed" in shown(content)
    assert "success rate" not in shown(content)


def test_counts_and_rate_may_be_in_different_outputs() -> None:
    content = rendered(
        "task.completed_with_errors",
        task_id="task_1",
        status="COMPLETED_WITH_ERRORS",
        outputs=[{"success_rate": 98.5}, {"failed_count": 3, "processed_count": 200}],
    )
    assert "3 of 200 failed, success rate 98.5%" in shown(content)


def test_links_are_buttons_with_an_encoded_id() -> None:
    content = rendered("task.failed", task_id="a/b c", status="FAILED")
    buttons = next(block for block in content["blocks"] if block["type"] == "actions")["elements"]
    assert [button["url"] for button in buttons] == [
        "https://console.example/tasks/a%2Fb%20c",
        "https://wiki.example/batches",
    ]


def test_a_channel_event_shows_its_channel_and_reason() -> None:
    content = rendered(
        "channel.failing",
        channel="backend",
        reason="timeout",
        since="2026-11-23T07:00:00Z",
        pending=4,
    )
    assert content["text"] == "📪 Channel failing: backend"
    assert "timeout" in shown(content)


def test_long_texts_are_cut_at_a_word() -> None:
    content = rendered(
        "task.failed", task_id="task_1", status="FAILED", error_message="several words " * 1000
    )
    error = content["blocks"][-2]["text"]["text"]
    assert error.endswith(("words…```", "several…```"))


@pytest.mark.parametrize(
    "options",
    [
        {"mention": "@here"},
        {"mention": "<!here> all"},
        {"links": {"x": "https://e.example/{nope}"}},
        {"links": {"x": "no"}},
    ],
)
def test_invalid_settings_are_rejected(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        slack.Settings(name="x", url="https://hooks.slack.example/x", **options)


def test_the_default_rate_is_one_message_a_second() -> None:
    assert SETTINGS.rate == 1


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (410, "channel_is_archived", DeliveryFailure.GONE),
        (404, "no_service\n", DeliveryFailure.GONE),
        (403, "invalid_token", DeliveryFailure.GONE),
        (400, "invalid_payload", DeliveryFailure.REJECTED),
        (404, "not found", DeliveryFailure.REJECTED),
        (500, "rollup_error", DeliveryFailure.UNAVAILABLE),
    ],
)
async def test_permanent_slack_errors_stop_the_channel(
    status: int, body: str, reason: DeliveryFailure
) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(status, text=body))
    channel = slack.create(SETTINGS, transport=transport, notes=InMemoryNotes(), wall=wall)
    with pytest.raises(DeliveryError) as caught:
        await channel.send(Message(event_id="msg_1", type="task.failed", body=b"{}"))
    assert caught.value.reason is reason


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["task.failed", "task.lost", "source.unreachable"]) | texts, event_data
        ),
        min_size=2,
    )
)
def test_any_digest_keeps_slacks_limits(events: list[tuple[str, dict[str, Any]]]) -> None:
    messages = [message(kind, content) for kind, content in events]
    rendered = blocks.render_digest(messages, SETTINGS)
    for block in rendered["blocks"]:
        BLOCKS[block["type"]].parse(block).to_dict()
    assert len(json.dumps(rendered, ensure_ascii=False)) <= 15_000
    assert (
        len(rendered["text"]) + sum(len(block["text"]["text"]) for block in rendered["blocks"])
        <= 9_000
    )
    assert f"{len(messages)} events" in rendered["blocks"][0]["text"]["text"]


def test_a_digest_of_a_thousand_names_or_counts_every_task() -> None:
    messages = [
        message("task.failed", {"task_id": f"task_{number:04}_with_a_rather_long_name"})
        for number in range(1000)
    ]
    text = "".join(
        block["text"]["text"] for block in blocks.render_digest(messages, SETTINGS)["blocks"]
    )
    named = set(re.findall(r"task_\d{4}", text))
    (left,) = re.findall(r"and (\d+) more", text)
    assert len(named) + int(left) == 1000
    assert "❌ 1000 task failed" in text
