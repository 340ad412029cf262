"""Hostile strings through every message for people: what Slack and the services behind Apprise get.

The channels are the real ones. Slack rejects the blocks of each message, so that the second try is
looked at too. Time is virtual: a bot sends one request a second.
"""

import html
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx
import msgspec

from bench.hostile_strings import Fault, Tally, lines, one_line
from tests.support.virtual_time import VirtualLoop, wall
from watcher.channels.apprise import notification, subject_of
from watcher.channels.slack import channel as slack
from watcher.core.deliveries import Message
from watcher.core.interfaces.channel import Digesting
from watcher.delivery.notes import InMemoryNotes

FIELDS = ("task_id", "task_type", "namespace", "status", "previous_status", "error_message")
TYPES = (
    *("task.failed", "task.completed_with_errors", "task.lost", "source.unreachable"),
    *("channel.failing", "source.recovered", "task.other"),
)
DIGEST = 7
"""Events of one digest."""
_WORKFLOW = "https://hooks.slack.com/triggers/T0/1/x"
_WEBHOOK = "https://hooks.slack.com/services/T0/B0/x"
_LINK = "https://console.example/tasks/{task_id}?status={status}"

_SLACK = re.compile(r"<|>|&(?!amp;|lt;|gt;)")
_LIVE = re.compile(r"[<>@`\[\]*|~\\]|&#?\w+;", re.IGNORECASE)
_LINKED = re.compile(r"://|www\.|(?:mailto|tel|xmpp|magnet|matrix|javascript):", re.IGNORECASE)
_NAMES = (
    *("Status", "Task", "Type", "Namespace", "Labels", "Watched for", "Reason", "Since", "Pending"),
    *("Active watches", "Error", "Partial success"),
)
_BEGINNINGS = (*(f"{name}: " for name in _NAMES), "    ", "• ")
_CODE = "```"
_OUR_LINK = re.compile(r"<(https://console\.example/[^<>|]*)\|([^<>]*)>")
_OUR_DATE = re.compile(
    r"<!date\^\d+\^\{date_short_pretty\} \{time_secs\}\|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC>"
)
_LAST_LINE = re.compile(r"• |and [0-9,]+ more: `watcher [a-zA-Z_ -]+`$")


def message_of(text: str, kind: str) -> Message:
    """Return the event of a task, a source or a channel of which every field is `text`."""
    text = text.encode("utf-8", "ignore").decode()  # what is stored is UTF-8
    data: dict[str, Any] = {
        **dict.fromkeys((*FIELDS, "reason", "source", "channel", "since"), text),
        **{"pending": text, "active_watches": text, "labels": {text: text}},
        "error": text,
        "additional_data": {"batch_id": text, "bucket_id": text, "labels": text, "reason": text},
        "outputs": [{"failed_count": text, "items": [{"id": text, "error": text}, text]}],
    }
    if kind == "task.completed_with_errors":
        data["status"] = "COMPLETED_WITH_ERRORS"
    stamp = "2026-11-23T07:00:00.123456Z"
    body = msgspec.json.encode({"type": kind, "timestamp": stamp, "data": data})
    return Message(event_id="msg_1", type=kind, body=body, watched_for=1.0, sent_again=True)


def look_at(texts: Sequence[str], tally: Tally) -> None:
    """Send a message for each of `texts`, and digests of them, by each channel."""
    anyio.run(_look_at, texts, tally, backend_options={"loop_factory": VirtualLoop})


async def _look_at(texts: Sequence[str], tally: Tally) -> None:
    messages = [message_of(text, TYPES[n % len(TYPES)]) for n, text in enumerate(texts)]
    for surface, options in (
        ("Slack webhook", {"url": _WEBHOOK}),
        ("Slack bot", {"bot_token": "xoxb-made-up-0123456789", "slack_channel": "C0"}),
        ("workflow", {"url": _WORKFLOW}),
    ):
        receiver = SlackFake(surface, tally)
        settings = slack.Settings.model_validate(
            {"name": "slack", "links": {"task": _LINK, "logs": _LINK}, **options}
        )
        transport = httpx.MockTransport(receiver)
        channel = slack.create(settings, transport=transport, notes=InMemoryNotes(), wall=wall)
        for one in messages:
            await channel.send(one)
        receiver.surface = f"{surface}, digest"
        await _digests(channel, messages)
    for one in messages:
        for fault_text, faults in _apprise(one):
            tally.add("Apprise", fault_text, *faults)


async def _digests(channel: Digesting, messages: Sequence[Message]) -> None:
    for start in range(0, len(messages), DIGEST):
        group = messages[start : start + DIGEST]
        if len(group) > 1:
            await channel.send_digest(group)


