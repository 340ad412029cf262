"""The lines of `watcher sources test` for a source that explains itself."""

from watcher.cli import explained
from watcher.configuration.loader import load
from watcher.core.interfaces.source import Explanation, Finding
from watcher.core.tasks import Answer, Observation, TaskNotFound

ENVIRON = {
    "MIXPEEK_API_KEY": "sk_made_up",
    "WATCHER_SLACK_URL": "https://hooks.slack.example/x",
}


def explanation(answer: Answer) -> Explanation:
    return Explanation(
        request="GET /x → 200 in 4 ms, 1.0 KiB",
        findings=[
            Finding(name="status", path="state.word", value='"failed"', meaning="FAILED"),
            Finding(name="url", path="u", value=None),
        ],
        budget=["9 remaining"],
        listed="GET /xs: 2 items",
        answer=answer,
    )


def test_the_lines_have_what_was_found_and_what_follows() -> None:
    found = explanation(Observation(task_id="a", status="FAILED"))
    shown = explained.record(found, load(None, ENVIRON), "mixpeek")
    assert list(explained.lines(shown)) == [
        "GET /x → 200 in 4 ms, 1.0 KiB",
        '  status  state.word  "failed"  → FAILED',
        "  url     u           absent",
        "budget  9 remaining",
        "event   task.failed, an end; channels: slack",
        "list    GET /xs: 2 items",
    ]


def test_a_task_that_is_unknown_has_no_event() -> None:
    found = explanation(TaskNotFound(task_id="a"))
    assert explained.record(found, load(None, ENVIRON), "mixpeek")["event"] is None
