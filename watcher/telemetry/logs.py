"""Logging: text on a terminal, JSON lines elsewhere, secrets masked in both."""

import json
import logging
import os
import sys
import traceback
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TextIO

from watcher.core.clock import rfc3339
from watcher.core.errors import StoreMovedError
from watcher.core.masking import SECRETS
from watcher.core.settings import LogSettings
from watcher.core.texts import visible, visible_json

_VERBOSE_LIBRARIES = ("httpx", "httpcore", "asyncio", "aiosqlite", "aiohttp", "uvicorn")
_COLORS = {logging.WARNING: "33", logging.ERROR: "31", logging.CRITICAL: "31;1"}
_MESSAGE_LIMIT = 4096
_TRACEBACK_LIMIT = 16_384
"""Characters that are logged."""


class _MaskingFormatter(logging.Formatter, ABC):
    """Masks secrets in the message and in the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        failed = record.exc_info is not None and record.exc_info[0] is not None
        error = self.formatException(record.exc_info) if failed and record.exc_info else ""
        message = SECRETS.cut(record.getMessage(), _MESSAGE_LIMIT)
        # Masking takes its time, too: of a very long traceback only the end is looked at.
        return self._line(record, message, _end_of(SECRETS.text(error[-4 * _TRACEBACK_LIMIT :])))

    @abstractmethod
    def _line(self, record: logging.LogRecord, message: str, error: str) -> str:
        """Format the record, whose message and traceback are masked and have a bound."""


class _JsonFormatter(_MaskingFormatter):
    def _line(self, record: logging.LogRecord, message: str, error: str) -> str:
        line = {
            "time": rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message,
        }
        if error:
            line["exception"] = error
        return visible_json(json.dumps(line, ensure_ascii=False))


class _TextFormatter(_MaskingFormatter):
    def __init__(self, *, colored: bool) -> None:
        super().__init__()
        self._colored = colored

    def _line(self, record: logging.LogRecord, message: str, error: str) -> str:
        level = f"{record.levelname.lower():<8}"
        if self._colored and record.levelno in _COLORS:
            level = f"\x1b[{_COLORS[record.levelno]}m{level}\x1b[0m"
        line = f"{self.formatTime(record, '%H:%M:%S')} {level} {visible(message)}"
        # Text from outside must not be able to forge a log line, not even within a traceback.
        return "\n".join((line, *(f"    {visible(each)}" for each in error.splitlines())))


class _Handler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Write why a record cannot be written; logging's own way shows its arguments."""
        with suppress(OSError, ValueError):
            self.stream.write(SECRETS.text(traceback.format_exc()))


def _is_not_repeated(record: logging.LogRecord) -> bool:
    """Return whether a record is to be written: `daemon/store_files.py` logs this error once, for
    all that fail of it.
    """
    arguments = record.args if isinstance(record.args, tuple) else ()
    return not any(isinstance(argument, StoreMovedError) for argument in arguments)


def _end_of(trace: str) -> str:
    """Return the end of a long traceback: what raised the error says more than who called it."""
    hidden = len(trace) - _TRACEBACK_LIMIT
    return trace if hidden <= 0 else f"…{trace[hidden + 1 :]}"


def configure(settings: LogSettings, *, stream: TextIO | None = None) -> None:
    """Log to `stream` in the configured format, with the secrets of this process masked.

    The default is the process's own standard error: the one that commands print to would escape
    the colours of the log, which escapes its texts itself.
    """
    stream = stream or sys.__stderr__ or sys.stderr
    terminal = stream.isatty()
    as_text = settings.format == "text" or (settings.format == "auto" and terminal)
    handler = _Handler(stream)
    colored = terminal and "NO_COLOR" not in os.environ
    handler.addFilter(_is_not_repeated)
    handler.setFormatter(_TextFormatter(colored=colored) if as_text else _JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    logging.captureWarnings(True)
    for name in _VERBOSE_LIBRARIES:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
