"""Types of single values in requests and responses."""

import re
from typing import Annotated

from fastapi import Path
from pydantic import AfterValidator, Field, TypeAdapter, WithJsonSchema

from watcher.core.clock import rfc3339

Time = str
"""RFC 3339 in UTC."""

_MAX_LABELS = 20

PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*$"
"""Text that a terminal or a log can show: no control characters, none that change the direction."""
_TASK_ID = PRINTABLE.replace("[^", "[^/").replace("*", "+")


def check_task_id(text: str) -> str:
    """Return `text` if it is a valid task ID. Raises `ValueError` otherwise."""
    if not 1 <= len(text) <= 256:
        raise ValueError("a task ID has 1 to 256 characters")
    if "/" in text or text in (".", ".."):
        raise ValueError("a task ID contains no slash, and is not . or ..")
    if not re.search(PRINTABLE, text):
        raise ValueError("contains characters that cannot be printed")
    return text


TaskId = Annotated[
    str,
    AfterValidator(check_task_id),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 256, "pattern": _TASK_ID}),
]
TaskIdInPath = Annotated[TaskId, Path(description="ID of the task, percent-encoded.")]
Printable = Annotated[str, Field(min_length=1, max_length=256, pattern=PRINTABLE)]
LabelName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=64,
        pattern=PRINTABLE.replace("[^", "[^:=").replace("*", "+"),
    ),
]
LabelValue = Annotated[str, Field(max_length=256, pattern=PRINTABLE)]
Labels = Annotated[
    dict[LabelName, LabelValue],
    Field(max_length=_MAX_LABELS),
    WithJsonSchema(
        {
            "type": "object",
            "maxProperties": _MAX_LABELS,
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
