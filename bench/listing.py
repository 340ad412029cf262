"""`watcher ls` on 200,000 watches: the time to the first row and to the last.

The goal is 0.5 s to the first row, in a table and as JSON. Most of it is the start of the command:
the time of `watcher --version` is printed beside it. The daemon is on the other core.
"""

import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import anyio

from bench.processes import COMMAND, THEIRS, daemon, free_port, pin, until_ready
from tests.support.records import request
from watcher.core.clock import wall_clock
from watcher.stores.sqlite import store as sqlite

WATCHES = 200_000


async def fill(url: str) -> None:
    """Store the watches."""
    async with sqlite.create(url) as store:
        for start in range(0, WATCHES, 1000):
            ids = [f"task_{number:040d}" for number in range(start, start + 1000)]
            await store.add([request(task_id) for task_id in ids], wall_clock())


def run(url: str, *arguments: str) -> tuple[float, float, int]:
    """Run a command; return the seconds to its third line and to its end, and its lines."""
    began, lines, first = time.perf_counter(), 0, 0.0
    command = [COMMAND, *arguments, "--url", url]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, preexec_fn=lambda: pin(THEIRS)
    ) as process:
        assert process.stdout is not None
        for lines, _ in enumerate(process.stdout, 1):
            if lines == 3:
                first = time.perf_counter() - began
    assert process.returncode == 0
    return first, time.perf_counter() - began, lines


def start_seconds() -> float:
    """Return the seconds of a command that does nothing."""
    began = time.perf_counter()
    subprocess.run([COMMAND, "--version"], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def main(commands: Sequence[Sequence[str]] = (("ls",), ("ls", "--json"))) -> None:
    """Print one line per figure."""
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        url = f"http://127.0.0.1:{port}"
        anyio.run(fill, f"sqlite:///{folder}/watcher.db")
        with daemon(folder, "http://127.0.0.1:9", port):
            until_ready(url)
            for command in commands:
                first, last, lines = run(url, *command)
                start = start_seconds()
                print(
                    f"watcher {' '.join(command):<10} first row after {first:.2f} s, "
                    f"{first / start:.1f} times what --version takes; "
                    f"{lines:,} lines after {last:.1f} s"
                )


if __name__ == "__main__":
    main()
