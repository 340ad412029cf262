"""The configuration, from the JSON Schema that `watcher config schema` prints."""

from collections.abc import Iterator

from scripts.reference.markdown import Json, code, default, page, table, type_name
from watcher.configuration.schema import schema

INTRODUCTION = """
[`config/watcher.example.yaml`](../config/watcher.example.yaml) is an example with comments. The
variable `WATCHER_<SECTION>__<KEY>` overrides a key of a section. `WATCHER_SOURCES`,
`WATCHER_CHANNELS`, `WATCHER_ROUTES` and `WATCHER_DISCOVERY` are whole lists as JSON, and a list or
map within a section is JSON, too: a variable for one key within a list or map is an error.

Every secret `x` can be read from a file: `x_file`. Blanks and newlines around the value of a
variable or a file are not part of it. An empty secret is an error, and so is one with characters
that cannot be sent, such as a byte-order mark. Nothing is replaced in the file: `${NAME}` and
other placeholders are errors. A secret that looks like a placeholder belongs in a file.

`WATCHER_API_TOKEN` is `server.api_token`, and `MIXPEEK_API_KEY` and `MIXPEEK_BASE_URL` are
`api_key` and `base_url` of sources that set none. Without `channels`, `WATCHER_WEBHOOK_URL` with
`WATCHER_WEBHOOK_SECRETS` makes a channel `webhook`, and `WATCHER_SLACK_URL` a channel `slack`;
beside `channels` they are errors.

A duration is a number of seconds or text such as `500ms`, `30s`, `5m`, `7d`. `watcher config
schema` prints the JSON Schema of this page.
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
