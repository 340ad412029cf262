"""The JSON Schema of the configuration file."""

import ast
import inspect
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import ModelSchema

from watcher.configuration import plugins
from watcher.configuration.fields import secret_fields, secret_maps
from watcher.configuration.sections import SECTIONS
from watcher.core.setting_types import Model
from watcher.core.settings import ChannelSettings, DiscoverySettings, RouteSettings

_FILE = {
    "type": "object",
    "properties": {"file": {"type": "string", "minLength": 1}},
    "required": ["file"],
    "additionalProperties": False,
}
"""A secret in a map, given by the file that contains it."""


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the file."""
    lists = {
        folder: {
            "anyOf": [
                _section(plugins.load(folder, name).Settings) for name in plugins.names(folder)
            ]
        }
        for folder in ("sources", "channels")
    }
    lists["routes"] = _section(RouteSettings)
    lists["discovery"] = _section(DiscoverySettings)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The watcher's configuration",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            **{name: {"type": ["array", "null"], "items": items} for name, items in lists.items()},
            **{
                name: {**_section(model), "type": ["object", "null"]}
                for name, model in SECTIONS.items()
            },
        },
    }


class Described(GenerateJsonSchema):
    """Describes each field by the text below it, which is read from the source only here: nothing
    else needs it.
    """

    def model_schema(self, schema: ModelSchema) -> JsonSchemaValue:
        shape = super().model_schema(schema)
        model = schema["cls"]
        texts = dict(_texts(model))
        for name, field in model.model_fields.items():
            if text := texts.get(name):
                shape["properties"][field.alias or name]["description"] = text
        return shape


def _texts(model: type) -> Iterator[tuple[str, str]]:
    """Yield the fields of a model with their texts, those of its bases first."""
    for cls in reversed(model.__mro__):
        if issubclass(cls, Model):
            yield from _own_texts(cls)


def _own_texts(model: type) -> Iterator[tuple[str, str]]:
    """Yield the fields that a class defines with their texts, "" for none."""
    try:
        (definition,) = ast.parse(inspect.getsource(model)).body
    except OSError:  # it is installed without its source
        return
    for field, following in pairwise([*ast.iter_child_nodes(definition), ast.Pass()]):
        if isinstance(field, ast.AnnAssign):
            text = ""
            if isinstance(following, ast.Expr):
                text = inspect.cleandoc(ast.literal_eval(following.value))
            yield ast.unparse(field.target), text


def _section(model: type[BaseModel]) -> dict[str, Any]:
    shape = _inlined(model.model_json_schema(schema_generator=Described))
    secrets = secret_fields(model)
    for name in secrets:
        shape["properties"][f"{name}_file"] = {
            "type": "string",
            "minLength": 1,
            "description": f"Path of a file that contains `{name}`.",
        }
    for name in secret_maps(model):
        values = shape["properties"][name]
        values["additionalProperties"] = {
            "anyOf": [{**values["additionalProperties"], "minLength": 1}, _FILE]
        }
    # A secret may come from a file or a variable, and the store's URL has a default of the machine.
    all_required = shape.pop("required", [])
    required = [name for name in all_required if name not in secrets and name != "url"]
    rules: list[dict[str, Any]] = [
        {"not": {"type": "object", "required": [name, f"{name}_file"]}} for name in secrets
    ]
    if "preset" in shape["properties"]:  # which may take the place of the type
        rules.append({"anyOf": [{"required": ["type"]}, {"required": ["preset"]}]})
    elif model.__name__ == "Settings" and "name" in required:
        required.append("type")
    if issubclass(model, ChannelSettings):  # channels have no variables for single keys
        rules += [
            {"anyOf": [{"required": [name]}, {"required": [f"{name}_file"]}]}
            for name in secrets
            if name in all_required
        ]
    if "socket" in shape["properties"]:
        rules += [_not_both("socket", name) for name in ("host", "port", "tls")]
    if "client_key_file" in shape["properties"]:
        shape["dependentRequired"] = {"client_key_file": ["client_certificate_file"]}
    return {
        **shape,
        **({"allOf": rules} if rules else {}),
        **({"required": required} if required else {}),
    }


def _not_both(one: str, other: str) -> dict[str, Any]:
    values = {name: {"not": {"type": "null"}} for name in (one, other)}
    return {"not": {"type": "object", "required": [one, other], "properties": values}}


def _inlined(shape: dict[str, Any]) -> dict[str, Any]:
    """Return a model's schema with the models that it refers to in their places."""
    definitions = shape.pop("$defs", {})

    def replaced(value: Any) -> Any:
        if isinstance(value, list):
            return [replaced(one) for one in value]
        if not isinstance(value, dict):
            return value
        if "$ref" in value:
            return replaced(definitions[value["$ref"].rpartition("/")[2]])
        return {key: replaced(one) for key, one in value.items()}

    inlined: dict[str, Any] = replaced(shape)
    return inlined
