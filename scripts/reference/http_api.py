"""The HTTP API, from its OpenAPI document."""

from collections.abc import Iterator
from typing import Any

from scripts.reference.markdown import Json, code, page, references, table, type_name
from watcher.api.app import create_api
from watcher.core.listener_settings import ServerSettings
from watcher.core.settings import Settings, StoreSettings

INTRODUCTION = """
The daemon serves the OpenAPI document at `/openapi.json`. Errors are problem details (RFC 9457).
With `server.api_token` set, send `Authorization: Bearer <token>`. Times are RFC 3339 in UTC.
"""


class _WithoutSources:
    """A daemon for the document alone."""

    settings = Settings.model_construct(
        sources=(), store=StoreSettings(url="sqlite:///watcher.db"), server=ServerSettings()
    )


def http_api() -> str:
    daemon: Any = _WithoutSources()
    document = create_api(daemon).openapi()
    parts = [INTRODUCTION]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts += [f"## `{method.upper()} {path}`", *_operation(operation)]
    schemas = document["components"]["schemas"]
    parts.append("## Objects")
    for name in _reachable(document["paths"], schemas):
        if "properties" in schemas[name]:
            parts += [f"### {name}", *_object(schemas[name])]
        elif "enum" in schemas[name]:
            parts += [f"### {name}", f"One of {type_name(schemas[name])}."]
    return page("HTTP API reference", *parts)


def _operation(operation: Json) -> Iterator[str]:
    if text := operation.get("description") or operation.get("summary"):
        yield text
    if parameters := operation.get("parameters"):
        yield table(["parameter", "in", "type", "description"], map(_parameter, parameters))
    if "requestBody" in operation:
        yield f"Body: {_content(operation['requestBody'])}"
    yield table(
        ["status", "body", "description"],
        (
            [status, _content(response), response.get("description", "")]
            for status, response in operation["responses"].items()
        ),
    )


def _parameter(parameter: Json) -> list[str]:
    name, place, shape = parameter["name"], parameter["in"], parameter["schema"]
    return [code(name), place, type_name(shape), parameter.get("description", "")]


def _content(holder: Json) -> str:
    names = []
    for kind, content in holder.get("content", {}).items():
        name = type_name(content["schema"]) if content.get("schema") else ""
        names.append(
            name if kind == "application/json" and name else f"{code(kind)} {name}".strip()
        )
    return ", ".join(names)


def _object(shape: Json) -> Iterator[str]:
    if shape.get("description"):
        yield shape["description"]
    yield table(
        ["field", "type", "description"],
        (
            [code(name), type_name(value), value.get("description", "")]
            for name, value in shape["properties"].items()
        ),
    )


def _reachable(paths: Json, schemas: Json) -> list[str]:
    """Return the names of all objects that the paths refer to, directly or through another."""
    names = set(references(paths))
    waiting = list(names)
    while waiting:
        within = set(references(schemas[waiting.pop()])) - names
        names |= within
        waiting += within
    return sorted(names)
