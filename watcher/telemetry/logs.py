"""The log: text for a person at a terminal, JSON lines for whatever collects it, and no secret in either."""

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
_CHATTY = ("httpx", "httpcore", "asyncio", "aiosqlite", "aiohttp", "uvicorn")
_COLOURS = {logging.WARNING: "33", logging.ERROR: "31", logging.CRITICAL: "31;1"}
_SHORTEST_SECRET = 6
"""Characters; masking anything shorter would mask half of the log and hide nothing."""


class _Masking(logging.Formatter, ABC):
    """Formats, and masks every known secret in whatever came out, an exception's text included."""

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__()
        written = {form for secret in secrets for form in (secret, quote(secret, safe=""))}
        # The longest first, for one may hold another.
        self._secrets = sorted(
            (one for one in written if len(one) >= _SHORTEST_SECRET), key=len, reverse=True
        )

    def format(self, record: logging.LogRecord) -> str:
        text = self._written(record)
        for secret in self._secrets:
            text = text.replace(secret, _MASK)
        return text

    @abstractmethod
    def _written(self, record: logging.LogRecord) -> str:
        """Return the line, secrets and all."""

    def _error(self, record: logging.LogRecord) -> str:
        return (
            self.formatException(record.exc_info) if record.exc_info and record.exc_info[0] else ""
        )


class _JsonLines(_Masking):
    def _written(self, record: logging.LogRecord) -> str:
        line = {
            "time": rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if error := self._error(record):
            line["exception"] = error
        return json.dumps(line, ensure_ascii=False)


class _Text(_Masking):
    def __init__(self, secrets: Iterable[str], *, coloured: bool) -> None:
        super().__init__(secrets)
        self._coloured = coloured

    def _written(self, record: logging.LogRecord) -> str:
        level = f"{record.levelname.lower():<8}"
        if self._coloured and record.levelno in _COLOURS:
            level = f"\x1b[{_COLOURS[record.levelno]}m{level}\x1b[0m"
        # Text from upstream must not forge a line of its own.
        message = "".join(char if char.isprintable() else " " for char in record.getMessage())
        line = f"{self.formatTime(record, '%H:%M:%S')} {level} {message}"
        return f"{line}\n{error}" if (error := self._error(record)) else line


def configure(
    settings: LogSettings, *, secrets: Iterable[str], stream: TextIO = sys.stderr
) -> None:
    """Send the log to `stream` as the settings say, with every one of `secrets` masked."""
    terminal = stream.isatty()
    as_text = settings.format == "text" or (settings.format == "auto" and terminal)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        _Text(secrets, coloured=terminal and "NO_COLOR" not in os.environ)
        if as_text
        else _JsonLines(secrets)
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    logging.captureWarnings(True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
