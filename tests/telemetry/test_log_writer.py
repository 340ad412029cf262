"""A log that nothing reads: no one waits, what is dropped is counted, and the process ends."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import TextIO

from watcher.telemetry.log_writer import LogWriter

PIPE = 1 << 16
LINE = "x" * 99 + "\n"


def notice(dropped: int) -> str:
    return f"{dropped} dropped\n"


@contextmanager
def pipe() -> Iterator[tuple[TextIO, TextIO]]:
    reading, writing = os.pipe()
    with os.fdopen(reading) as reader, os.fdopen(writing, "w") as writer:
        yield reader, writer


def test_lines_beyond_the_limit_are_dropped_and_counted_where_they_are_missing() -> None:
    with pipe() as (reader, stream):
        writer = LogWriter(stream, notice, limit=10_000)
        count = PIPE // 100 + 1000
        for _ in range(count):
            writer.put(LINE)
        kept = dropped = 0
        while kept + dropped < count:
            line = reader.readline()
            kept += line == LINE
            dropped += 0 if line == LINE else int(line.removesuffix(" dropped\n"))
        assert (kept + dropped, dropped > 500) == (count, True)
        assert writer.flush(60)
        writer.put("after\n")
        assert reader.readline() == "after\n"


def test_lines_of_a_reader_that_has_gone_end_nothing() -> None:
    with pipe() as (reader, stream):
        reader.close()
        writer = LogWriter(stream, notice)
        writer.put(LINE)
        assert writer.flush(60)
        writer.put(LINE)
        assert writer.flush(60)


def test_a_stream_in_memory_gets_all_lines_in_order() -> None:
    stream = StringIO()
    writer = LogWriter(stream, notice)
    for number in range(1000):
        writer.put(f"{number}\n")
    assert writer.flush(60)
    assert stream.getvalue() == "".join(f"{number}\n" for number in range(1000))


def test_a_process_ends_although_its_log_is_not_read() -> None:
    script = (
        "import logging\n"
        "from watcher.core.settings import LogSettings\n"
        "from watcher.telemetry import logs\n"
        "logs.configure(LogSettings())\n"
        "for _ in range(10_000):\n"
        "    logging.getLogger('x').error('y' * 500)\n"
        "logs.flush(0.05)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE) as process:
        assert process.wait(60) == 0
