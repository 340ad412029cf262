"""Reads the uploads to confirm from a JSON or CSV file; its first character decides."""

import csv
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from watcher.core.errors import ConfigurationError

_FIELDS = ("upload_id", "etag", "file_size_bytes")


def read(file: Path) -> list[dict[str, Any]]:
    """Return the confirmations in `file` (`-`: standard input), each upload once.

    Raises `ConfigurationError` that says what is wrong, and in which entry or line.
    """
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text("utf-8-sig")
    except OSError as error:
        raise ConfigurationError(
            [f"{file}: {(error.strerror or 'cannot be read').lower()}"]
        ) from None
    except UnicodeDecodeError:
        raise ConfigurationError([f"{file}: is not UTF-8 text"]) from None
    rows = _from_json(file, text) if text.lstrip()[:1] in ("[", "{") else _from_csv(file, text)
    found: dict[str, dict[str, Any]] = {}
    for place, row in rows:
        one = _confirmation(f"{file}: {place}", row)
        found[one["upload_id"]] = one
    if not found:
        raise ConfigurationError([f"{file}: holds no upload"])
    return list(found.values())


def _from_json(file: Path, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise ConfigurationError([f"{file}: is not JSON: {error}"]) from None
    if isinstance(content, dict):
        content = content.get("confirmations")
    if not isinstance(content, list) or not all(isinstance(one, dict) for one in content):
        raise ConfigurationError(
            [f"{file}: is not a list of objects with upload_id, etag and file_size_bytes"]
        )
    for number, row in enumerate(content):
        yield f"entry {number}", row


def _from_csv(file: Path, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    rows = csv.DictReader(text.splitlines(), strict=True)
    if "upload_id" not in (rows.fieldnames or ()):
        raise ConfigurationError([f"{file}: its first line is not upload_id,etag,file_size_bytes"])
    try:
        for row in rows:
            yield (
                f"line {rows.line_num}",
                {name: value for name, value in row.items() if value not in (None, "")},
            )
    except csv.Error as error:
        raise ConfigurationError([f"{file}: after line {rows.line_num}: {error}"]) from None


def _confirmation(place: str, row: Mapping[str, Any]) -> dict[str, Any]:
    if unknown := [str(name) for name in row if name not in _FIELDS]:
        raise ConfigurationError(
            [f"{place}: unknown field {unknown[0]!r}; expected {', '.join(_FIELDS)}"]
        )
    one = {name: row[name] for name in _FIELDS if row.get(name) is not None}
    if not isinstance(one.get("upload_id"), str) or not one["upload_id"]:
        raise ConfigurationError([f"{place}: has no upload_id"])
    if "file_size_bytes" in one:
        size = str(one["file_size_bytes"])
        if not (size.isascii() and size.isdigit() and int(size) >= 1):
            raise ConfigurationError(
                [f"{place}: file_size_bytes {size!r} is not a number of bytes"]
            )
        one["file_size_bytes"] = int(size)
    if not isinstance(one.get("etag", ""), str):
        raise ConfigurationError([f"{place}: etag is not text"])
    return one
