"""Programs that judge what is shipped. `.ci/install` brings them; a laptop may lack some."""

import os
import shutil
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from random import SystemRandom
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = Path(os.environ.get("TOOLS", ROOT / ".tools"))


def lacking(what: str) -> None:
    """Skip the test that needs `what`; in CI fail it."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing; .ci/install brings it")
    pytest.skip(f"needs {what}; .ci/install brings it")


def tool(name: str) -> str:
    """Return the path of a program."""
    folders = (TOOLS / "bin", os.environ["PATH"], "/usr/sbin", "/sbin", "/usr/local/go/bin")
    found = shutil.which(name, path=":".join(map(str, folders)))
    if found is None:
        lacking(name)
    return str(found)


def run(
    *command: str | Path, check: bool = True, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; where that should be good and is not, show what it said."""
    done: subprocess.CompletedProcess[str] = subprocess.run(
        [str(one) for one in command], capture_output=True, text=True, check=False, **options
    )
    if check and done.returncode != 0:
        pytest.fail(f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}")
    return done


def free_port() -> int:
    """Return a port that was free a moment ago. It is below those that the kernel gives to outgoing
    connections, any of which could take it until it is listened on.
    """
    while True:
        port = SystemRandom().randrange(15_000, 32_000)
        with suppress(OSError), socket.socket() as one:
            one.bind(("127.0.0.1", port))
            return port


def committed(folder: Path) -> Path:
    """Make a repository of the files here, with one commit whose time is fixed."""
    names = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in filter(None, names.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)  # with the time and mode of now
    day = "2026-11-01T00:00:00Z"
    author = ("-c", "user.name=Made Up", "-c", "user.email=made-up@example.com")
    run("git", "init", "--quiet", cwd=folder)
    run("git", "add", "--all", cwd=folder)
    command = ("git", *author, "commit", "--quiet", "--message", "x", "--date", day)
    run(*command, cwd=folder, env={**os.environ, "GIT_COMMITTER_DATE": day})
    return folder
