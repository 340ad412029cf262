"""The configuration, from the JSON Schema that `watcher config schema` prints."""

from collections.abc import Iterator

from scripts.reference.markdown import Json, code, default, page, table, type_name
from watcher.configuration.schema import schema
from watcher.configuration.sections import LISTS

INTRODUCTION = """
[`config/watcher.example.yaml`](../config/watcher.example.yaml) is an example with every key.
[Environment variables](#environment-variables) override the file.

Every secret `x` can be read from a file: `x_file`. Blanks and newlines around the value of a
variable or a file are not part of it. An empty secret is an error, and so is one with characters
that cannot be sent, such as a byte-order mark. Nothing is replaced in the file: `${NAME}` and
other placeholders are errors. A secret that looks like a placeholder belongs in a file.

A duration is a number of seconds or text such as `500ms`, `30s`, `5m`, `7d`. `watcher config
schema` prints the JSON Schema of this page.
"""

VARIABLES = (
    ("MIXPEEK_API_KEY", "daemon", "`api_key` of sources of type `mixpeek` that set none"),
    ("MIXPEEK_BASE_URL", "daemon", "`base_url` of sources of type `mixpeek` that set none"),
    (
        "WATCHER_WEBHOOK_URL",
        "daemon",
        "`url` of a channel `webhook`; an error beside `channels` in the file",
    ),
    (
        "WATCHER_WEBHOOK_SECRETS",
        "daemon, `sign`, `verify`",
        "its `secrets`, separated by white space or commas",
    ),
    (
        "WATCHER_SLACK_URL",
        "daemon",
        "`url` of a channel `slack`; an error beside `channels` in the file",
    ),
    ("WATCHER_API_TOKEN", "daemon, commands", "`server.api_token`, and what commands send"),
    (
        "WATCHER_CONFIG",
        "daemon, commands",
        "path of the file; `-c` overrides it; default `/etc/watcher/watcher.yaml`, if present",
    ),
    ("WATCHER_URL", "commands", "URL of the daemon's API; `--url` overrides it"),
    ("WATCHER_CA_FILE", "commands", "PEM file with the authorities of an `https://` URL"),
    (
        "WATCHER_CLIENT_CERTIFICATE_FILE",
        "commands",
        "PEM file with a client certificate, optionally with its key",
    ),
    ("WATCHER_CLIENT_KEY_FILE", "commands", "PEM file with the key of that certificate"),
    (
        "WATCHER_<SECTION>__<KEY>",
        "daemon, commands",
        "a key of a section, such as `WATCHER_SERVER__PORT`; a list or map as JSON; an error for "
        "one key within a list or map",
    ),
    *(
        (f"WATCHER_{name.upper()}", "daemon, commands", f"the whole list `{name}` as JSON")
        for name in LISTS
    ),
    ("XDG_STATE_HOME", "daemon", "folder of the store where `/var/lib/watcher` does not exist"),
    ("NO_COLOR", "daemon", "no colours in the log on a terminal, if it is set"),
)
"""Variable, who reads it, and what it sets. Other names are ignored."""


def _variables() -> Iterator[str]:
    yield "## Environment variables"
    yield "Other names that begin with `WATCHER_` are ignored: Kubernetes injects some."
    yield table(
        ["variable", "read by", "sets"],
        ([code(name), readers, effect] for name, readers, effect in VARIABLES),
    )


def configuration() -> str:
    document = schema()
    definitions = document.get("$defs", {})
    parts = [INTRODUCTION, *_variables()]
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
