"""Pages with anything in them: what is readable is read."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.test_json_repair import BAD
from watcher.core.errors import SourceError
from watcher.core.statuses import StatusTable
from watcher.core.tasks import Observation, Shown
from watcher.net.exchange import Reply
from watcher.sources.mixpeek.page_decoding import decode_page_reply, observations
from watcher.sources.mixpeek.task_decoding import TaskDecoder

DECODER = TaskDecoder(StatusTable())


async def shown(body: bytes) -> dict[str, Shown]:
    reply = Reply(status=200, headers={}, body=body, truncated=False)
    page = decode_page_reply(reply, 1000, of_tasks=True)
    page.items()
    return {task.task_id: task for task in await observations(page, DECODER)}


def task(number: int, **fields: Any) -> bytes:
    known = {"task_id": f"task_{number}", "status": "IN_PROGRESS", "task_type": "x"}
    return json.dumps(known | fields).encode()


def page_of(*items: bytes) -> bytes:
    return b'{"results": [%s], "pagination": {"next_cursor": null}}' % b",".join(items)


odd = st.sampled_from([b"{}", b"null", b"7", b'"task_9"', b"[]", b'{"task_id": 7}', *BAD])
odd_fields = st.dictionaries(
    st.sampled_from(["status", "task_type", "error", "error_message", "additional_data"]),
    st.none() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=2),
    max_size=3,
).map(lambda fields: task(9, **fields))
bad_members = st.sampled_from(BAD).map(
    lambda bad: b'{"task_id": "task_9", "status": "FAILED", "outputs": {"score": %s}}' % bad
)


@pytest.mark.anyio
@given(st.one_of(odd, odd_fields, bad_members), st.integers(0, 4))
async def test_one_odd_item_spoils_no_other(item: bytes, position: int) -> None:
    items = [task(number) for number in range(4)]
    items.insert(position, item)
    found = await shown(page_of(*items))
    assert all(isinstance(found[f"task_{number}"], Observation) for number in range(4))


@pytest.mark.anyio
@pytest.mark.parametrize("pagination", [b'"x"', b"[]", b"7", b'{"total": NaN}', *BAD])
async def test_odd_pagination_is_none(pagination: bytes) -> None:
    body = b'{"results": [%s], "pagination": %s}' % (task(1), pagination)
    assert list(await shown(body)) == ["task_1"]


@pytest.mark.anyio
@given(st.binary(max_size=20), st.integers(0, 150), st.integers(0, 20))
async def test_any_damage_is_read_or_a_source_error(noise: bytes, start: int, length: int) -> None:
    body = page_of(task(1), task(2))
    damaged = body[:start] + noise + body[start + length :]
    with suppress(SourceError):
        await shown(damaged)
