"""The cost of the live page while it is not opened: a daemon, and one that cannot import what
renders the page.

Both start in turns, have 1,000 tasks to poll, and answer probes alone. `CPU s` are what the start
and the following seconds took. The figures are medians, the ratios those of the daemon as it is.
"""

import tempfile
import time
from pathlib import Path
from statistics import median

import anyio

from bench.processes import (
    cpu_seconds,
    daemon,
    free_port,
    resident_mebibytes,
    server,
    until_ready,
)
from bench.start import fill

ROUNDS = 5
WATCHED = 15.0
"""Seconds after the start."""
_WITHOUT_PAGE = """
import sys


class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.startswith(("watcher.api.page.rendering", "jinja2", "markupsafe")):
            raise ModuleNotFoundError(name)


sys.meta_path.insert(0, Missing())
"""

Cost = tuple[float, float, float]
"""Processor time of the start and afterwards, in seconds, and resident memory in MiB."""


def cost_of(upstream: str, path: Path) -> Cost:
    """Return what a daemon costs that finds modules in `path` first."""
    with tempfile.TemporaryDirectory() as name:
        anyio.run(fill, f"sqlite:///{name}/watcher.db")
        port = free_port()
        variables = {"WATCHER_CHANNELS": "[]", "PYTHONPATH": str(path)}
        with daemon(Path(name), upstream, port, **variables) as process:
            until_ready(f"http://127.0.0.1:{port}")
            started = cpu_seconds(process.pid)
            time.sleep(WATCHED)
            later = cpu_seconds(process.pid) - started
            return started, later, resident_mebibytes(process.pid)


def main() -> None:
    """Measure, and print a line for each."""
    measured: dict[str, list[Cost]] = {}
    with tempfile.TemporaryDirectory() as name, server("bench.upstream", Path(name)) as (_, url):
        without, empty = Path(name) / "without", Path(name) / "empty"
        without.mkdir()
        empty.mkdir()
        (without / "sitecustomize.py").write_text(_WITHOUT_PAGE)
        cases = {"the page is never opened": empty, "there is no page": without}
        cost_of(url, empty)  # compiles what was never imported
        for _ in range(ROUNDS):
            for text, path in cases.items():
                measured.setdefault(text, []).append(cost_of(url, path))
    found = {
        text: [median(values) for values in zip(*costs, strict=True)]
        for text, costs in measured.items()
    }
    base = found["there is no page"]
    for text, values in found.items():
        ratios = ", ".join(f"{one / other:.2f}" for one, other in zip(values, base, strict=True))
        start, later, held = values
        print(
            f"{text:<26} {start:5.2f} CPU s to start, {later:5.2f} CPU s in {WATCHED:g} s,"
            f" {held:5.1f} MiB ({ratios} ×)"
        )


if __name__ == "__main__":
    main()
