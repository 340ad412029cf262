"""Logging: text on a terminal, JSON lines elsewhere, secrets masked in both."""

import json
import logging
import os
import sys
import traceback
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TextIO

from watcher.core.clock import rfc3339
from watcher.core.errors import NotOwnerError, StoreMovedError
from watcher.core.log_fields import ABOUT, Fields, about, fields_in_scope
from watcher.core.masking import SECRETS
from watcher.core.settings import LogSettings
from watcher.core.texts import visible, visible_json
from watcher.telemetry.log_writer import LogWriter

_VERBOSE_LIBRARIES = ("httpx", "httpcore", "asyncio", "aiosqlite", "aiohttp", "uvicorn")
_COLORS = {logging.WARNING: "33", logging.ERROR: "31", logging.CRITICAL: "31;1"}
_MESSAGE_LIMIT = 4096
_FIELD_LIMIT = 256
_TRACEBACK_LIMIT = 16_384
"""Characters that are logged."""


class _MaskingFormatter(logging.Formatter, ABC):
    """Masks secrets in the message and in the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        failed = record.exc_info is not None and record.exc_info[0] is not None
        error = self.formatException(record.exc_info) if failed and record.exc_info else ""
        message = SECRETS.cut(record.getMessage(), _MESSAGE_LIMIT)
        # Masking takes its time, too: of a very long traceback only the end is looked at.
        error = _end_of(SECRETS.text(error[-4 * _TRACEBACK_LIMIT :]))
        return self._line(record, message, _fields_of(record), error)

    @abstractmethod
    def _line(self, record: logging.LogRecord, message: str, fields: Fields, error: str) -> str:
        """Format the record, whose message, fields and traceback are masked and have a bound."""


class _JsonFormatter(_MaskingFormatter):
    def _line(self, record: logging.LogRecord, message: str, fields: Fields, error: str) -> str:
        line = {
            "time": rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message,
            **fields,
        }
        if error:
            line["exception"] = error
        return visible_json(json.dumps(line, ensure_ascii=False))


class _TextFormatter(_MaskingFormatter):
    def __init__(self, *, colored: bool) -> None:
        super().__init__()
        self._colored = colored

    def _line(self, record: logging.LogRecord, message: str, fields: Fields, error: str) -> str:
        level = f"{record.levelname.lower():<8}"
        if self._colored and record.levelno in _COLORS:
            level = f"\x1b[{_COLORS[record.levelno]}m{level}\x1b[0m"
        shown = "".join(f"  {name}={_quoted(value)}" for name, value in fields.items())
        line = f"{self.formatTime(record, '%H:%M:%S')} {level} {visible(message)}{shown}"
        # Text from outside must not be able to forge a log line, not even within a traceback.
        return "\n".join((line, *(f"    {visible(each)}" for each in error.splitlines())))


class _Handler(logging.Handler):
    """Formats records, and hands their lines to a writer that never makes the caller wait."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.writer = LogWriter(stream, self._notice)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.writer.put(f"{self.format(record)}\n")
        except Exception:  # noqa: BLE001  # as every handler of logging does
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Write why a record cannot be formatted; logging's own way shows its arguments."""
        self.writer.put(SECRETS.text(traceback.format_exc()))

    def _notice(self, dropped: int) -> str:
        record = logging.makeLogRecord(
            {
                "name": __name__,
                "levelno": logging.WARNING,
                "levelname": "WARNING",
                "msg": "%d log lines before this one were dropped, because nothing read the log",
                "args": (dropped,),
                **about(dropped=dropped),
            }
        )
        return f"{self.format(record)}\n"


def _is_not_repeated(record: logging.LogRecord) -> bool:
    """Return whether a record is to be written: `daemon/store_files.py` and the store log these
    errors once, for all that fail of them.
    """
    arguments = record.args if isinstance(record.args, tuple) else ()
    return not any(isinstance(argument, (StoreMovedError, NotOwnerError)) for argument in arguments)


def _fields_of(record: logging.LogRecord) -> Fields:
    """Return what a record is about, masked like its message."""
    fields = {**fields_in_scope(), **getattr(record, ABOUT, {})}
    return {
        name: SECRETS.cut(value, _FIELD_LIMIT) if isinstance(value, str) else value
        for name, value in fields.items()
    }


def _quoted(value: str | int) -> str:
    """Return a value for a text line, in quotes where its end would be unclear."""
    text = visible(str(value))
    return text if text and not set(text) & set(' "=') else json.dumps(text, ensure_ascii=False)


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
    root = logging.getLogger()
    handler = _handler_for(stream, root.handlers)
    colored = terminal and "NO_COLOR" not in os.environ
    handler.addFilter(_is_not_repeated)
    handler.setFormatter(_TextFormatter(colored=colored) if as_text else _JsonFormatter())
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    logging.captureWarnings(True)
    for name in _VERBOSE_LIBRARIES:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def flush(timeout: float) -> None:
    """Wait at most so many seconds until what was logged has been written."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _Handler):
            handler.writer.flush(timeout)


def _handler_for(stream: TextIO, existing: Iterable[logging.Handler]) -> _Handler:
    """Return a handler for `stream`: the one that there is, whose lines may be waiting."""
    for handler in existing:
        if isinstance(handler, _Handler) and handler.writer.stream is stream:
            return handler
    return _Handler(stream)
