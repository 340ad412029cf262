"""Polling has the first claim on the budget of the list, discovery a quarter of it."""

from collections import Counter

import anyio
import pytest

from watcher.sources.mixpeek.list_share import ListShare

pytestmark = pytest.mark.anyio


async def use_budget(share: ListShare, rules: int, *, polling: bool) -> Counter[str]:
    """Return who got the requests of a budget of one a second within 400 s."""
    budget = anyio.Lock()
    sent: Counter[str] = Counter()

    async def spend(who: str) -> None:
        async with budget:
            await anyio.sleep(1)
            sent[who] += 1

    async def poll() -> None:
        while True:
            with share.polling():
                await spend("polling")

    async def discover(name: str) -> None:
        while True:
            async with share.turn():
                await spend(name)

    with anyio.move_on_after(400):
        async with anyio.create_task_group() as tasks:
            if polling:
                tasks.start_soon(poll)
            for number in range(rules):
                tasks.start_soon(discover, f"rule {number}")
    return sent


async def test_rules_together_get_a_quarter_while_polling_needs_the_rest() -> None:
    sent = await use_budget(ListShare(), 5, polling=True)
    assert 290 <= sent.pop("polling") <= 310
    assert all(15 <= count <= 25 for count in sent.values())
    assert len(sent) == 5


async def test_rules_get_all_that_polling_does_not_need() -> None:
    sent = await use_budget(ListShare(), 2, polling=False)
    assert sum(sent.values()) >= 399
