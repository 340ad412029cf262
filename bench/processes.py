"""Starting and measuring the processes of a benchmark."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

COMMAND = str(Path(sys.executable).with_name("watcher"))
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OURS, THEIRS = 0, 1
"""The cores of what is measured and of what it talks to."""

_TICKS = os.sysconf("SC_CLK_TCK")


def pin(core: int) -> None:
    """Keep this process to one core, where there are two."""
    if len(os.sched_getaffinity(0)) > 1:
        os.sched_setaffinity(0, {core})


@contextmanager
def server(
    module: str, folder: Path, *arguments: str
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run `module` on the other core, and give its base URL."""
    port_file = folder / f"{module}.port"
    command = [sys.executable, "-m", module, str(port_file), *arguments]
    process = subprocess.Popen(command, preexec_fn=lambda: pin(THEIRS))
    try:
        while not (port_file.exists() and port_file.read_text()):
            time.sleep(0.01)
        yield process, f"http://127.0.0.1:{port_file.read_text()}"
    finally:
        process.terminate()
        process.wait()


@contextmanager
def daemon(
    folder: Path, upstream: str, port: int, **environ: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the installed daemon on its own core."""
    variables = {
        **os.environ,
        "MIXPEEK_API_KEY": "sk_bench",
        "WATCHER_SOURCES": f'[{{"base_url": "{upstream}", "requests_per_minute": null}}]',
        "WATCHER_STORE__URL": f"sqlite:///{folder}/watcher.db",
        "WATCHER_SERVER__PORT": str(port),
        "WATCHER_LOG__LEVEL": "error",
        **environ,
    }
    process = subprocess.Popen([COMMAND, "run"], env=variables, preexec_fn=lambda: pin(OURS))
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def until_ready(url: str) -> None:
    """Wait until the daemon answers that it is ready."""
    while True:
        try:
            with urllib.request.urlopen(f"{url}/readyz") as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.01)


def cpu_seconds(pid: int) -> float:
    """Return the processor time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident_mebibytes(pid: int | str = "self") -> float:
    """Return the memory that a process, or this one, holds now."""
    return _mebibytes(pid, "VmRSS")


def peak_mebibytes(pid: int | str = "self") -> float:
    """Return the most memory that a process, or this one, has held."""
    return _mebibytes(pid, "VmHWM")


def _mebibytes(pid: int | str, name: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def percentile(values: list[float], share: float) -> float:
    """Return the value below which `share` of `values` lie."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
