"""The JSON Schema of the configuration file."""

from typing import Any

from pydantic import BaseModel

from watcher.configuration import plugins
from watcher.configuration.fields import secret_fields, secret_maps
from watcher.configuration.sections import SECTIONS
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


def _section(model: type[BaseModel]) -> dict[str, Any]:
    shape = _inlined(model.model_json_schema())
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
