"""The configuration, from the JSON Schema that `watcher config schema` prints."""

from collections.abc import Iterator

from scripts.reference.markdown import Json, code, default, page, table, type_name
from watcher.configuration.schema import schema

INTRODUCTION = """
[`config/watcher.example.yaml`](../config/watcher.example.yaml) is an example with comments. The
variable `WATCHER_<SECTION>__<KEY>` overrides a key, `WATCHER_<SECTION>` with JSON a whole section.
Every secret `x` can be read from a file: `x_file`. A duration is a number of seconds or text such
as `500ms`, `30s`, `5m`, `7d`. `watcher config schema` prints the JSON Schema of this page.
"""


def configuration() -> str:
    document = schema()
    definitions = document.get("$defs", {})
    parts = [INTRODUCTION]
    for name, shape in document["properties"].items():
        parts.append(f"## `{name}`")
        for variant in _variants(shape, definitions):
            parts += _variant(variant)
    return page("Configuration reference", *parts)


def _variants(shape: Json, definitions: Json) -> Iterator[Json]:
    """Yield each object schema of a section: its own, its items', its alternatives'."""
    if "$ref" in shape:
        shape = definitions[shape["$ref"].rpartition("/")[2]]
    if "properties" in shape:
        yield shape
    for option in [*shape.get("anyOf", ()), *([shape["items"]] if "items" in shape else ())]:
        yield from _variants(option, definitions)


def _variant(shape: Json) -> Iterator[str]:
    properties = shape["properties"]
    if (kind := properties.get("type", {}).get("const")) is not None:
        yield f"### `type: {kind}`"
    if shape.get("description"):
        yield shape["description"]
    required = shape.get("required", ())
    yield table(
        ["key", "type", "default", "description"],
        (
            [
                code(name),
                type_name(value),
                "required" if name in required else default(value),
                value.get("description", ""),
            ]
            for name, value in properties.items()
        ),
    )
