"""Hostile strings through every surface; `scripts/bench hostile_texts` runs a hundred thousand."""

import json
from random import Random

import httpx
import pytest

from bench.hostile_messages import SlackFake
from bench.hostile_strings import Tally, controls, lines, one_line
from bench.hostile_surfaces import foreign
from bench.hostile_texts import tally_of

SURFACES = {
    *("--json", "Apprise", "errors", "event stream", "labels", "log, json", "log, text", "path"),
    *("table", "values", "workflow", "workflow, digest"),
    *(
        f"{channel}{kind}{again}"
        for channel in ("Slack bot", "Slack webhook")
        for kind in ("", ", digest")
        for again in ("", ", second try")
    ),
}


def test_no_text_is_live_begins_a_line_or_leads_elsewhere_on_any_surface() -> None:
    tally = tally_of(120, Random(20))
    assert tally.faults == {}
    assert {surface for surface, count in tally.looked_at.items() if count > 10} == SURFACES


@pytest.mark.parametrize(
    "text", ["\x1b[2J", "a\x9b", "\u202e", "\u3164", "\ud800", "e" + "\u0301" * 20]
)
def test_a_live_character_would_be_found(text: str) -> None:
    assert [fault.kind for fault in controls(text)] == ["control"]
    assert not [*controls("two\nlines, e\u0301 \u26a0\ufe0f")]


@pytest.mark.parametrize("end", ["\n", "\r", "\x85", "\u2028", "\v"])
def test_a_further_line_would_be_found(end: str) -> None:
    assert [fault.kind for fault in one_line(f"a{end}b")] == ["line"]
    assert lines(f"a{end}b") == ["a", "b"]


def section(text: str) -> dict[str, object]:
    return {"blocks": [{"type": "mrkdwn", "text": text, "verbatim": True}]}


@pytest.mark.parametrize(
    ("content", "kinds"),
    [
        ({"text": "<!channel>"}, {"mention"}),
        ({"text": "a\nb"}, {"line"}),
        ({"blocks": [{"type": "mrkdwn", "text": "x"}]}, {"link"}),
        ({"blocks": [{"type": "mrkdwn", "text": "*Type*\nforged", "verbatim": True}]}, {"line"}),
        ({"blocks": [{"type": "mrkdwn", "text": "```a```b```", "verbatim": True}]}, {"line"}),
        (section("<https://console.example/t/x/y?s=y|z>"), {"route"}),
        (section("<https://evil.example/t/x?s=y|z>"), {"mention"}),
        (section("<!date^1^{date} {time}^https://evil.example|z>"), {"mention"}),
        (section("<https://console.example/t/x?s=y|z> &amp; 1 · `x`"), set()),
        (section("*2 tasks failed*\n• x\nand 1 more: `watcher ls`"), set()),
        (section("*2 tasks failed*\n• x\nand 1 more: `rm`"), {"line"}),
        ({"attachments": [section("<!channel>")]}, {"mention"}),
        ({"blocks": [], "text": "a\nb", "mrkdwn": False, "parse": "none"}, {"line"}),
        ({"blocks": [], "parse": "full", "mrkdwn": True}, {"link"}),
        ({"unfurl_links": True}, {"link"}),
        ({}, set()),
    ],
)
def test_a_live_message_would_be_found(content: dict[str, object], kinds: set[str]) -> None:
    tally = Tally()
    whole = {
        **{"text": "x", "unfurl_links": False, "unfurl_media": False},
        **section("x"),
        "attachments": [],
    }
    body = json.dumps({**whole, **content})
    SlackFake("Slack", tally)(httpx.Request("POST", "https://slack.com/api/x", content=body))
    assert {kind for _, kind in tally.faults} == kinds


@pytest.mark.parametrize(
    ("path", "text"), [("/v1/tasks/../x", "../x"), ("/v1/tasks/..", ".."), ("/v1/tasks/a?b", "a?b")]
)
def test_a_foreign_route_would_be_found(path: str, text: str) -> None:
    assert [one.kind for one in foreign("/v1/tasks/{}", "{}", path, text)] == ["route"]
    assert foreign("/v1/tasks/{}", "{}", "/v1/tasks/a%3Fb", "a?b") == []
