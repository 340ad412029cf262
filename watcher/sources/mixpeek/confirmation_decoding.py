"""The answer to a request that confirms uploads."""

import msgspec

from watcher.core.interfaces.source import Confirmation
from watcher.core.json_repair import is_suspicious, repaired
from watcher.core.texts import NAME_LIMIT, REASON_LIMIT, cut, is_id
from watcher.net.exchange import Reply
from watcher.sources._errors import UNREADABLE, protocol_error


class _Answer(msgspec.Struct):
    task_id: str
    status: object = None
    confirmations_count: object = None
    message: object = None
    task: msgspec.Raw = msgspec.Raw(b"null")


_decode = msgspec.json.Decoder(_Answer).decode


def confirmation_of(reply: Reply) -> Confirmation:
    """Return the confirmation in a reply. Raises `SourceError` if it names no task."""
    try:
        answer = _decode(repaired(reply.body)[0] if is_suspicious(reply.body) else reply.body)
    except UNREADABLE:
        raise protocol_error("the answer contains no task ID", reply) from None
    if not is_id(answer.task_id):
        raise protocol_error("the answer contains no valid task ID", reply)
    count = answer.confirmations_count
    return Confirmation(
        task_id=answer.task_id,
        status=cut(answer.status, NAME_LIMIT) if isinstance(answer.status, str) else None,
        count=count if isinstance(count, int) and not isinstance(count, bool) else None,
        message=cut(answer.message, REASON_LIMIT) if isinstance(answer.message, str) else None,
        task=answer.task,
    )
