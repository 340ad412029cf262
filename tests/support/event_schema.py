"""The JSON Schema in the package, which whatever is sent in a test has to match."""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match


@cache
def schema_in_package() -> Mapping[str, Any]:
    schema: dict[str, Any] = json.loads((files("watcher") / "schemas/events.json").read_text())
    return schema


@cache
def _validator_of(kind: object) -> Draft202012Validator:
    """Return the validator of one type, many times as fast as that of all."""
    schema = schema_in_package()
    titles = {one.get("title"): name for name, one in schema["$defs"].items()}
    name = titles.get(kind, titles["task.*"])
    validator: Draft202012Validator = Draft202012Validator(
        {"$ref": f"#/$defs/{name}", "$defs": schema["$defs"]}
    )
    return validator


def fault_of(body: bytes) -> str | None:
    """Return what the schema does not allow of an event's body, None if it is valid."""
    return _fault_of(bytes(body))


@cache
def _fault_of(body: bytes) -> str | None:
    event = json.loads(body)
    kind = event.get("type")
    if (error := best_match(_validator_of(kind).iter_errors(event))) is None:
        return None
    return f"{kind}: {error.json_path}: {error.message}"
