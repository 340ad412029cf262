"""The pictures in docs/ show what is sent."""

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest

from scripts.pictures.__main__ import DOCS, pictures
from scripts.pictures.drawing import WIDTH
from scripts.pictures.mrkdwn import Run, runs
from scripts.pictures.payloads import Posted, shots
from tests.support.slack_limits import assert_valid

SHOTS = shots()
SVG = "{http://www.w3.org/2000/svg}"


def test_the_pictures_are_drawn_from_what_is_sent_now() -> None:
    drawn = pictures()
    assert {path.name for path in drawn} == {path.name for path in DOCS.glob("slack-*.svg")}
    stale = [path.name for path, svg in drawn.items() if path.read_text() != svg]
    assert not stale, "run python -m scripts.pictures"


@pytest.mark.parametrize("messages", SHOTS.values(), ids=SHOTS)
def test_each_shape_is_within_slacks_limits(messages: Sequence[Posted]) -> None:
    for posted in messages:
        assert_valid(dict(posted.content))


@pytest.mark.parametrize("path", pictures(), ids=lambda path: path.stem)
def test_a_picture_holds_every_text_within_its_frame(path: Path) -> None:
    root = ElementTree.fromstring(path.read_text())
    for text in root.iter(f"{SVG}text"):
        assert float(text.attrib["x"]) + float(text.attrib["textLength"]) <= WIDTH
    drawn = [text.text for text in root.iter(f"{SVG}text")]
    assert drawn.count("Watcher") == len(SHOTS[path.stem.removeprefix("slack-")])


def test_the_markup_becomes_runs() -> None:
    line = (
        "<!here> *Task failed*: <https://e.example/?a=1&amp;b|a &lt;b&gt;> `x *y*` — _late_ a_b_c"
        " <!date^1795417200^{date_short_pretty} {time_secs}|2026>"
    )
    assert list(runs(line)) == [
        Run("@here", "mention"),
        Run(" ", "plain"),
        Run("Task failed", "bold"),
        Run(": ", "plain"),
        Run("a <b>", "link"),
        Run(" ", "plain"),
        Run("x *y*", "code"),
        Run(" — ", "plain"),
        Run("late", "italic"),
        Run(" a_b_c ", "plain"),
        Run("Nov 23, 2026 7:00:00 AM", "plain"),
    ]
