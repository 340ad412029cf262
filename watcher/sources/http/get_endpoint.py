"""Polling one task per request."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any

import msgspec

from watcher.core.json_repair import repaired
from watcher.core.tasks import Answer, TaskNotFound, TaskUnreadable
from watcher.net.exchange import Reply
from watcher.sources._calls import REPLY_LIMIT
from watcher.sources._connection import Connection
from watcher.sources._errors import UNREADABLE, protocol_error
from watcher.sources.http.items import ItemDetails, ItemReader
from watcher.sources.http.requests import GetRequests

_NO_ROUTE = {"detail": "Not Found"}
"""What FastAPI answers where it knows no such route."""


class GetEndpoint:
    """Implements `watcher.core.interfaces.source.Endpoint`; its answers are final."""

    capacity = 1

    def __init__(self, connection: Connection, requests: GetRequests, reader: ItemReader) -> None:
        self.requests = requests
        self._connection = connection
        self._reader = reader
        self._decode = msgspec.json.Decoder(reader.shape.type).decode

    def requests_for(self, tasks: int) -> int:
        return tasks if self._connection.limited(self.requests.route) else 0

    def wait(self) -> float:
        return self._connection.wait(self.requests.route)

    async def admit(self) -> None:
        await self._connection.admit(self.requests.route)

    async def fetch(self, task_ids: Sequence[str]) -> AsyncGenerator[Sequence[Answer], None]:
        for task_id in task_ids:
            try:
                call = self.requests.call(task_id)
            except ValueError as error:
                self._connection.withdraw(self.requests.route)
                yield [TaskUnreadable(task_id=task_id, reason=f"it is not requested: {error}")]
                continue
            yield [self.answer(task_id, await self._connection.send(call))]

    def answer(self, task_id: str, reply: Reply) -> Answer:
        """Return what a reply says about the task. Raises `SourceError`."""
        language = self._reader.language
        if 200 <= reply.status < 300 or reply.status in language.http_statuses:
            return self._shown(task_id, reply)
        if reply.status in language.missing and _is_api_error(reply.body):
            return TaskNotFound(task_id=task_id)
        raise self._connection.error(reply)

    def _shown(self, task_id: str, reply: Reply) -> Answer:
        if reply.truncated:
            raise protocol_error(f"the answer is longer than {REPLY_LIMIT >> 20} MiB")
        reader, body = self._reader, reply.body
        by_http_status = reply.status in reader.language.http_statuses
        record = self._decoded(body)
        if record is None:
            if not by_http_status:
                raise protocol_error("the answer is not the JSON of a task", reply)
            record, body = reader.shape.type(), b"{}"
        elif reader.language.id:
            shown = reader.id_of(record)
            if shown is None and not by_http_status:
                raise protocol_error("the answer is not the JSON of a task", reply)
            if shown is not None and shown != self._expected(task_id):
                raise protocol_error("the answer is about another task", reply)
        details = ItemDetails(reader.language, lambda _: body, reply.status)
        return reader.item(record, task_id, details, reply.status)

    def _decoded(self, body: bytes) -> Any:
        """Return the record of a body, repaired if necessary; None if it is not that of a task."""
        try:
            return self._decode(body)
        except UNREADABLE:
            pass
        try:
            return self._decode(repaired(body)[0])
        except UNREADABLE:
            return None

    def _expected(self, task_id: str) -> str:
        """Return what an answer shows as the ID: the last part of it, if it shows one part."""
        form = self.requests.form
        if len(self._reader.language.id) == len(form.names):
            return task_id
        return form.values(task_id)[form.names[-1]]


def _is_api_error(body: bytes) -> bool:
    """Return whether a body is the API's own and not that of a gateway: a JSON object."""
    try:
        found = msgspec.json.decode(body)
    except UNREADABLE:
        return False
    return isinstance(found, dict) and bool(found) and found != _NO_ROUTE