class SlackFake:
    """Slack: it rejects blocks. What it gets is looked at."""

    def __init__(self, surface: str, tally: Tally) -> None:
        self.surface = surface
        self._tally = tally
        self._posted = 0
        self._texts = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        content = json.loads(request.content)
        method = request.url.path.rpartition("/")[2]
        if "text" in content and "task_id" in content:
            self._workflow(content)
            return httpx.Response(200, json={"ok": True})
        is_first = bool(content.get("blocks"))
        surface = self.surface if is_first else f"{self.surface}, second try"
        for text, faults in self._blocks(content) if is_first else self._plain(content):
            self._tally.add(surface, text, *faults)
        if method != "chat.update" and (content["unfurl_links"] or content["unfurl_media"]):
            self._tally.add(surface, "", Fault("link", "previews"))
        if is_first:
            return httpx.Response(200, json={"ok": False, "error": "invalid_blocks"})
        self._posted += 1
        return httpx.Response(200, json={"ok": True, "channel": "C0", "ts": f"{self._posted}.0"})

    def _blocks(self, content: dict[str, Any]) -> Iterator[tuple[str, list[Fault]]]:
        yield content["text"], [*_slack(content["text"]), *one_line(content["text"])]
        self._texts = 0
        for block in [*content["blocks"], *content["attachments"]]:
            for part in _parts(block):
                self._texts += 1
                text, faults = part["text"], []
                for url, label in _OUR_LINK.findall(text):
                    faults += [*_route(html.unescape(url)), *one_line(label)]
                live = () if part.get("verbatim") else (Fault("link", f"linked: {text}"),)
                yield text, [*faults, *_slack(text), *live, *_layout(text)]

    def _plain(self, content: dict[str, Any]) -> Iterator[tuple[str, list[Fault]]]:
        text = content["text"]
        faults = [*_slack(text)]
        if content["parse"] != "none" or content["mrkdwn"]:
            faults.append(Fault("link", "parsed"))
        begun = [line for line in lines(text) if not line.startswith("    ")]
        if len(begun) > max(self._texts, 1):
            faults.append(Fault("line", text))
        yield text, faults

    def _workflow(self, content: dict[str, Any]) -> None:
        for name, text in content.items():
            single = () if name in ("text", "error_message") else one_line(text)
            self._tally.add(self.surface, text, *_slack(text), *single)


def _parts(value: Any) -> Iterator[dict[str, Any]]:
    """Yield the texts of a block or an attachment."""
    if isinstance(value, dict):
        if value.get("type") == "mrkdwn":
            yield value
        for member in value.values():
            yield from _parts(member)
    if isinstance(value, list):
        for member in value:
            yield from _parts(member)


def _slack(text: str) -> Iterator[Fault]:
    """Yield a fault if a text has a sequence that is not one of ours."""
    if _SLACK.search(_OUR_DATE.sub("", _OUR_LINK.sub(r"\2", text))):
        yield Fault("mention", text)


def _layout(text: str) -> Iterator[Fault]:
    """Yield a fault if a text has more lines than ours: only within a block of code may it."""
    if text.startswith(_CODE):
        if text.count(_CODE) != 2 or not text.endswith(_CODE):
            yield Fault("line", text)
        return
    first, *further = lines(text)
    begun = [first] if first.startswith(("• ", "and ")) else []
    if any(not line.startswith("• ") for line in [*begun, *further][:-1]) or (
        further and not _LAST_LINE.match(further[-1])
    ):
        yield Fault("line", text)


def _route(url: str) -> Iterator[Fault]:
    parts = urlsplit(url)
    shape = parts.path.count("/"), parts.query.count("="), parts.query.count("&"), parts.fragment
    if parts.netloc != "console.example" or shape != (2, 1, 0, "") or not url.isascii():
        yield Fault("route", url)


def _apprise(message: Message) -> Iterator[tuple[str, list[Fault]]]:
    title, body = notification(message)
    for text in (title, body):
        live = [Fault("mention", text)] if _LIVE.search(text) else []
        live += [Fault("link", text)] if _LINKED.search(text) else []
        yield text, live
    yield title, [*one_line(title)]
    yield subject_of(message), [*one_line(subject_of(message))]
    if body != title:
        forged = [one for one in lines(body) if not _is_ours(one)]
        yield body, [Fault("line", one) for one in forged]


def _is_ours(line: str) -> bool:
    """Return whether a line begins as ours do; the last one may be cut before that ends."""
    if line.endswith("…") and any(each.startswith(line[:-1]) for each in _BEGINNINGS):
        return True
    return line.startswith(_BEGINNINGS)
