"""Text from outside mentions no one, links nowhere and forges no line, in any message."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.hostile_messages import TYPES, look_at, message_of
from bench.hostile_strings import ALPHABETS, Tally
from watcher.channels._neutral_text import neutral
from watcher.channels.apprise import notification
from watcher.channels.slack.content import plain
from watcher.channels.slack.render_batch import BatchState, render_batch

PIECES = [piece for alphabet in ALPHABETS.values() for piece in alphabet]
HOSTILE = st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=12).map("".join)


@settings(max_examples=30, deadline=None)
@given(st.lists(HOSTILE, min_size=len(TYPES), max_size=len(TYPES)))
@example(["<!channel> @everyone [text](https://evil.example)\nStatus: COMPLETED"] * len(TYPES))
def test_no_message_has_a_live_mention_a_link_or_a_forged_line(texts: list[str]) -> None:
    tally = Tally()
    look_at(texts, tally)
    assert tally.faults == {}


def test_the_second_try_escapes_the_headline_too() -> None:
    shown = render_batch("<!channel>", BatchState(statuses={"t": "FAILED"}))
    assert "<" not in plain(shown)["text"]
    assert "&lt;!channel&gt;" in plain(shown)["text"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("@everyone @here <@&12>", "＠everyone ＠here ‹＠&12›"),
        ("[text](https://evil.example)", "［text］(https：//evil.example)"),
        ("WWW.evil.example, mailto:x", "WWW․evil.example, mailto：x"),
        ("<b>&lt;b&gt;</b>", "‹b›＆lt;b＆gt;‹/b›"),
        ("# heading\n  - item", "＃ heading\n  – item"),
        ("__bold__ my_task_id **x** ~~y~~", "＿＿bold＿＿ my_task_id ∗∗x∗∗ ∼∼y∼∼"),
        ("HTTP 503 & more: task_1, 50%", "HTTP 503 & more: task_1, 50%"),
    ],
)
def test_what_a_service_interprets_becomes_a_character_that_looks_like_it(
    text: str, shown: str
) -> None:
    assert neutral(text) == shown


def test_a_title_has_a_bound() -> None:
    title, _ = notification(message_of("x" * 100_000, "task.failed"))
    assert len(title) <= 300
