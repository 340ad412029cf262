"""A Slack incoming webhook: each event as one Block Kit message that reads well in a channel and in a notification.

Limits: https://api.slack.com/reference/block-kit/blocks (header 150 characters, section text 3,000, field 2,000, ten
fields, button text 75, URL 3,000). `&`, `<` and `>` are escaped, so that text from upstream can ping nobody.
"""

import re
import string
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal
from urllib.parse import quote

import httpx
import msgspec
from pydantic import AfterValidator, Field

from watcher import __version__
from watcher.clock import Clock
from watcher.errors import DeliveryError, DeliveryFailure
from watcher.model import Message, Receipt
from watcher.replies import post, require_success
from watcher.routing import matches
from watcher.settings import ChannelSettings, ConnectionSettings, SecretUrl, http_url

DEFAULT_EVENTS = (
    "task.failed",
    "task.completed_with_errors",
    "task.lost",
    "task.stalled",
    "source.*",
    "channel.*",
)

_PLACEHOLDERS = frozenset({"task_id", "task_type", "source", "namespace", "status"})
_MENTION = re.compile(r"<(?:!here|!channel|!everyone|@[UW][A-Z0-9]+|!subteam\^S[A-Z0-9]+)>")
_HEADER, _TEXT, _FIELD, _FIELDS, _BUTTON, _URL, _BUTTONS = 150, 2900, 1900, 10, 75, 3000, 5
_ITEM, _ITEMS = 300, 3
_DIGEST, _DIGEST_KINDS, _FIELD_NAME = 6000, 20, 120  # characters of names in all, kinds shown, characters of one name
DIGEST_MOST = 1000
"""So many events one digest may tell."""
_NEVER_AGAIN = frozenset(
    {
        *("action_prohibited", "channel_is_archived", "channel_not_found", "invalid_auth", "invalid_token"),
        *("no_active_hooks", "no_service", "no_team", "team_disabled", "token_revoked", "user_not_found"),
    }
)
"""What Slack says of a webhook that takes no message any more (https://api.slack.com/messaging/webhooks, "errors")."""
_MARKS = {
    "task.completed": "✅",
    "task.completed_with_errors": "⚠️",
    "task.failed": "❌",
    "task.canceled": "🚫",
    "task.lost": "❓",
    "task.stalled": "⏳",
    "source.unreachable": "🔌",
    "source.recovered": "✅",
    "channel.failing": "📪",
    "channel.recovered": "✅",
    "channel.stopped": "🛑",
}


def _mention(text: str) -> str:
    if not _MENTION.fullmatch(text):
        raise ValueError("is no mention such as <!here>, <@U012AB3CD> or <!subteam^S012AB3CD>")
    return text


def _templates(links: dict[str, str]) -> dict[str, str]:
    for name, template in links.items():
        for _, field, _, _ in string.Formatter().parse(template):
            if field is not None and field not in _PLACEHOLDERS:
                raise ValueError(f"{name!r} holds {{{field}}}; known: {', '.join(sorted(_PLACEHOLDERS))}")
        http_url(template)
    return links


class Settings(ConnectionSettings, ChannelSettings):
    """A Slack webhook's settings. `links` are URL templates, `{task_id}` and its like filled in.

    More than `digest_above` messages that wait at once become one (null: never).
    """

    type: Literal["slack"] = "slack"
    url: SecretUrl
    concurrency: Annotated[int, Field(ge=1, le=256)] = 1
    rate: Annotated[float, Field(gt=0, le=100_000)] | None = 1.0  # what Slack allows for each webhook
    digest_above: Annotated[int, Field(ge=1)] | None = 5
    mention: Annotated[str, AfterValidator(_mention)] | None = None
    mention_on: tuple[str, ...] = ("task.failed", "task.lost", "source.unreachable")
    links: Annotated[dict[str, str], Field(max_length=_BUTTONS), AfterValidator(_templates)] = Field(
        default_factory=dict
    )


def create(settings: Settings, *, transport: httpx.AsyncBaseTransport, wall: Clock) -> "SlackChannel":
    """Return the channel that posts to the incoming webhook `settings.url` over `transport`."""
    return SlackChannel(settings, transport, wall)


