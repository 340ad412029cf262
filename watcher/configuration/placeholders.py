"""Placeholders that another program should have replaced: nothing replaces them here.

Known forms: `${NAME}` (shells, Compose, envsubst), `$(NAME)` (Kubernetes), `{{ … }}` (Helm, Jinja),
`<%= … %>` (ERB), `%(name)s` (Python), and `$NAME` where it stands alone.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from watcher.configuration.yaml_document import Place

_FORMS = {
    r"\$\{[^{}]*\}": "${…}",
    r"\$\([A-Za-z_][\w.-]*\)": "$(…)",
    r"\{\{.*?\}\}": "{{ … }}",
    r"<%=.*?%>": "<%= … %>",
    r"%\([A-Za-z_][\w.-]*\)s": "%(…)s",
    r"(?<!\S)\$[A-Z_][A-Z0-9_]+(?!\S)": "$…",
}
_ANY = re.compile("|".join(f"({form})" for form in _FORMS), re.DOTALL)
_SHOWN = (*_FORMS.values(),)


def placeholder_in(text: str) -> str | None:
    """Return the form of the first placeholder in `text`; None without one.

    What it contains is not part of it: a default may be a secret.
    """
    found = _ANY.search(text)
    return None if found is None else _SHOWN[(found.lastindex or 1) - 1]


def is_placeholder(text: str) -> bool:
    """Return whether `text` is nothing but a placeholder."""
    return _ANY.fullmatch(text) is not None


def placeholders(value: Any, place: Place) -> Iterator[tuple[Place, str]]:
    """Yield place and form of each placeholder in a value and all that it contains."""
    if isinstance(value, str):
        if (form := placeholder_in(value)) is not None:
            yield place, form
    elif isinstance(value, Mapping):
        for key, member in value.items():
            yield from placeholders(str(key), (*place, str(key)))
            yield from placeholders(member, (*place, str(key)))
    elif isinstance(value, list):
        for position, member in enumerate(value):
            yield from placeholders(member, (*place, position))
