"""Commands whose output is not read to its end, as with `| head`, or that cannot be written."""

import os
import subprocess
from functools import partial
from pathlib import Path

import anyio
import pytest

from tests.acceptance.daemon import COMMAND, PATIENCE, Site, add

pytestmark = pytest.mark.anyio

LOCAL = (["--help"], ["config", "schema"], ["completion", "bash"], ["demo"])
OF_A_DAEMON = (
    ["ls"],
    ["ls", "--json"],
    ["show", "task_1"],
    ["status"],
    ["status", "--json"],
    ["deliveries"],
    ["channels", "ls"],
    ["tasks"],
    ["wait", "task_1"],
    ["routes", "test", "--status", "FAILED"],
)


def with_closed_output(*arguments: str, **environ: str) -> tuple[int, str]:
    """Run a command whose standard output nothing reads; return its exit code and its errors."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [COMMAND, *arguments],
            env={**os.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    finally:
        os.close(writer)
    return done.returncode, done.stderr


@pytest.mark.parametrize("arguments", LOCAL, ids=" ".join)
def test_a_closed_pipe_ends_a_command_silently(arguments: list[str]) -> None:
    assert with_closed_output(*arguments) == (1, "")


@pytest.mark.parametrize("lines", [3, 9, 30])
def test_the_demo_ends_silently_wherever_its_reader_stops(lines: int) -> None:
    with subprocess.Popen(
        [COMMAND, "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stdout is not None
        assert demo.stderr is not None
        for _ in range(lines):
            assert demo.stdout.readline().endswith("\n")
        demo.stdout.close()
        assert demo.stderr.read() == ""
        assert demo.wait(PATIENCE) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", LOCAL, ids=" ".join)
def test_a_full_disk_is_one_line(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [COMMAND, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    error = "watcher: cannot write the output: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, error)


async def test_a_closed_pipe_ends_a_command_for_a_daemon_silently(site: Site) -> None:
    site.upstream.set("task_1", "FAILED", error="boom")
    async with site.daemon() as daemon:
        await add(daemon, "task_1")
        await site.until_received("task.failed", 1)
        for arguments in OF_A_DAEMON:
            environ = {**site.environ, "WATCHER_URL": daemon.url}
            run = partial(with_closed_output, *arguments, **environ)
            code, errors = await anyio.to_thread.run_sync(run)
            shown = [line for line in errors.splitlines() if not line.startswith("task_1 FAILED")]
            assert (code, shown) == (1, []), arguments
