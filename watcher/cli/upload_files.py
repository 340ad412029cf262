"""Reads the uploads to confirm from a JSON or CSV file; the first character decides which it is."""

import csv
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from watcher.core.errors import ConfigurationError

_FIELDS = ("upload_id", "etag", "file_size_bytes")


def read(file: Path) -> list[dict[str, Any]]:
    """Return the confirmations in `file` (`-`: standard input); of repeated uploads the last one.

    Raises `ConfigurationError` with the entry or line that is invalid.
    """
    text = _text(file)
    rows = _json_rows(file, text) if text.lstrip()[:1] in ("[", "{") else _csv_rows(file, text)
    confirmations = [_confirmation(f"{file}: {place}", row) for place, row in rows]
    if not confirmations:
        raise ConfigurationError([f"{file}: contains no upload"])
    return list({entry["upload_id"]: entry for entry in confirmations}.values())


def _text(file: Path) -> str:
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text("utf-8-sig")
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise ConfigurationError([f"{file}: {reason}"]) from None
    except UnicodeDecodeError:
        raise ConfigurationError([f"{file}: not valid UTF-8"]) from None


def _json_rows(file: Path, text: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise ConfigurationError([f"{file}: invalid JSON: {error}"]) from None
    rows = content.get("confirmations") if isinstance(content, dict) else content
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ConfigurationError([f"{file}: expected a list of objects with {', '.join(_FIELDS)}"])
    return [(f"entry {number}", row) for number, row in enumerate(rows)]


def _csv_rows(file: Path, text: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
    rows = csv.DictReader(text.splitlines(), strict=True)
    if "upload_id" not in (rows.fieldnames or ()):
        raise ConfigurationError([f"{file}: invalid first line; expected {','.join(_FIELDS)}"])
    try:
        for row in rows:
            cells = {name: cell for name, cell in row.items() if cell not in (None, "")}
            yield f"line {rows.line_num}", cells
    except csv.Error as error:
        raise ConfigurationError([f"{file}: after line {rows.line_num}: {error}"]) from None


def _confirmation(place: str, row: Mapping[str, Any]) -> dict[str, Any]:
    if unknown := [str(name) for name in row if name not in _FIELDS]:
        raise ConfigurationError(
            [f"{place}: unknown field {unknown[0]!r}; expected one of: {', '.join(_FIELDS)}"]
        )
    entry = {name: row[name] for name in _FIELDS if row.get(name) is not None}
    if not isinstance(entry.get("upload_id"), str) or not entry["upload_id"]:
        raise ConfigurationError([f"{place}: missing upload_id"])
    if "file_size_bytes" in entry:
        size = str(entry["file_size_bytes"])
        if not (size.isascii() and size.isdigit() and int(size) >= 1):
            raise ConfigurationError(
                [f"{place}: invalid file_size_bytes {size!r}; expected an integer of at least 1"]
            )
        entry["file_size_bytes"] = int(size)
    if not isinstance(entry.get("etag", ""), str):
        raise ConfigurationError([f"{place}: invalid etag; expected a string"])
    return entry
