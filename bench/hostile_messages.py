"""Hostile strings through every message for people: `python -m bench.hostile_messages 100000`.

Prints how many live mentions, links and extra lines there were; there must be none.
"""

import re
import sys
from collections.abc import Iterator
from random import Random
from typing import Any

import msgspec

from watcher.channels.apprise import notification
from watcher.channels.slack import blocks
from watcher.channels.slack.workflow import digest_variables, variables
from watcher.core.deliveries import Message

PIECES = (
    *("<!channel>", "<!here>", "<@U123>", "<#C1>", "<https://evil.example|text>", "@everyone"),
    *("@here", "<@&123>", "[text](https://evil.example)", "![x](http://evil.example/x)"),
    *("```", "`", "www.evil.example", "mailto:a@evil.example", "<b>", "<img src=x>"),
    *("&lt;!channel&gt;", "&#60;", "\n", "\r\n", "\u2028", "\x85", "\x0b", "\u202e", "\u200b"),
    *("\0", "\x1b[2J", "*", "_", "~", "Status: COMPLETED", "*Status*", "\nStatus: COMPLETED"),
    *("{task_id}", "%s", "|", "#", ">", "x", "\\", "task_1", " ", "é", "😀", "&", ";", "://"),
    "matrix:u/x",
)
FIELDS = ("task_id", "task_type", "namespace", "status", "previous_status", "error_message")
TYPES = (
    "task.failed",
    "task.completed_with_errors",
    "task.lost",
    "source.unreachable",
    "channel.x",
)


class Style:
    """No mention and one link, so that whatever else is live comes from outside."""

    mention = None
    mention_on = ()
    links = {"task": "https://console.example/{task_id}?s={status}"}  # noqa: RUF012


_SLACK = re.compile(r"<|>|&(?!amp;|lt;|gt;)")
_ELSEWHERE = re.compile(r"[<>@`\[\]*|~\\]|://|www\.|mailto:|&#?\w+;", re.IGNORECASE)
_LINE = re.compile(
    r"(Status|Task|Type|Namespace|Labels|Watched for|Reason|Since|Pending|Active watches|Error"
    r"|Partial success): |    |• "
)
_LINE_BREAKS = re.compile(r"[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")


def faults(content: dict[str, str]) -> list[str]:
    """Return what is live or forged in the messages about a task or an outage whose fields are
    `content`.
    """
    text = content["text"]
    data: dict[str, Any] = {
        **dict.fromkeys(FIELDS, text),
        **{"reason": text, "source": text, "channel": text, "labels": {text: text}},
        "additional_data": {"batch_id": text, "labels": text, "reason": text},
        "outputs": [{"failed_count": text, "items": [{"id": text, "error": text}]}],
    }
    body = msgspec.json.encode({"type": content["type"], "data": data})
    message = Message(event_id="msg_1", type=content["type"], body=body)
    return [*_slack_faults(message), *_workflow_faults(message), *_apprise_faults(message)]


def _slack_faults(message: Message) -> Iterator[str]:
    statuses = {str(message.body): "FAILED"}
    for shown in (
        blocks.render(message, Style()),
        blocks.render_digest([message] * 3, Style()),
        blocks.render_batch(str(message.body), statuses),
    ):
        again = blocks.plain(shown)
        texts = [shown["text"], again["text"], *_formatted(shown["blocks"])]
        yield from (f"Slack: {text}" for text in texts if _SLACK.search(text))
        yield from (f"line: {url}" for url in _urls(shown) if not url.isascii() or " " in url)


def _formatted(value: Any) -> Iterator[str]:
    if isinstance(value, dict) and value.get("type") == "mrkdwn":
        yield value["text"] if value.get("verbatim") else f"<not verbatim> {value['text']}"
    members = value.values() if isinstance(value, dict) else value
    if isinstance(value, dict | list):
        for member in members:
            yield from _formatted(member)


def _urls(content: dict[str, Any]) -> Iterator[str]:
    for block in content["blocks"]:
        yield from (element["url"] for element in block.get("elements", ()))


def _workflow_faults(message: Message) -> Iterator[str]:
    for values in (variables(message), digest_variables([message] * 3)):
        yield from (f"workflow: {text}" for text in values.values() if _SLACK.search(text))
    names = ("task_id", "task_type", "status")
    one_line = (variables(message)[name] for name in names)
    yield from (f"line: {text!r}" for text in one_line if _LINE_BREAKS.search(text))


def _apprise_faults(message: Message) -> Iterator[str]:
    title, body = notification(message)
    yield from (f"Apprise: {text}" for text in (title, body) if _ELSEWHERE.search(text))
    lines = [] if body == title else _LINE_BREAKS.split(body)
    yield from (f"line: {line!r}" for line in lines if not _LINE.match(line) and line != "…")
    if _LINE_BREAKS.search(title):
        yield f"line: {title!r}"


def strings(count: int, random: Random) -> Iterator[dict[str, str]]:
    """Yield `count` hostile texts, each with the type of an event."""
    for _ in range(count):
        pieces = random.choices(PIECES, k=random.randint(1, 12))
        yield {"text": "".join(pieces), "type": random.choice(TYPES)}


def main(count: int) -> int:
    found = [fault for content in strings(count, Random(1)) for fault in faults(content)]
    print(f"{count} hostile strings: {len(found)} live mentions, links or extra lines")
    for fault in found[:20]:
        print(f"  {fault}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
