"""Texts with variables: the target of a request, `/runs/get?run_id={id}`, and the form of IDs.

An ID of several parts, such as `octo:hello:1234` of the form `{owner}:{repo}:{id}`, gives a value
to each variable.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from watcher.core.texts import check_id
from watcher.net.url import quote_segment

VARIABLE = re.compile(r"\{([a-z][a-z0-9_]{0,31})\}")
_LONGEST = 2000


def variables(text: str) -> Sequence[str]:
    """Return the names of the variables of a text, in order."""
    return VARIABLE.findall(text)


def check_template(text: str) -> str:
    """Return `text` if every brace belongs to a variable. Raises `ValueError` otherwise."""
    rest = VARIABLE.sub("", text)
    if (brace := next((char for char in rest if char in "{}"), None)) is not None:
        raise ValueError(f"{brace!r} does not belong to a variable such as {{id}}")
    if len(text) > _LONGEST:
        raise ValueError(f"is longer than {_LONGEST} characters")
    return text


def target(text: str, values: Mapping[str, str]) -> str:
    """Return a path with its query, with the variables replaced and percent-encoded.

    Raises `ValueError` for a value that could lead to another path.
    """
    return VARIABLE.sub(lambda match: quote_segment(check_id(values[match[1]])), text)


@dataclass(frozen=True, slots=True, kw_only=True)
class IdForm:
    """The form of a source's task IDs; `fixed` are the values that are not part of them."""

    names: Sequence[str]
    separators: Sequence[str]
    fixed: Mapping[str, str]

    @classmethod
    def of(cls, text: str, fixed: Mapping[str, str]) -> "IdForm":
        """Return the form that `text` describes, without the variables that are fixed.

        Raises `ValueError` if no part would be left, or if two parts have nothing between them.
        """
        pieces = VARIABLE.split(text)
        kept: list[str] = []
        separators: list[str] = []
        for name, separator in zip(pieces[1::2], pieces[2::2], strict=True):
            if name not in fixed:
                kept.append(name)
                separators.append(separator)
        if not kept:
            raise ValueError("has no variable that is not fixed by vars")
        if pieces[0] or separators[-1]:
            raise ValueError("begins and ends with a variable")
        if not all(separators[:-1]):
            raise ValueError("has two variables with nothing between them")
        return cls(names=kept, separators=separators[:-1], fixed=fixed)

    def values(self, task_id: str) -> Mapping[str, str]:
        """Return the value of each variable; the last part takes what is left of the ID.

        Raises `ValueError` for an ID of another form.
        """
        found = dict(self.fixed)
        rest = task_id
        for name, separator in zip(self.names, self.separators, strict=False):
            found[name], between, rest = rest.partition(separator)
            if not between or not found[name]:
                raise ValueError(f"an ID has the form {self.text}")
        if not rest:
            raise ValueError(f"an ID has the form {self.text}")
        found[self.names[-1]] = rest
        return found

    def joined(self, parts: Sequence[str]) -> str:
        """Return the ID of these parts."""
        ends = (*self.separators, "")
        return "".join(f"{part}{end}" for part, end in zip(parts, ends, strict=True))

    @property
    def text(self) -> str:
        """The form as users write it."""
        return self.joined([f"{{{name}}}" for name in self.names])