class SlackChannel:
    """Implements `watcher.protocols.Channel` and `Digesting`."""

    def __init__(self, settings: Settings, transport: httpx.AsyncBaseTransport, wall: Clock) -> None:
        self._settings = settings
        self.digest_above = settings.digest_above
        self.digest_most = DIGEST_MOST
        self._url = httpx.URL(settings.url.get_secret_value())
        self._transport = transport
        self._wall = wall

    async def send(self, message: Message) -> Receipt:
        return await self._post(render(message, self._settings))

    async def send_digest(self, messages: Sequence[Message]) -> Receipt:
        return await self._post(render_digest(messages, self._settings))

    async def _post(self, content: Mapping[str, Any]) -> Receipt:
        headers = {
            "content-type": "application/json",
            "accept-encoding": "identity",
            "user-agent": f"mixpeek-watcher/{__version__}",
        }
        request = httpx.Request("POST", self._url, headers=headers, content=msgspec.json.encode(content))
        reply = await post(self._transport, request, self._settings.timeout)
        if reply.status >= 400 and (said := reply.body.decode("utf-8", "replace").strip()) in _NEVER_AGAIN:
            text = f"HTTP {reply.status}: {said}"
            raise DeliveryError(DeliveryFailure.GONE, text, status=reply.status, answer=said)
        return require_success(reply, self._wall)


def render(message: Message, settings: Settings) -> dict[str, Any]:
    """Return the Slack message (`text` and `blocks`) that tells `message`, within every limit of Slack's."""
    told = _told(message.body)
    headline = _headline(message.type, told)
    text = _escaped_cut(_one_line(headline), _TEXT)
    if error := _text_of(told.get("error_message")):
        text += f": {_escaped_cut(_one_line(error), _ITEM)}"
    blocks = [_header(headline), *_fields(message, told), *_error(told), *_partial(told), *_links(told, settings)]
    if settings.mention and matches(settings.mention_on, message.type):
        text = f"{settings.mention} {text}"
        blocks.insert(1, _section(settings.mention))
    return {"text": text, "blocks": blocks}


