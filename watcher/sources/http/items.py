"""One task in an answer: its compared fields, decoded at once, and its details, decoded on demand.

Any value may have any type. What a path does not expect counts as absent.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from watcher.core.json_repair import is_deep, is_suspicious, repaired
from watcher.core.tasks import Detail, Observation, TaskUnreadable
from watcher.sources._errors import UNREADABLE, error_text
from watcher.sources.http.language import Language
from watcher.sources.http.paths import Path, first_value, path_text, text_of
from watcher.sources.http.shapes import Getter, Shape
from watcher.sources.http.templates import IdForm

_NO_STATUS = "the answer has no status"


class ItemReader:
    """Reads the compared fields of a source's tasks from records of `shape`."""

    def __init__(self, language: Language, form: IdForm) -> None:
        self.language = language
        self.form = form
        self.shape = Shape(language.compared)
        getters = {path: self.shape.getter(path) for path in language.compared}
        self._id = [getters[path] for path in language.id]
        self._status = [getters[path] for path in language.status]
        self._type = [getters[path] for path in language.type]
        self._rules = [
            ([(getters[path], one.holds) for path, one in rule.when.items()], rule.status)
            for rule in language.rules
        ]
        self._canonical = language.statuses.canonical

    def id_of(self, record: Any) -> str | None:
        """Return the ID, or the part of it, that a record shows; None if it shows none."""
        if len(self._id) == 1:
            return text_of(self._id[0](record)) or None
        parts = [text_of(getter(record)) for getter in self._id]
        if not parts or not all(parts):
            return None
        return self.form.joined([part for part in parts if part])

    def status_of(self, record: Any, http_status: int = 0) -> str:
        """Return the canonical status of a record; empty if it has none."""
        for conditions, status in self._rules:
            if all(holds(getter(record)) for getter, holds in conditions):
                return status
        if http_status in self.language.http_statuses:
            return self.language.http_statuses[http_status]
        word = _text(self._status, record)
        if word is None:
            return self.language.absent or ""
        return self._canonical(word)

    def type_of(self, record: Any) -> str | None:
        """Return the task type of a record."""
        return _text(self._type, record) or self.language.default_type

    def item(
        self, record: Any, task_id: str, details: object, http_status: int = 0
    ) -> Observation | TaskUnreadable:
        """Return what a record shows of the task."""
        status = self.status_of(record, http_status)
        if not status:
            return TaskUnreadable(task_id=task_id, reason=_NO_STATUS)
        return Observation(
            task_id=task_id, status=status, task_type=self.type_of(record), details=details
        )


def _text(getters: Sequence[Getter], record: Any) -> str | None:
    for getter in getters:
        value = getter(record)
        if (text := value if type(value) is str else text_of(value)) is not None:
            return text
    return None


class ItemDetails:
    """Implements `watcher.core.tasks.Details`; `raw_of` returns the bytes of a task's item."""

    def __init__(
        self, language: Language, raw_of: Callable[[str], bytes], http_status: int = 0
    ) -> None:
        self._language = language
        self._raw_of = raw_of
        self._http_status = http_status

    def of(self, task_id: str) -> Detail:
        return detail_of(self._raw_of(task_id), self._language, self._http_status)


def detail_of(raw: bytes, language: Language, http_status: int = 0) -> Detail:
    """Return the details of an item: its error, upstream's word, and the chosen fields.

    The fields are `additional_data` of the event.
    """
    whole, paths = decoded(raw)
    used = (*language.error, *(path for paths in language.fields.values() for path in paths))
    names = {path_text(path).partition("[")[0] for path in used}
    return Detail(
        error_message=_error(whole, language.error),
        raw=msgspec.Raw(msgspec.json.encode({"additional_data": _fields(whole, language)})),
        upstream_status=word_of(whole, language, http_status),
        unreadable=tuple(path for path in paths if _is_part(path, names)),
    )


def decoded(raw: bytes) -> tuple[Any, Sequence[str]]:
    """Return what an item holds, and the paths of what could not be represented and is null."""
    paths: Sequence[str] = ()
    try:
        if not is_suspicious(raw) and not is_deep(raw):
            return msgspec.json.decode(raw), ()
    except UNREADABLE:
        pass
    try:
        text, paths = repaired(raw)
        return msgspec.json.decode(text), paths
    except UNREADABLE:
        return None, paths


def word_of(whole: object, language: Language, http_status: int = 0) -> str | None:
    """Return upstream's own word: what a path finds, else the HTTP status if it has a meaning."""
    for path in language.status:
        found = first_value(whole, [path])
        if found is not None and (text := text_of(found[1])) is not None:
            return text
    return f"HTTP {http_status}" if http_status in language.http_statuses else None


def _error(whole: object, paths: Sequence[Path]) -> str | None:
    for path in paths:
        found = first_value(whole, [path])
        if found is None:
            continue
        if text := text_of(found[1]) or error_text(found[1]):
            return text
        if isinstance(found[1], list) and found[1]:
            return msgspec.json.encode(found[1]).decode()
    return None


def _fields(whole: object, language: Language) -> Mapping[str, object] | None:
    found = {name: first_value(whole, paths) for name, paths in language.fields.items()}
    present = {name: one[1] for name, one in found.items() if one is not None}
    return present or None


def _is_part(path: str, names: set[str]) -> bool:
    """Return whether a path leads into one of the named values, or to what one of them is in."""
    return any(path.startswith(name) or name.startswith(path.partition("[")[0]) for name in names)
