"""Types of single values in requests and responses."""

from typing import Annotated

from fastapi import Path
from pydantic import AfterValidator, Field, TypeAdapter, WithJsonSchema
from starlette.convertors import Convertor, register_url_convertor

from watcher.core import labels
from watcher.core.clock import rfc3339
from watcher.core.texts import UNSEEN, UNSEEN_IN_ID, check_id, holds_unseen

Time = str
"""RFC 3339 in UTC."""

PRINTABLE = f"^[^{UNSEEN}]*$"
"""Text that a terminal or a log can show: visible characters and spaces."""
_ID = rf"^[^/\\{UNSEEN_IN_ID}]+$"

_ID_SCHEMA = WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 256, "pattern": _ID})

Id = Annotated[str, AfterValidator(check_id), _ID_SCHEMA]
TaskIdInPath = Annotated[Id, Path(description="ID of the task, percent-encoded.")]
IdInPath = Annotated[Id, Path(description="ID, percent-encoded.")]


class _AnyText(Convertor[str]):
    """The rest of a path, slashes and line breaks included."""

    regex = r"[\s\S]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("text", _AnyText())
StoredTaskId = Annotated[str, _ID_SCHEMA, Path(description="ID of the task, percent-encoded.")]
"""Not checked: an ID that is stored already can be shown and removed, whatever it is."""


def _printable(text: str) -> str:
    if holds_unseen(text):
        raise ValueError("contains characters that are not visible")
    return text


def _label_name(text: str) -> str:
    if ":" in text or "=" in text:
        raise ValueError("the name of a label has neither : nor =")
    return _printable(text)


def _text(least: int, most: int, pattern: str = PRINTABLE) -> WithJsonSchema:
    """Return the schema of a text, of which `pattern` names what a schema can say."""
    lengths = {"minLength": least} if least else {}
    return WithJsonSchema({"type": "string", **lengths, "maxLength": most, "pattern": pattern})


Printable = Annotated[
    str, Field(min_length=1, max_length=256), AfterValidator(_printable), _text(1, 256)
]
LabelName = Annotated[
    str,
    Field(min_length=1, max_length=labels.NAME_LENGTH),
    AfterValidator(_label_name),
    _text(1, labels.NAME_LENGTH, PRINTABLE.replace("[^", "[^:=").replace("*", "+")),
]
LabelValue = Annotated[
    str,
    Field(max_length=labels.VALUE_LENGTH),
    AfterValidator(_printable),
    _text(0, labels.VALUE_LENGTH),
]
Labels = Annotated[
    dict[LabelName, LabelValue],
    Field(max_length=labels.MOST),
    WithJsonSchema(
        {
            "type": "object",
            "maxProperties": labels.MOST,
            "propertyNames": TypeAdapter(LabelName).json_schema(),
            "additionalProperties": TypeAdapter(LabelValue).json_schema(),
        }
    ),
]
Moment = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
"""RFC 3339."""


def optional_time(seconds: float | None) -> Time | None:
    """Return Unix seconds as RFC 3339, or None."""
    return None if seconds is None else rfc3339(seconds)
