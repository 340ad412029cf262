"""What a source's answers mean: its paths, words and rules. Pure.

A rule that holds decides the status; else the HTTP status, if the source has a meaning for it; else
the word that a path finds; else what an absent word means.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from watcher.core.statuses import StatusTable
from watcher.sources.http.paths import Path, path_text, text_of

PRESENT = "*"
Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Expected:
    """What a rule expects at a path: any value, a number above one, or one of some values."""

    values: Sequence[Scalar] = ()
    above: float | None = None

    def holds(self, value: object) -> bool:
        """Return whether `value` is what is expected."""
        if self.above is not None:
            return _is_number(value) and value > self.above  # type: ignore[operator]
        if not self.values:
            return value is not None
        return any(
            value == one and isinstance(value, bool) == isinstance(one, bool) for one in self.values
        )

    def covers(self, other: "Expected") -> bool:
        """Return whether every value that `other` expects is expected here too."""
        if self.above is None and not self.values:
            return True
        if other.values:
            return all(map(self.holds, other.values))
        return self.above is not None and other.above is not None and other.above >= self.above

    @property
    def text(self) -> str:
        """The expectation as users write it."""
        if self.above is not None:
            return f">{self.above:g}"
        return " or ".join(str(text_of(value)) for value in self.values) or "present"


def expected_of(value: Scalar | Sequence[Scalar]) -> Expected:
    """Return what a rule's `when` expects. Raises `ValueError` for a text that cannot be meant."""
    if isinstance(value, str) and value == PRESENT:
        return Expected()
    if isinstance(value, str) and value.startswith(">"):
        try:
            return Expected(above=float(value[1:]))
        except ValueError:
            raise ValueError("a comparison is > and a number, such as '>0'") from None
    values = [value] if isinstance(value, Scalar) else list(value)
    if not values:
        raise ValueError("at least one value is required")
    return Expected(tuple(values))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A status, and what has to hold for it."""

    when: Mapping[Path, Expected]
    status: str

    def covers(self, other: "Rule") -> bool:
        """Return whether this rule holds wherever `other` does."""
        return all(
            path in other.when and expected.covers(other.when[path])
            for path, expected in self.when.items()
        )

    @property
    def text(self) -> str:
        """The conditions as one line."""
        return ", ".join(f"{path_text(path)} {one.text}" for path, one in self.when.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """The compiled language of one source.

    `default_type` is the task type where no path finds one. `http_statuses` and `absent` are
    canonical statuses; `missing` are the HTTP statuses of a task that does not exist.
    """

    id: Sequence[Path]
    status: Sequence[Path]
    type: Sequence[Path]
    error: Sequence[Path]
    fields: Mapping[str, Sequence[Path]]
    rules: Sequence[Rule]
    statuses: StatusTable
    http_statuses: Mapping[int, str]
    absent: str | None
    missing: frozenset[int]
    default_type: str | None

    @property
    def compared(self) -> Sequence[Path]:
        """The paths that every answer is read at."""
        of_rules = (path for rule in self.rules for path in rule.when)
        return list(dict.fromkeys((*self.id, *self.status, *self.type, *of_rules)))
