"""Programs that judge what is shipped. `.ci/install` brings them; a laptop may lack some."""

import os
import shutil
import socket
import subprocess
from pathlib import Path
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
    found = shutil.which(name, path=f"{TOOLS / 'bin'}:{os.environ['PATH']}:/usr/sbin:/sbin")
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
    """Return a free port."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
