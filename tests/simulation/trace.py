"""What happened in a simulation, line by line, with the log of the daemon among it."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Trace:
    """Lines with the virtual time, if `kept`; the name of the temporary `folder` is left out."""

    def __init__(self, folder: Path, *, kept: bool) -> None:
        self.kept = kept
        self._folder = f"{folder}/"
        self.lines: list[str] = []

    def note(self, kind: str, text: str) -> None:
        if self.kept:
            now = asyncio.get_running_loop().time()
            self.lines.append(f"{now:10.3f}  {kind:10}  {text.replace(self._folder, '')}")


class LogWatch(logging.Handler):
    """Puts the daemon's log into the trace, and keeps every traceback: there may be none."""

    def __init__(self, trace: Trace) -> None:
        super().__init__(logging.INFO if trace.kept else logging.WARNING)
        self._trace = trace
        self.tracebacks: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        self._trace.note("log", f"{record.levelname.lower()}: {text}")
        if record.exc_info:
            error = logging.Formatter().formatException(record.exc_info)
            self.tracebacks.append(f"{text}\n{error}")


@contextmanager
def logged(trace: Trace) -> Iterator[LogWatch]:
    """Take the daemon's log for as long as the context; it is printed nowhere else."""
    logger = logging.getLogger("watcher")
    watch, before = LogWatch(trace), (logger.propagate, logger.level)
    logger.addHandler(watch)
    logger.propagate = False
    logger.setLevel(watch.level)
    try:
        yield watch
    finally:
        logger.removeHandler(watch)
        logger.propagate, level = before
        logger.setLevel(level)
