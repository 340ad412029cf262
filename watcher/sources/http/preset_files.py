"""Presets: settings of well-known APIs, as YAML files of this package.

What a user sets comes on top: mappings key by key, everything else as a whole.
"""

import difflib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from watcher.core.setting_types import text_of_scalar
from watcher.core.statuses import word_key

_FOLDER = Path(__file__).parent / "presets"
_MERGED = ("item", "statuses", "polling", "vars", "headers")


def names() -> Sequence[str]:
    """Return the names of all presets."""
    return sorted(file.stem for file in _FOLDER.glob("*.yaml"))


@cache
def _read(name: str) -> Mapping[str, Any]:
    content: Mapping[str, Any] = yaml.safe_load((_FOLDER / f"{name}.yaml").read_text("utf-8"))
    return content


def with_preset(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the settings with those of their preset below them.

    Raises `ValueError` for an unknown preset.
    """
    name = values.get("preset")
    if not isinstance(name, str):
        return values
    if name not in names():
        near = difflib.get_close_matches(name[:64], names(), n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"known ones are {', '.join(names())}"
        raise ValueError(f"preset is unknown; {hint}")
    merged = dict(_read(name))
    if "requests_per_minute" in values:
        merged.pop("requests", None)
    for key, value in values.items():
        preset = merged.get(key)
        if key in _MERGED and isinstance(value, Mapping) and isinstance(preset, Mapping):
            merged[key] = {**_without(preset, value, key), **value}
        else:
            merged[key] = value
    return merged


def _without(preset: Mapping[str, Any], own: Mapping[Any, Any], key: str) -> Mapping[str, Any]:
    """Return the preset's words but those that the user spells in another way."""
    if key != "statuses":
        return preset
    spelt = {word_key(str(text_of_scalar(word))) for word in own}
    return {word: status for word, status in preset.items() if word_key(word) not in spelt}
