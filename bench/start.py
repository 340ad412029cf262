"""What a start costs, and what a small daemon holds in memory, beside an interpreter that imports
httpx, anyio, aiosqlite and pydantic-settings alone.

Times depend on the machine, so compare them within a run. The daemon and the interpreter start in
turns; the figures are medians. The daemon of the second line watches 1,000 tasks for one webhook
and one Slack channel.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import anyio

from bench.processes import (
    SECRET,
    cpu_seconds,
    daemon,
    free_port,
    resident_mebibytes,
    server,
    until_ready,
)
from watcher.core.clock import wall_clock
from watcher.core.tasks import TaskKey, WatchRequest
from watcher.stores.sqlite import store as sqlite

STARTS = 7
TASKS = 1000
SETTLED_AFTER = 20.0
"""Seconds in which each task is polled several times."""
_BASELINE = """
import anyio, httpx, aiosqlite, pydantic_settings, sys
print("ready", flush=True)
sys.stdin.read()
"""
_HOOK = "http://127.0.0.1:9/"
_CHANNELS = (
    {"name": "backend", "type": "webhook", "url": _HOOK, "secrets": [SECRET]},
    {"name": "chat", "type": "slack", "url": _HOOK},
)

Cost = tuple[float, float]
"""Processor time in seconds, and resident memory in MiB."""


def baseline() -> Cost:
    """Return what the interpreter costs with the four libraries alone."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", _BASELINE], **pipes) as process:  # type: ignore[call-overload]
        process.stdout.readline()
        cost = cpu_seconds(process.pid), resident_mebibytes(process.pid)
        process.stdin.close()
    return cost


async def fill(url: str) -> None:
    """Store the watches, so that no request to the API adds them."""
    requests = [WatchRequest(key=TaskKey("mixpeek", f"task_{n}")) for n in range(TASKS)]
    async with sqlite.create(url) as store:
        await store.add(requests, wall_clock())


def started(upstream: str, *, watching: bool) -> Cost:
    """Return what the daemon has cost when it is ready; if `watching`, once it has polled."""
    with tempfile.TemporaryDirectory() as name:
        port = free_port()
        channels = json.dumps(_CHANNELS if watching else [])
        if watching:
            anyio.run(fill, f"sqlite:///{name}/watcher.db")
        with daemon(Path(name), upstream, port, WATCHER_CHANNELS=channels) as process:
            until_ready(f"http://127.0.0.1:{port}")
            used = cpu_seconds(process.pid)
            if watching:
                time.sleep(SETTLED_AFTER)
            return used, resident_mebibytes(process.pid)


def main() -> None:
    """Measure, and print a line for each figure."""
    measured: dict[str, list[Cost]] = {}
    with tempfile.TemporaryDirectory() as name, server("bench.upstream", Path(name)) as (_, url):
        started(url, watching=False)  # compiles what was never imported
        cases: dict[str, Callable[[], Cost]] = {
            "four libraries alone": baseline,
            "ready, no watches": lambda: started(url, watching=False),
        }
        for _ in range(STARTS):
            for text, measure in cases.items():
                measured.setdefault(text, []).append(measure())
        measured[f"{TASKS} tasks, two channels"] = [started(url, watching=True)]
    (seconds, mebibytes), *_ = [
        tuple(median(values) for values in zip(*costs, strict=True)) for costs in measured.values()
    ]
    for text, costs in measured.items():
        used, held = (median(values) for values in zip(*costs, strict=True))
        print(
            f"{text:<26} {used:5.2f} CPU s ({used / seconds:.1f} ×), {held:4.0f} MiB"
            f" ({held / mebibytes:.1f} ×)"
        )


if __name__ == "__main__":
    main()
