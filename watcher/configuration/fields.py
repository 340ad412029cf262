"""What the fields of a section hold: secrets, further keys, or a map or list."""

import types
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr

from watcher.core.setting_types import HoldsSecret


def secret_fields(model: type[BaseModel]) -> dict[str, bool]:
    """Return the names of the model's fields that hold a secret, and whether they hold several."""
    fields = {}
    for name, field in model.model_fields.items():
        is_map = get_origin(field.annotation) is dict
        if is_masked_in_part(model, name) or ("SecretStr" in str(field.annotation) and not is_map):
            fields[name] = "tuple" in str(field.annotation)
    return fields


def is_masked_in_part(model: type[BaseModel], name: str) -> bool:
    """Return whether a field is shown with only the secret in it masked."""
    return any(isinstance(one, HoldsSecret) for one in model.model_fields[name].metadata)


def secret_maps(model: type[BaseModel]) -> list[str]:
    """Return the names of the model's fields that map names to secrets."""
    return [
        name
        for name, field in model.model_fields.items()
        if get_origin(field.annotation) is dict and SecretStr in get_args(field.annotation)
    ]


def section_at(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    """Return the model of the mapping at `key`; None if it has no keys of its own."""
    for kind in _kinds(model, key):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def is_collection(model: type[BaseModel], key: str) -> bool:
    """Return whether the value at `key` is a list, or a map with keys that users choose."""
    return any(get_origin(kind) in (dict, tuple) for kind in _kinds(model, key))


def keys_at(model: type[BaseModel], place: Sequence[int | str]) -> Iterable[str]:
    """Return the keys of the mapping at `place` within `model`."""
    for key in place:
        inner = section_at(model, str(key))
        if inner is None:
            return ()
        model = inner
    return (*model.model_fields, *(f"{name}_file" for name in secret_fields(model)))


def _kinds(model: type[BaseModel], key: str) -> list[Any]:
    field = model.model_fields.get(key)
    return [] if field is None else _members(field.annotation)


def _members(annotation: Any) -> list[Any]:
    """Return the types of a union, or the type itself."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [kind for member in get_args(annotation) for kind in _members(member)]
    return [annotation]
