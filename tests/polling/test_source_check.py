"""One request that shows whether a source accepts its key."""

import pytest

from tests.polling.harness import ScriptedSource
from watcher.core.errors import SourceError, SourceFailure
from watcher.polling.source_check import check_source

pytestmark = pytest.mark.anyio


async def test_a_source_that_does_not_know_the_task_accepts_the_key() -> None:
    source = ScriptedSource()
    check = await check_source(source)
    assert (check.good, check.text) == (True, "key accepted")
    assert len(source.polls) == 1


async def test_the_request_counts_against_the_budget() -> None:
    source = ScriptedSource()
    source.spacing = 5.0
    await check_source(source)
    assert source.wait() > 4


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (SourceFailure.UNAUTHORIZED, "HTTP 401: check the key"),
        (SourceFailure.TIMEOUT, "HTTP 401"),
    ],
)
async def test_what_is_wrong_is_named(reason: SourceFailure, text: str) -> None:
    source = ScriptedSource()
    source.trouble = SourceError(reason, "HTTP 401")
    check = await check_source(source)
    assert (check.good, check.text) == (False, text)


async def test_an_address_that_knows_any_task_is_wrong() -> None:
    class Eager(ScriptedSource):
        def _answer(self, task_id: str):  # type: ignore[no-untyped-def]
            self.shown[task_id] = "PENDING"
            return super()._answer(task_id)

    check = await check_source(Eager())
    assert (check.good, check.text) == (
        False,
        "returned a task that cannot exist: check base_url",
    )
