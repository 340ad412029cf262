"""A shell of a new user: bash with the installed commands, in a folder of its own, between a fake
Mixpeek API, a receiver of webhooks and a Slack, all on loopback.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from tests.shipped.tools import free_port
from tests.support.records import SECRET
from watcher.testing.mixpeek_server import FakeUpstream
from watcher.testing.receiver import Receiver

API_KEY = "sk_your_key"
"""The key that the pages show; the fake API accepts it."""
SLACK_URL = "https://hooks.slack.com/services/T000/B000/XXXX"
HOOK_URL = "https://backend.internal/hooks/tasks"
EXAMPLE_URL = "http://127.0.0.1:8000/hooks/tasks"
DAEMON = "127.0.0.1:8080"
OTHER_API = "127.0.0.1:8090"
ROOT = Path(__file__).parents[2]
_PATIENCE = 90.0
_STARTED = "source 'mixpeek' at"
"""The last line of the log's opening."""
_OFFLINE = {
    "PIP_NO_DEPS": "1",
    "PIP_NO_BUILD_ISOLATION": "0",  # the option's opposite
    "PIP_QUIET": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
}
"""With `PYTHONPATH`: pip takes what is installed here, so that nothing is downloaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What a command printed on both streams, its exit code, and its seconds."""

    output: str
    code: int
    seconds: float


class Session:
    """A shell whose commands share variables and folder, as those of a user do.

    `watcher run` is left running; `PID` is then its process ID.
    """

    def __init__(self, shell: Process, folder: Path, replaced: Mapping[str, str]) -> None:
        self._shell = shell
        self._folder = folder
        self._replaced = replaced
        self._number = 0
        assert shell.stdout is not None
        self._codes = BufferedByteReceiveStream(shell.stdout)

    async def run(self, text: str) -> Finished:
        """Run the text of a page. A command that fails ends it with its code."""
        self._number += 1
        script = self._folder.parent / f"{self._number}.sh"
        output = self._folder.parent / f"{self._number}.out"
        script.write_text(self._here(text))
        output.touch()
        started = time.monotonic()
        serves = text.strip("\n") in ("watcher run", "watcher run -c watcher.yaml")
        await self._send(
            f"({text.strip()}) </dev/null >{output} 2>&1 & code=0; export PID=$!"
            if serves
            else f"code=0; {{ source {script}; }} </dev/null >{output} 2>&1"
        )
        with anyio.fail_after(_PATIENCE):
            code = int(await self._codes.receive_until(b"\n", 100))
            while serves and _STARTED not in output.read_text():
                await anyio.sleep(0.05)
        return Finished(
            output=self._there(output.read_text()), code=code, seconds=time.monotonic() - started
        )

    def write(self, name: str, text: str) -> None:
        """Write a file that a page shows."""
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._here(text))

    async def _send(self, line: str) -> None:
        assert self._shell.stdin is not None
        await self._shell.stdin.send(f"{line}; echo $code\n".encode())

    def _here(self, text: str) -> str:
        for shown, real in self._replaced.items():
            text = text.replace(shown, real)
        return text

    def _there(self, text: str) -> str:
        """Return an output as the user of the page has it."""
        lines = [line for line in text.splitlines() if "is not an address of Slack" not in line]
        text = "\n".join(lines)
        for shown, real in self._replaced.items():
            text = text.replace(real, shown)
        return text.replace(str(self._folder), "/home/you/mixpeek-watcher")


class Place:
    """Where a session takes place: what is on the other side of the daemon."""

    def __init__(self) -> None:
        self.upstream = FakeUpstream(api_key=API_KEY)
        self.receiver = Receiver(SECRET)


@asynccontextmanager
async def session(folder: Path, place: Place, *, files: bool = True) -> AsyncIterator[Session]:
    """Open a session in a folder within `folder`: with `files` in a clone of the repository."""
    clone = folder / "mixpeek-watcher"
    clone.mkdir()
    if files:
        _clone(clone)
    async with place.upstream.serve() as upstream, place.receiver.serve() as receiver:
        port = free_port()
        replaced = {
            SLACK_URL: f"{receiver}/slack",
            HOOK_URL: f"{receiver}/hook",
            EXAMPLE_URL: f"{receiver}/hook",
            DAEMON: f"127.0.0.1:{port}",
            OTHER_API: f"127.0.0.1:{free_port()}",
        }
        environ = _environ(folder, upstream, port)
        command = ("setsid", "bash", "--noprofile", "--norc")
        shell = await anyio.open_process(
            command, env=environ, cwd=clone, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        try:
            opened = Session(shell, clone, replaced)
            await opened._send("set -E; trap 'code=$?' ERR")
            await opened._codes.receive_until(b"\n", 100)
            yield opened
        finally:
            with anyio.CancelScope(shield=True):
                await _end(shell)


async def _end(shell: Process) -> None:
    """End what the session left running, and the shell."""
    assert shell.stdin is not None
    await shell.stdin.send(b"trap '' TERM; kill 0; wait\n")
    await shell.stdin.aclose()
    with anyio.move_on_after(20):
        await shell.wait()
    if shell.returncode is None:
        shell.kill()
    await shell.aclose()


def _clone(folder: Path) -> None:
    """Make a folder with what is committed, or would be."""
    command = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)


def _environ(folder: Path, upstream: str, port: int) -> dict[str, str]:
    home = folder / "home"
    home.mkdir()
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    programs = f"{Path(sys.executable).parent}:{ROOT / '.tools/bin'}:{os.environ['PATH']}"
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL") if name in os.environ}
    return {
        **kept,
        **_OFFLINE,
        "PATH": programs,
        "PYTHONPATH": packages,
        "HOME": str(home),
        "COLUMNS": "120",
        "NO_COLOR": "1",
        "MIXPEEK_BASE_URL": upstream,
        "WATCHER_SERVER__PORT": str(port),
        "WATCHER_STORE__URL": f"sqlite:///{home}/watcher.db",
        "WATCHER_LOG__FORMAT": "text",
        "WEBHOOK_SECRET": SECRET,
    }
