"""The JSON Schema of the configuration file."""

from typing import Any

from pydantic import BaseModel

from watcher.configuration import plugins
from watcher.configuration.secrets import secret_fields
from watcher.configuration.sections import SECTIONS
from watcher.core.settings import DiscoverySettings, RouteSettings


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
            **{name: {"type": "array", "items": items} for name, items in lists.items()},
            **{name: _section(model) for name, model in SECTIONS.items()},
        },
    }


def _section(model: type[BaseModel]) -> dict[str, Any]:
    shape = model.model_json_schema()
    secrets = secret_fields(model)
    for name in secrets:
        shape["properties"][f"{name}_file"] = {
            "type": "string",
            "description": f"Path of a file that contains `{name}`.",
        }
    # A secret may come from a file or a variable, and the store's URL has a default of the machine.
    required = [name for name in shape.pop("required", []) if name not in secrets and name != "url"]
    if model.__name__ == "Settings" and "name" in required:
        required.append("type")
    return {**shape, "required": required} if required else shape
