"""The example of a Kubernetes Job: its shell ends with the exit code of `watcher wait`."""

from pathlib import Path

import anyio
import pytest
import yaml

from tests.acceptance.daemon import COMMAND, PATIENCE, Site

pytestmark = pytest.mark.anyio

EXAMPLE = Path(__file__).parents[2] / "config/examples/kubernetes-job.yaml"
SUBMIT = "python -m embed.submit"


def script_of_the_job() -> str:
    (job,) = yaml.safe_load_all(EXAMPLE.read_text())
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["sh", "-c"]
    (script,) = container["args"]
    assert script.startswith(f"{SUBMIT} > /tmp/task-ids ")
    return str(script)


async def test_the_exit_code_of_the_job_is_that_of_wait(site: Site, tmp_path: Path) -> None:
    script, found = script_of_the_job(), {}
    for status in ("COMPLETED", "COMPLETED_WITH_ERRORS", "FAILED"):
        site.upstream.set(status.lower(), status)

    async def run(name: str, submit: str, url: str) -> None:
        """Run the Job's script, which would submit tasks and print their IDs."""
        file = str(tmp_path / f"ids of {name}")
        own = script.replace(SUBMIT, submit).replace("/tmp/task-ids", f"'{file}'")
        own = own.replace("--timeout 6h", "--timeout 40s")
        path = f"{Path(COMMAND).parent}:{site.environ['PATH']}"
        environ = {**site.environ, "PATH": path, "WATCHER_URL": url}
        finished = await anyio.run_process(["sh", "-c", own], env=environ, check=False)
        found[name] = finished.returncode

    async with site.daemon(WATCHER_POLLING__LOST_AFTER="500ms") as daemon:
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(run, "completed", "printf 'completed\n'", daemon.url)
                tasks.start_soon(run, "failed", "printf 'completed\nfailed\n'", daemon.url)
                tasks.start_soon(run, "unknown", "printf 'unknown\n'", daemon.url)
                errors = "printf 'completed\ncompleted_with_errors\n'"
                tasks.start_soon(run, "errors", errors, daemon.url)
                tasks.start_soon(run, "not submitted", "sh -c 'exit 7'", daemon.url)
                tasks.start_soon(run, "no ID", "true", daemon.url)
    wait = {"completed": 0, "failed": 1, "unknown": 1, "errors": 3}
    assert found == {**wait, "not submitted": 7, "no ID": 2}
