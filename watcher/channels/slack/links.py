"""Links of messages: the operator's URL templates, filled in from an event. Pure.

The link named `task` is on the task's ID, the one named `batch` on the batch's; every other is
shown by its name. A link with a placeholder that the event does not fill is left out.
"""

import string
from collections.abc import Iterator, Mapping
from typing import Any

from watcher.channels._text import one_line, place_of, text_of
from watcher.channels.slack.markup import code, escaped_cut, link
from watcher.net.url import quote_segment

PLACEHOLDERS = frozenset(
    {"task_id", "task_type", "source", "namespace", "status", "batch_id", "bucket_id"}
)
"""The placeholders of a link's URL template."""
MAX_LINKS = 5

OF_BATCH = frozenset({"source", "namespace", "batch_id", "bucket_id"})
"""The placeholders that are the same for all tasks of a batch."""
OPEN = "Open in watcher"
"""The name of the link to the watcher's own page."""
_ON_IDS = ("task", "batch")
_LABEL, _LINK, _ALL = 75, 1000, 2500  # characters of a name, of a link on an ID, of all others


class Links:
    """The links that one event fills in. `only` limits the placeholders that it may fill."""

    def __init__(
        self,
        templates: Mapping[str, str],
        data: Mapping[str, Any],
        *,
        only: frozenset[str] = PLACEHOLDERS,
    ) -> None:
        values = {name: text_of(data.get(name)) for name in only}
        values |= {name: text_of(place_of(data, name)) for name in ("batch_id", "bucket_id")}
        self._urls = dict(_filled(templates, values))

    def on(self, kind: str, text: str, limit: int) -> str:
        """Return the ID `text` of a task or a batch (`kind`), with its link if there is one."""
        url = next((url for name, url in self._urls.items() if name.lower() == kind), "")
        return link(url, escaped_cut(one_line(text), limit), _LINK) or code(text, limit)

    def others(self) -> list[str]:
        """Return the links that are shown by name, as many as there is room for in a line."""
        room, shown = _ALL, []
        for name, url in self._urls.items():
            label = escaped_cut(one_line(name), _LABEL)
            if name.lower() not in _ON_IDS and (linked := link(url, label, room)):
                room -= len(linked)
                shown.append(linked)
        return shown


def with_page(templates: Mapping[str, str], pages: str, path: str) -> dict[str, str]:
    """Return the templates with the link to a page of the watcher first; `path` has placeholders.

    A template of this name that is there already stays.
    """
    literal = pages.replace("{", "{{").replace("}", "}}")
    return {OPEN: f"{literal}/{path}", **templates}


def _filled(templates: Mapping[str, str], values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, template in templates.items():
        fields = [field for _, field, _, _ in string.Formatter().parse(template) if field]
        if all(values.get(field) for field in fields):
            quoted = {field: quote_segment(values[field]) for field in fields}
            yield name, template.format_map(quoted)
