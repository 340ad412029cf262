"""The OpenAPI document. Responses are described by the same classes that are serialised."""

import copy
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from watcher.api.problems import FieldError, ProblemDetails, UpstreamError
from watcher.core.event_schema import Schema, event_schemas

Item = Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"type": "object"})]
"""An item of upstream's, byte for byte."""
ItemOrNull = Annotated[
    msgspec.Raw,
    msgspec.Meta(extra_json_schema={"anyOf": [{"type": "object"}, {"type": "null"}]}),
]

REFERENCE = "#/components/schemas/{name}"

_HEADERS = [
    {"name": name, "in": "header", "required": True, "schema": {"type": "string"}}
    | {"description": text}
    for name, text in (
        ("webhook-id", "The event, the same on every attempt and replay: process each once."),
        ("webhook-timestamp", "When this attempt was made, in Unix seconds."),
        ("webhook-signature", "One signature or more, as Standard Webhooks defines them."),
    )
]
_ANSWERS = {
    "2XX": {"description": "Received: it is not sent again."},
    "410": {"description": "The channel stops."},
    "413": {"description": "Sent again in a smaller form, marked `truncated`."},
    "default": {"description": "Retried, for three days."},
}
"""What a receiver of webhooks answers, and what follows."""

_shown: set[type[msgspec.Struct]] = set()


def shows(
    model: type[msgspec.Struct], status: int = 200, description: str = "Successful Response"
) -> dict[int | str, dict[str, Any]]:
    """Return the entry of a response whose JSON body is a `model`."""
    _shown.add(model)
    schema = {"$ref": REFERENCE.format(name=model.__name__)}
    content = {"application/json": {"schema": schema}}
    return {status: {"description": description, "content": content}}


def document_of(
    api: FastAPI, sources: Sequence[str], entry: TypeAdapter[Any], max_entries: int
) -> dict[str, Any]:
    """Return the document of `api`: a watch request may name a configured source only.

    `entry` is one watch request; `POST /v1/watches` takes one, or a list of up to `max_entries`.
    """
    document = get_openapi(title=api.title, version=api.version, routes=api.routes)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for model in (ProblemDetails, FieldError, UpstreamError):
        schemas[model.__name__] = model.model_json_schema(
            ref_template=REFERENCE.replace("{name}", "{model}")
        )
        schemas[model.__name__].pop("$defs", None)
    models = sorted(_shown, key=lambda model: model.__name__)
    _, components = msgspec.json.schema_components(models, ref_template=REFERENCE)
    schemas |= components
    one = copy.deepcopy(entry.json_schema())
    one["properties"]["source"]["anyOf"] = [{"type": "string", "enum": sources}, {"type": "null"}]
    several = {"type": "array", "items": one, "minItems": 1, "maxItems": max_entries}
    content = {"application/json": {"schema": {"anyOf": [one, several]}}}
    body = {"required": True, "content": content}
    document["paths"]["/v1/watches"]["post"]["requestBody"] = body
    names, events = event_schemas(REFERENCE)
    schemas |= events
    document["webhooks"] = {
        kind: _webhook(kind, events[name], name) for kind, name in names.items()
    }
    return document


def _webhook(kind: str, schema: Schema, name: str) -> dict[str, Any]:
    """Return the operation by which the watcher sends events of a type."""
    content = {"application/json": {"schema": {"$ref": REFERENCE.format(name=name)}}}
    operation = {
        "summary": kind,
        "description": schema["description"],
        "operationId": f"receive{name}",
        "tags": ["webhooks"],
        "security": [],
        "parameters": _HEADERS,
        "requestBody": {"required": True, "content": content},
        "responses": _ANSWERS,
    }
    return {"post": operation}
