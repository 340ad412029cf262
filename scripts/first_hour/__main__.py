"""A new user's first hour: thirty commands in order, from a clone to a repaired delivery.

`python -m scripts.first_hour` runs them in one shell in a fresh folder, with a fake Mixpeek API, a
receiver and a Slack on the other side, and prints a table of command, seconds and first words.
"""

import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import anyio

from tests.shipped.terminal_session import SLACK_URL, Finished, Place, session
from tests.shipped.tools import committed

_WIDTH = 76


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A command, the words that its output has, and its exit code."""

    command: str
    words: str = ""
    code: int = 0


STEPS = (
    Step(command="git clone --quiet $REPOSITORY watcher && cd watcher"),
    Step(command="python3 -m venv .venv && . .venv/bin/activate"),
    Step(command="pip install ."),
    Step(command="watcher", words="Usage: watcher [OPTIONS] COMMAND", code=2),
    Step(command="watcher demo", words="With your own tasks: watcher init"),
    Step(command="watcher run ", words="api_key is missing: set", code=2),
    Step(command="export MIXPEEK_API_KEY=sk_your_key"),
    Step(command="watcher init", words="With WATCHER_CONFIG="),
    Step(command="export WATCHER_CONFIG=$PWD/watcher.yaml"),
    Step(command="watcher config check --live", words="mixpeek: ok: key accepted"),
    Step(command=f"export WATCHER_SLACK_URL={SLACK_URL}"),
    Step(command="watcher channels test", words="slack: ok: HTTP 200"),
    Step(command="watcher ls", words="start it with `watcher run`", code=4),
    Step(command="watcher run", words="key accepted"),
    Step(command="watcher add task_1 task_2 task_3 --label team=search", words="3 added"),
    Step(command="watcher ls", words="task_3"),
    Step(command="watcher show task_9", words="to watch it: watcher add task_9", code=4),
    Step(command="watcher wait task_1 task_2 --timeout 1m", words="Object not found", code=1),
    Step(command="watcher show task_2", words="error_message:"),
    Step(command="watcher status", words="watcher ls --status FAILED", code=1),
    Step(command="watcher deliveries", words="delivered"),
    Step(command="watcher attempts 1", words="200"),
    Step(command="watcher routes test --status FAILED", words="task.failed matches: slack"),
    Step(command="watcher routes test --status faild", words="did you mean 'FAILED'?", code=2),
    Step(command="watcher channels test --type task.failed", words="slack: ok: HTTP 200"),
    Step(command="watcher replay --channel slack --since 1h", words="1 queued"),
    Step(command="watcher sources test mixpeek task_2", words="FAILED"),
    Step(command="watcher pause slack", words="`watcher channels pause`", code=2),
    Step(command="watcher kill task_3", words="set --yes", code=2),
    Step(command="watcher backup before-upgrade.db", words="before-upgrade.db"),
)


async def first_hour(folder: Path) -> AsyncIterator[tuple[Step, Finished]]:
    """Carry out the steps in `folder`, which is empty; yield what each printed."""
    (folder / "origin").mkdir()
    repository = committed(folder / "origin")
    place = Place()
    error = "Failed to process batch: Object not found: s3://catalogue/spring/0042.mp4"
    place.upstream.set("task_1", "COMPLETED", task_type="api_buckets_batches_process")
    place.upstream.set("task_2", "FAILED", error_message=error)
    place.upstream.set("task_3", "IN_PROGRESS")
    async with session(folder, place, files=False) as opened:
        await opened.run(f"export REPOSITORY=file://{repository}")
        for step in STEPS:
            yield step, await opened.run(step.command)


async def _print_table() -> int:
    failed = False
    rows = ["| # | command | seconds | exit | first words |", "|--:|---|--:|--:|---|"]
    with tempfile.TemporaryDirectory(prefix="watcher-first-hour-") as folder:
        async for step, finished in first_hour(Path(folder)):
            rows.append(_row(len(rows) - 1, step, finished))
            failed |= finished.code != step.code or step.words not in finished.output
    sys.stdout.write("\n".join(rows) + "\n")
    return int(failed)


def _row(number: int, step: Step, finished: Finished) -> str:
    line = next((line for line in finished.output.splitlines() if line.strip()), "")
    words = " ".join(line.split()).replace("|", r"\|")[:_WIDTH]
    command, seconds = step.command.strip(), f"{finished.seconds:.1f}"
    return f"| {number} | `{command}` | {seconds} | {finished.code} | {words} |"


if __name__ == "__main__":
    sys.exit(anyio.run(_print_table))
