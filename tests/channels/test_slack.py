"""Slack messages: their limits, escaping and content."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.support.slack_limits import assert_valid, every_text
from tests.support.virtual_time import wall
from watcher.channels.slack import channel as slack
from watcher.channels.slack.mentions import Mentions
from watcher.channels.slack.render_batch import BatchState
from watcher.channels.slack.render_digest import render_digest
from watcher.channels.slack.render_event import render
from watcher.channels.slack.renderer import Renderer
from watcher.core.deliveries import Message
from watcher.core.errors import DeliveryError, DeliveryFailure
from watcher.core.interfaces.channel import Linking
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
AT = 1_795_417_200.123456
"""The time of every event, 2026-11-23 07:00 UTC."""


def event(message: Message, links: Mapping[str, str] = LINKS) -> dict[str, Any]:
    return render(message, links, now=AT, mention=MENTION)


def digest(messages: Sequence[Message], links: Mapping[str, str] = LINKS) -> dict[str, Any]:
    return render_digest(messages, links, now=AT, mention=MENTION)


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
    return event(message(kind, data))


def shown(content: dict[str, Any]) -> str:
    return "\n".join(every_text([content["blocks"], content["attachments"]]))


@given(
    kind=st.sampled_from(["task.failed", "task.completed_with_errors", "source.unreachable"])
    | texts,
    data=event_data,
)
def test_any_event_is_a_message_within_slacks_limits_that_mentions_no_one(
    kind: str, data: object
) -> None:
    assert_valid(event(message(kind, data)))


@given(body=st.binary(max_size=50))
def test_a_body_that_is_not_an_event_is_still_a_message(body: bytes) -> None:
    assert_valid(event(Message(event_id="msg_1", type="task.failed", body=body)))


def test_a_failure_shows_what_a_person_needs_in_a_first_line_and_beside_a_red_bar() -> None:
    content = rendered(
        "task.failed",
        task_id="task_1",
        task_type="api_x",
        namespace="production",
        previous_status="IN_PROGRESS",
        status="FAILED",
        error_message="Object <x> & y not found",
        additional_data={"batch_id": "batch_1", "bucket_id": "bkt_1"},
        labels={"team": "search"},
    )

    assert content["text"] == "<!here> ❌ Task failed: task_1: Object &lt;x&gt; &amp; y not found"
    (attachment,) = content["attachments"]
    assert attachment["color"] == "#d72638"
    assert shown(content).splitlines() == [
        "<!here> ❌ *Task failed*: <https://console.example/tasks/task_1|task_1> in batch "
        "`batch_1`",
        "```Object &lt;x&gt; &amp; y not found```",
        "`task_1` · `api_x` · bucket `bkt_1` · namespace `production` · watched for 2 min 5 s · "
        "<!date^1795417200^{date_short_pretty} {time_secs}|2026-11-23 07:00:00 UTC> · "
        "`team: search`",
        "<https://wiki.example/batches|Runbook> · `watcher show task_1`",
    ]


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
    assert content["text"] == "<!here> ⚠️ Task completed with errors: task_1"


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


def test_links_are_text_with_an_encoded_id_and_those_without_a_value_are_left_out() -> None:
    links = {
        "task": "https://c.example/{task_id}?a=1&b={status}",
        "batch": "https://c.example/b/{batch_id}",
        "Logs": "https://c.example/{namespace}/{task_id}",
        "Bucket": "https://c.example/k/{bucket_id}",
    }
    data = {
        "task_id": "a?b|c",
        "status": "FAILED",
        "additional_data": {"batch_id": "b/1", "bucket_id": "k&1"},
    }
    first, *_, last = every_text(
        [(content := event(message("task.failed", data), links))["blocks"], content["attachments"]]
    )
    assert first.endswith(
        "<https://c.example/a%3Fb%7Cc?a=1&amp;b=FAILED|a?b|c>"
    )  # b/1 cannot be an ID
    assert last == "<https://c.example/k/k%261|Bucket>"  # an ID for a shell is a plain one
    assert "button" not in json.dumps(content)


def test_a_link_that_is_too_long_is_left_out() -> None:
    links = {"task": "https://c.example/" + "x" * 5000, "Other": "https://c.example/" + "y" * 5000}
    assert "c.example" not in shown(event(message("task.failed", {"task_id": "t"}), links))


@pytest.mark.parametrize("task_id", ["$(reboot)", "`reboot`", "-rf", "a;b", "a b", "é", "x" * 200])
def test_what_a_shell_could_read_is_no_command(task_id: str) -> None:
    assert "watcher show" not in shown(rendered("task.failed", task_id=task_id))


def test_what_slack_formats_is_shown_as_it_is() -> None:
    text = shown(rendered("task.failed", task_id="`x`", error_message="```x``` `y`"))
    assert "`ʼxʼ`" in text
    assert "```ʼʼʼxʼʼʼ `yʼ```" in text
    assert "```ʼ```" in shown(rendered("task.failed", error_message="`"))


def test_an_outage_shows_reason_status_and_beginning_and_its_end_for_how_long_it_was() -> None:
    data = {"source": "mixpeek", "reason": "unavailable", "since": "2026-11-23T06:19:00Z"}
    failing = rendered(
        "source.unreachable", **data, status=503, error="HTTP 503: down", active_watches=1204
    )
    since = "<!date^1795414740^{date_short_pretty} {time_secs}|2026-11-23 06:19:00 UTC>"
    assert failing["text"] == "<!here> 🔌 Source unreachable: mixpeek: HTTP 503: down"
    assert failing["attachments"][0]["color"] == "#d72638"
    assert shown(failing).splitlines() == [
        "<!here> 🔌 *Source unreachable*: `mixpeek`",
        "```HTTP 503: down```",
        f"`unavailable` · HTTP 503 · since {since} · 1,204 active watches",
        "<https://wiki.example/batches|Runbook> · `watcher status`",
    ]
    recovered = rendered("source.recovered", **data, status=503, active_watches=1)
    assert recovered["attachments"][0]["color"] == "#2eb67d"
    assert recovered["text"] == "<!here> ✅ Source recovered: mixpeek after 41 min"
    assert shown(recovered).splitlines()[:3] == [
        "<!here> ✅ *Source recovered*: `mixpeek` after 41 min",
        "What changed meanwhile of 1 active watch comes late.",
        f"`unavailable` · HTTP 503 · since {since}",
    ]


@pytest.mark.parametrize(("pending", "text"), [(1, "1 delivery comes"), (12, "12 deliveries come")])
def test_the_recovery_of_a_channel_shows_what_comes_late(pending: int, text: str) -> None:
    content = rendered("channel.recovered", channel="backend", reason="timeout", pending=pending)
    assert f"{text} late." in shown(content)


def test_a_channel_event_shows_its_channel_and_reason() -> None:
    content = rendered(
        "channel.failing",
        channel="backend",
        reason="timeout",
        since="2026-11-23T07:00:00Z",
        pending=4,
    )
    assert content["text"] == "<!here> 📪 Channel failing: backend: timeout"
    assert "4 pending deliveries" in shown(content)


@pytest.mark.parametrize(
    ("late", "again", "note"),
    [
        (0, False, ""),
        (299, False, ""),
        (-60, False, ""),
        (301, False, "happened 5 min 1 s ago"),
        (7801, False, "happened 2 h 10 min ago"),
        (7801, True, "happened 2 h 10 min ago, sent again"),
        (1, True, "sent again"),
    ],
)
def test_what_is_late_or_sent_again_is_marked(late: float, again: bool, note: str) -> None:
    one = replace(message("task.failed", {"task_id": "task_1"}), sent_again=again)
    content = render(one, {}, now=AT + late, mention=None)
    first = content["blocks"][0]["text"]["text"]
    assert first == "❌ *Task failed*: `task_1`" + (f" — _{note}_" if note else "")
    assert content["text"] == "❌ Task failed: task_1" + (f" ({note})" if note else "")


def test_long_texts_are_cut_at_a_word() -> None:
    content = rendered(
        "task.failed", task_id="task_1", status="FAILED", error_message="several words " * 1000
    )
    error = content["attachments"][0]["blocks"][0]["text"]["text"]
    assert error.endswith(("words…```", "several…```"))


def test_the_largest_event_is_within_the_limits() -> None:
    large = "<&>" * 4000
    data = {
        **dict.fromkeys(("task_id", "task_type", "namespace", "reason", "error_message"), large),
        "status": "COMPLETED_WITH_ERRORS",
        "labels": {f"{number}{large}": large for number in range(50)},
        "additional_data": {"batch_id": "<" * 256, "bucket_id": "&" * 256},
        "outputs": [{"failed_count": large, "errors": [large] * 50}],
    }
    links = {f"{large}{number}": "https://c.example/{batch_id}" for number in range(5)}
    assert_valid(event(message("task.completed_with_errors", data), links))
    assert_valid(digest([message(f"task.{n}", data) for n in range(99)], links))


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
    assert_valid(digest(messages))


def test_a_digest_of_a_thousand_counts_every_task_by_error_and_batch() -> None:
    messages = [
        message(
            "task.failed",
            {
                "task_id": f"task_{number:04}",
                "status": "FAILED",
                "error_message": "CUDA out of memory" if number % 3 else f"No object obj_{number}",
                "additional_data": {"batch_id": "b1" if number < 900 else "b2"},
            },
        )
        for number in range(1000)
    ]
    content = render_digest(messages, {}, now=AT, mention=None)
    assert content["text"] == "❌ 1,000 tasks failed"
    assert shown(content).splitlines() == [
        "❌ *1,000 tasks failed*",
        "• 600 × `CUDA out of memory` in batch `b1`: "
        "`task_0001`, `task_0002`, `task_0004`, `task_0005`, `task_0007`",
        "• 300 × `No object …` in batch `b1`: "
        "`task_0000`, `task_0003`, `task_0006`, `task_0009`, `task_0012`",
        "• 66 × `CUDA out of memory` in batch `b2`: "
        "`task_0901`, `task_0902`, `task_0904`, `task_0905`, `task_0907`",
        "• 34 × `No object …` in batch `b2`: "
        "`task_0900`, `task_0903`, `task_0906`, `task_0909`, `task_0912`",
        "and 980 more: `watcher ls --status FAILED`",
    ]


def test_a_digest_of_several_types_has_a_section_for_each() -> None:
    kinds = ["task.failed", "task.failed", "task.lost", "source.unreachable"]
    messages = [
        message(kind, {"task_id": f"t{number}", "source": "mixpeek", "reason": "timeout"})
        for number, kind in enumerate(kinds)
    ]
    content = digest(messages, {})
    assert content["text"] == "<!here> ❌ 2 tasks failed, ❓ 1 task lost, 🔌 1 source unreachable"
    assert shown(content).splitlines() == [
        "<!here> 🔔 *4 events*",
        "*❌ 2 tasks failed*",
        "• 2 × `timeout`: `t0`, `t1`",
        "*❓ 1 task lost*",
        "• 1 × `timeout`: `t2`",
        "*🔌 1 source unreachable*",
        "• 1 × `timeout`: `mixpeek`",
    ]


@pytest.mark.parametrize(
    ("kind", "late", "again", "note"),
    [
        ("task.failed", 0, 2, ""),
        ("task.failed", 7201, 2, " — _the first happened 2 h ago_"),
        ("task.failed", 0, 3, " — _sent again_"),
    ],
)
def test_a_late_digest_is_marked(kind: str, late: float, again: int, note: str) -> None:
    messages = [
        replace(message(kind, {"task_id": f"t{number}"}), sent_again=number < again)
        for number in range(3)
    ]
    content = render_digest(messages, {}, now=AT + late, mention=None)
    assert content["blocks"][0]["text"]["text"] == "❌ *3 tasks failed*" + note


PAGES = "https://ops.example/watcher"
OPENED = "Open in watcher"


async def posted_with_pages(pages: str | None, *messages: Message) -> str:
    """What is shown of the message that the channel posts, with its links to `pages`."""
    contents: list[dict[str, Any]] = []

    def accept(request: httpx.Request) -> httpx.Response:
        contents.append(json.loads(request.content))
        return httpx.Response(200, text="ok")

    settings = SETTINGS.model_copy(update={"links": {}, "mention": None})
    channel = slack.create(
        settings, transport=httpx.MockTransport(accept), notes=InMemoryNotes(), wall=wall
    )
    assert isinstance(channel, Linking)
    if pages is not None:
        channel.link_to(pages)
    if len(messages) == 1:
        await channel.send(messages[0])
    else:
        await channel.send_digest(messages)
    assert_valid(contents[0])
    return shown(contents[0])


async def test_a_task_is_linked_to_its_page() -> None:
    failed = message("task.failed", {"task_id": "a/b {1}", "status": "FAILED"})
    assert OPENED not in await posted_with_pages(None, failed)
    text = await posted_with_pages("https://ops.example/{x}", failed)
    assert f"<https://ops.example/{{x}}/tasks/a%2Fb%20%7B1%7D|{OPENED}>" in text


async def test_an_event_about_no_task_is_not_linked() -> None:
    down = message("source.unreachable", {"source": "mixpeek", "reason": "connect"})
    assert OPENED not in await posted_with_pages(PAGES, down)
    assert OPENED not in await posted_with_pages(PAGES, down, down)


@pytest.mark.parametrize(
    ("statuses", "linked"),
    [
        (("FAILED", "FAILED"), "FAILED"),
        (("CANCELED", "FAILED"), "FAILED"),
        (("CANCELED", "SKIPPED"), "CANCELED"),
    ],
)
async def test_a_digest_is_linked_to_the_list_of_its_tasks(
    statuses: tuple[str, ...], linked: str
) -> None:
    messages = [
        message(f"task.{status.lower()}", {"task_id": f"task_{number}", "status": status})
        for number, status in enumerate(statuses)
    ]
    text = await posted_with_pages(PAGES, *messages)
    address = f"{PAGES}/tasks?status={linked}&amp;since=2026-11-23T07%3A00%3A00Z"
    assert f"<{address}|{OPENED}>" in text


def test_a_batch_is_linked_to_its_page() -> None:
    renderer = Renderer({}, Mentions(None, (), lambda: 0.0), wall)
    state = BatchState(statuses={"task_1": "FAILED"})
    data = {"additional_data": {"batch_id": "batch_1"}}
    assert OPENED not in shown(renderer.batch("batch_1", state, data))
    renderer.link_to(PAGES)
    linked = renderer.batch("batch_1", state, data)
    assert_valid(linked)
    assert f"<{PAGES}/batches/batch_1|{OPENED}>" in shown(linked)
