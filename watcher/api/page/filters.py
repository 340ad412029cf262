"""How a template shows single values. Imported with the templates, on the first request."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from watcher.api.page import remembered, views
from watcher.api.page.marks import Mark, of_delivery, of_status
from watcher.api.page.paths import address, failed_alike, segment
from watcher.api.page.words import bytes_of, duration, number, plural, utc
from watcher.core.clock import rfc3339
from watcher.core.durations import rounded_duration
from watcher.core.texts import visible, visible_lines

_PLAIN = re.compile("[A-Za-z0-9_/.:-]*")
_REMEMBERED = 2048
"""Values that several rows of a page have."""
_UNBROKEN = re.compile(".{1,24}")
"""A column need not be wider than this."""
_BREAKS_AFTER = re.compile(r"(?<=[_/.:-])(?=[^_/.:-])")


def shown(value: Any) -> Any:
    """Return what a template puts in the place of `value`: text with escapes for what is not
    visible, whatever it is, and a dash for nothing.
    """
    if type(value) is str:
        return value if value.isascii() and value.isprintable() else visible(value)
    return "–" if value is None else value


def lines(text: str) -> Markup:
    """Return `text` with its line feeds."""
    return escape(visible_lines(text))


@lru_cache(_REMEMBERED)
def breakable(text: str) -> Markup:
    """Return an ID or another name, which may be broken after its punctuation."""
    parts = [
        part for whole in _BREAKS_AFTER.split(visible(text)) for part in _UNBROKEN.findall(whole)
    ]
    if _PLAIN.fullmatch(text):
        return Markup("<wbr>".join(parts))  # noqa: S704  # nothing in it needs an escape
    return Markup("<wbr>").join(map(escape, parts))


@pass_context
def command(context: Context, text: str) -> Markup:
    """Return a command that is broken between its words only, with the URL of the daemon where it
    needs one to find it.
    """
    if (url := context.get("url")) and not text.startswith("watcher config "):
        text = f"{text} --url {url}"
    words = (Markup("<span>{}</span>").format(word) for word in visible(text).split(" "))
    return Markup("<code class=cmd>{}</code>").format(Markup(" ").join(words))


def moment(seconds: float | None, form: str = "ago") -> Markup:
    """Return Unix seconds as the absolute time in UTC, which the script shows as `form`: `ago`,
    `clock`, `date` or, of what is to come, `due`. So the page stays the same until its content
    changes.
    """
    if seconds is None:
        return Markup("–")
    shown_as = f'<time datetime="{rfc3339(seconds)}" data-as="{form}">{utc(seconds)}</time>'
    return Markup(shown_as)  # noqa: S704  # digits and a word of a template


@lru_cache(_REMEMBERED)
def state(of: Mark) -> Markup:
    """Return a mark: its shape, and its word in its colour."""
    return Markup(
        '<span class="state {}"><svg class="icon" aria-hidden="true" focusable="false">'
        '<use href="#{}"/></svg>{}</span>'
    ).format(of.tone, of.icon, shown(of.word))


FILTERS: Mapping[str, Callable[..., Any]] = {
    "breakable": breakable,
    "bytes": bytes_of,
    "command": command,
    "duration": duration,
    "lines": lines,
    "moment": moment,
    "number": number,
    "plural": plural,
    "rounded": rounded_duration,
    "segment": lru_cache(_REMEMBERED)(segment),
    "state": state,
}
GLOBALS: Mapping[str, Callable[..., Any]] = {
    "address": address,
    "failed_alike": failed_alike,
    "again": remembered.RememberedRows(),
    "mark_of": of_status,
    "mark_of_batch": views.of_batch,
    "mark_of_delivery": of_delivery,
}
