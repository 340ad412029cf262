"""The first thing a newcomer sees, and its picture."""

import html
import os
import re
import signal
import subprocess
import urllib.request
from pathlib import Path

from tests.acceptance.daemon import COMMAND
from watcher.cli.demo.script import TASK_IDS, scenes


def test_the_demo_shows_everything_and_ends_well() -> None:
    done = subprocess.run(
        [COMMAND, "demo"],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env=os.environ | {"COLUMNS": "100"},
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert f"{len(TASK_IDS)} of {len(TASK_IDS)} polled" in done.stdout
    assert done.stdout.count("signature verified\n") == len(scenes()) - len(TASK_IDS)
    for shown in (
        "Task failed: task_catalogue_2",
        "7 of 240",
        "Task canceled",
        "1 FAILED",
        "\x1b",
    ):
        assert (shown in done.stdout) == (shown != "\x1b")
    assert slack_messages(done.stdout) == slack_messages(pictured()), "run scripts/picture"
    drawn = shape(pictured())
    for line in (*shape(done.stdout)[:4], *shape(done.stdout)[-6:]):
        assert line in drawn, "run scripts/picture"


def test_the_demo_serves_its_page_and_continues_with_new_tasks_until_a_signal() -> None:
    with subprocess.Popen(
        [COMMAND, "demo", "--serve"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"COLUMNS": "100"},
    ) as demo:
        assert demo.stdout is not None and demo.stderr is not None
        try:
            lines: list[str] = []
            for line in demo.stdout:
                lines.append(line)
                if f"{TASK_IDS[0]}_2" in line and "webhook" in line:
                    break
            url = re.findall(r"The live page is at (http://[^ ;]+/)", "".join(lines))
            assert len(set(url)) == 1
            with urllib.request.urlopen(f"{url[0]}tasks/{TASK_IDS[2]}") as answer:
                assert "Object not found" in answer.read().decode()
            demo.send_signal(signal.SIGINT)
            demo.stdout.read()
            assert demo.wait(60) == 0
            assert demo.stderr.read() == ""
        finally:
            demo.kill()


PICTURE = Path(__file__).parents[2] / "docs" / "demo.svg"
_TEXT = re.compile(r'<text[^>]* x="([0-9.]+)" y="([0-9.]+)"[^>]*>([^<]*)</text>')


def pictured() -> str:
    """Return the lines of the picture."""
    rows: dict[float, list[tuple[float, str]]] = {}
    for x, y, text in _TEXT.findall(PICTURE.read_text()):
        shown = html.unescape(text).replace("\xa0", " ")
        rows.setdefault(float(y), []).append((float(x), shown))
    return "\n".join("".join(text for _, text in sorted(rows[y])) for y in sorted(rows))


def shape(text: str) -> list[str]:
    """Return the lines that are not empty, without numbers and columns."""
    lines = [" ".join(re.sub(r"[0-9]+", "#", line).split()) for line in text.splitlines()]
    return [line for line in lines if line]


def slack_messages(output: str) -> list[str]:
    """Return the Slack messages, without numbers and line breaks."""
    boxes = re.findall(r"╭─ Slack ─+╮\n(.*?)╰─+╯", output, re.DOTALL)
    return [" ".join(re.sub(r"[0-9]+", "#", box.replace("│", " ")).split()) for box in boxes]
