"""Logging: text on a terminal, JSON lines elsewhere, secrets masked in both."""

import json
import logging
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TextIO
from urllib.parse import quote

from watcher.core.clock import rfc3339
from watcher.core.settings import LogSettings

_MASK = "********"
_VERBOSE_LIBRARIES = ("httpx", "httpcore", "asyncio", "aiosqlite", "aiohttp", "uvicorn")
_COLORS = {logging.WARNING: "33", logging.ERROR: "31", logging.CRITICAL: "31;1"}
_SHORTEST_SECRET = 6
"""Characters; shorter values occur by chance, and masking them would hide ordinary text."""


class _MaskingFormatter(logging.Formatter, ABC):
    """Masks every known secret in the formatted record, including its exception."""

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__()
        spellings = {text for secret in secrets for text in (secret, quote(secret, safe=""))}
        # Longest first, because one secret may contain another.
        self._secrets = sorted(
            (text for text in spellings if len(text) >= _SHORTEST_SECRET), key=len, reverse=True
        )

    def format(self, record: logging.LogRecord) -> str:
        text = self._unmasked(record)
        for secret in self._secrets:
            text = text.replace(secret, _MASK)
        return text

    @abstractmethod
    def _unmasked(self, record: logging.LogRecord) -> str:
        """Format the record with its secrets."""

    def _exception_text(self, record: logging.LogRecord) -> str:
        return (
            self.formatException(record.exc_info) if record.exc_info and record.exc_info[0] else ""
        )


class _JsonFormatter(_MaskingFormatter):
    def _unmasked(self, record: logging.LogRecord) -> str:
        line = {
            "time": rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if error := self._exception_text(record):
            line["exception"] = error
        return json.dumps(line, ensure_ascii=False)


class _TextFormatter(_MaskingFormatter):
    def __init__(self, secrets: Iterable[str], *, colored: bool) -> None:
        super().__init__(secrets)
        self._colored = colored

    def _unmasked(self, record: logging.LogRecord) -> str:
        level = f"{record.levelname.lower():<8}"
        if self._colored and record.levelno in _COLORS:
            level = f"\x1b[{_COLORS[record.levelno]}m{level}\x1b[0m"
        # Text from upstream must not be able to forge a log line.
        message = "".join(char if char.isprintable() else " " for char in record.getMessage())
        line = f"{self.formatTime(record, '%H:%M:%S')} {level} {message}"
        return f"{line}\n{error}" if (error := self._exception_text(record)) else line


def configure(
    settings: LogSettings, *, secrets: Iterable[str], stream: TextIO = sys.stderr
) -> None:
    """Log to `stream` in the configured format, with `secrets` masked."""
    terminal = stream.isatty()
    as_text = settings.format == "text" or (settings.format == "auto" and terminal)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        _TextFormatter(secrets, colored=terminal and "NO_COLOR" not in os.environ)
        if as_text
        else _JsonFormatter(secrets)
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    logging.captureWarnings(True)
    for name in _VERBOSE_LIBRARIES:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
