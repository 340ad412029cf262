"""`watcher sources test`: one task as upstream returns it now."""

import json

import pytest

from tests.acceptance.daemon import Site

pytestmark = pytest.mark.anyio


async def test_what_is_extracted_is_printed_with_its_place(site: Site) -> None:
    site.upstream.set("task_1", "canceled", task_type="api_x", error_message="Object not found")
    done = await site.command(None, "sources", "test", "mixpeek", "task_1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().splitlines() == [
        "status:  CANCELED (upstream: canceled)  from status",
        "type:    api_x  from task_type",
        "error:   Object not found  from error_message",
    ]
    as_json = await site.command(None, "sources", "test", "mixpeek", "task_1", "--json")
    assert json.loads(as_json.stdout)["error"]["from"] == "error_message"
    assert site.upstream.gets["task_1"] == 2


@pytest.mark.parametrize(
    ("arguments", "key", "exit_code", "error"),
    [
        (("mixpeek", "task_9"), "sk_made_up", 1, "does not know the task 'task_9' (404)"),
        (("mixpeek", "task_9"), "sk_wrong", 1, "source mixpeek: HTTP 401"),
        (("mixpek", "task_9"), "sk_made_up", 2, "unknown source 'mixpek'; expected one of: mix"),
        (("mixpeek", "a/b"), "sk_made_up", 2, "invalid task ID: an ID contains no slash"),
    ],
)
async def test_what_is_wrong_is_one_line(
    site: Site, arguments: tuple[str, str], key: str, exit_code: int, error: str
) -> None:
    done = await site.command(None, "sources", "test", *arguments, MIXPEEK_API_KEY=key)
    assert (done.returncode, done.stdout) == (exit_code, b"")
    (line,) = done.stderr.decode().splitlines()
    assert error in line