def render_digest(messages: Sequence[Message], settings: Settings) -> dict[str, Any]:
    """Return one Slack message that tells all of `messages`: those of a kind together, each named, or counted.

    At most 9,000 characters of text, and 15,000 of JSON.
    """
    names: dict[str, list[str]] = {}
    for message in messages:
        told = _told(message.body)
        subject = message.type.partition(".")[0]
        name = told.get("task_id") if subject == "task" else told.get(subject)
        kind = message.type if message.type in names or len(names) < _DIGEST_KINDS else "others"
        names.setdefault(kind, []).append(_one_line(_text_of(name)) or "unknown")
    counts = [
        f"{_MARKS.get(kind, '🔔')} {len(of_a_kind)} {_cut(kind.replace('.', ' ').replace('_', ' '), _FIELD_NAME)}"
        for kind, of_a_kind in names.items()
    ]
    text = escape(", ".join(counts))
    room = min(_DIGEST // len(names), _TEXT - 2 * _FIELD_NAME)
    blocks = [_header(f"🔔 {len(messages)} events")]
    for count, of_a_kind in zip(counts, names.values(), strict=True):
        blocks.append(_section(f"*{escape(count)}*\n{_listed(of_a_kind, room)}"))
    if settings.mention and any(matches(settings.mention_on, one.type) for one in messages):
        text = f"{settings.mention} {text}"
        blocks.insert(1, _section(settings.mention))
    return {"text": text, "blocks": blocks}


def _listed(names: Sequence[str], room: int) -> str:
    """Return as many names as there is room for, and how many more there are and where to see them."""
    shown: list[str] = []
    used = 0
    for name in names:
        escaped = _escaped_cut(name, _FIELD_NAME)
        used += len(escaped) + 2
        if used > room:
            break
        shown.append(escaped)
    left = len(names) - len(shown)
    return ", ".join(shown) + (f" and {left} more: `watcher deliveries` lists them" if left else "")


def escape(text: str) -> str:
    """Escape what Slack would read as a mention, a link or an entity (its three control characters)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _told(body: bytes) -> Mapping[str, Any]:
    try:
        event = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return {}
    told = event.get("data") if isinstance(event, dict) else None
    return told if isinstance(told, dict) else {}


def _headline(kind: str, told: Mapping[str, Any]) -> str:
    mark = _MARKS.get(kind, "🔔")
    subject, _, happening = kind.partition(".")
    words = happening.replace("_", " ") or subject
    if subject == "task":
        return f"{mark} Task {words}: {_text_of(told.get('task_id')) or 'unknown'}"
    name = _text_of(told.get(subject))
    return f"{mark} {subject.capitalize()} {words}" + (f": {name}" if name else "")


def _header(headline: str) -> dict[str, Any]:
    # Plain text is shown as it stands, so nothing is to be escaped here.
    return {
        "type": "header",
        "text": {"type": "plain_text", "text": _cut(_one_line(headline), _HEADER), "emoji": False},
    }


def _fields(message: Message, told: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    lines = [
        {"type": "mrkdwn", "text": f"*{name}*\n{_escaped_cut(value, _FIELD)}"}
        for name, value in _facts(message, told)
        if value
    ]
    if lines:
        yield {"type": "section", "fields": lines[:_FIELDS]}


def _facts(message: Message, told: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if message.type.startswith("task."):
        before, now = _text_of(told.get("previous_status")) or "not seen", _text_of(told.get("status")) or "not seen"
        yield "Status", now if before == now else f"{before} → {now}"
        yield "Task", _text_of(told.get("task_id"))
        yield "Type", _text_of(told.get("task_type"))
        yield "Namespace", _text_of(told.get("namespace"))
        labels = told.get("labels")
        if isinstance(labels, dict):
            yield "Labels", ", ".join(f"{name}: {_text_of(value)}" for name, value in labels.items())
        if message.watched_for is not None:
            yield "Watched for", humanised(message.watched_for)
    for name in ("reason", "since", "pending", "active_watches"):
        yield name.replace("_", " ").capitalize(), _text_of(told.get(name))


def _error(told: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if error := _text_of(told.get("error_message")):
        # A quote in a code block would end it; a look-alike does not.
        yield _section(f"```{_escaped_cut(error.replace('```', 'ʼʼʼ'), _TEXT - 6)}```")


def _partial(told: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield, for a partial success, what failed of how much, the rate, and the first item errors."""
    if told.get("status") != "COMPLETED_WITH_ERRORS":
        return
    outputs = told.get("outputs")
    found = [one for one in (outputs if isinstance(outputs, list) else [outputs]) if isinstance(one, dict)]
    counts = next((one for one in found if "failed_count" in one), {})
    parts = []
    if counts:
        parts.append(f"{_text_of(counts['failed_count'])} of {_text_of(counts.get('processed_count')) or '?'} failed")
    rate = counts.get("success_rate")
    if isinstance(rate, int | float) and not isinstance(rate, bool):
        parts.append(f"success rate {rate:.1%}")
    if parts:
        yield _section(f"*Partial success*: {_escaped_cut(', '.join(parts), _FIELD)}")
    errors = [error for one in found for error in _item_errors(one)][:_ITEMS]
    if errors:
        yield _section("\n".join(f"• {_escaped_cut(_one_line(error), _ITEM)}" for error in errors))


def _item_errors(output: Mapping[str, Any]) -> Iterator[str]:
    for name in ("failed_items", "errors", "failures", "items"):
        items = output.get(name)
        for item in items if isinstance(items, list) else ():
            yield from _item_error(item)
    if "failed_count" not in output:
        yield from _item_error(output)


def _item_error(item: object) -> Iterator[str]:
    if not isinstance(item, dict):
        if text := _text_of(item):
            yield text
        return
    said = item.get("error_message") or item.get("error") or item.get("message") or item.get("reason")
    if isinstance(said, dict):
        said = said.get("message")
    if text := _text_of(said):
        name = next((_text_of(item[key]) for key in ("object_id", "item_id", "id", "document_id") if key in item), "")
        yield f"{name}: {text}" if name else text


def _links(told: Mapping[str, Any], settings: Settings) -> Iterator[dict[str, Any]]:
    values = {name: quote(_text_of(told.get(name)), safe="") for name in _PLACEHOLDERS}
    buttons = [
        {
            "type": "button",
            "text": {"type": "plain_text", "text": _cut(name, _BUTTON)},
            "url": url,
            "action_id": f"link-{number}",
        }
        for number, (name, template) in enumerate(settings.links.items())
        if len(url := template.format(**values)) <= _URL
    ]
    if buttons:
        yield {"type": "actions", "elements": buttons}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _text_of(value: object) -> str:
    if value is None or isinstance(value, bool | dict | list):
        return ""
    return "".join(char if char.isprintable() or char == "\n" else " " for char in str(value)).strip()


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _cut(text: str, limit: int) -> str:
    """Cut at a word where one ends in the last fifth, and say so."""
    if len(text) <= limit:
        return text
    kept = text[: limit - 1]
    space = max(kept.rfind(" "), kept.rfind("\n"))
    return (kept[:space] if space > limit * 4 // 5 else kept) + "…"


def _escaped_cut(text: str, limit: int) -> str:
    """Escape, and cut so that what is escaped keeps the limit and no entity is split."""
    kept = _cut(text, limit)
    while len(escaped := escape(kept)) > limit:
        kept = _cut(kept, len(kept) - max((len(escaped) - limit) // 5, 1))
    return escaped


def humanised(seconds: float) -> str:
    """Return a duration as people say it: `42 s`, `3 min 5 s`, `2 h 10 min`, `4 d 1 h`."""
    whole = int(seconds)
    for size, unit, smaller, name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {name}" if rest else "")
    return f"{whole} s" if whole or seconds <= 0 else f"{seconds:.1f} s"
