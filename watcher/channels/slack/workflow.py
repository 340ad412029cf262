"""Events as the variables of a workflow: a flat object of texts, which is all that Slack accepts.

https://docs.slack.dev/workflows/webhooks-in-workflows: each variable has a type, here text, and
a name that the workflow declares.
"""

from collections.abc import Sequence

from watcher.channels._text import digest_text, event_data, headline_of, one_line, text_of
from watcher.channels.slack.markup import escaped_cut
from watcher.core.deliveries import Message

_TEXT, _VALUE = 3000, 2000


def variables(message: Message) -> dict[str, str]:
    """Return `text`, `task_id`, `task_type`, `status` and `error_message`; empty where null."""
    data = event_data(message)
    error = text_of(data.get("error_message"))
    reason = text_of(data.get("reason"))
    text = one_line(headline_of(message.type, data))
    detail = one_line(error) or one_line(reason)
    return {
        "text": escaped_cut(f"{text}: {detail}" if detail else text, _TEXT),
        "task_id": _value(data.get("task_id")),
        "task_type": _value(data.get("task_type")),
        "status": _value(data.get("status")),
        "error_message": escaped_cut(error, _VALUE),
    }


def digest_variables(messages: Sequence[Message]) -> dict[str, str]:
    """Return the same variables for several events; only `text` is not empty."""
    text = f"🔔 {len(messages)} events\n{digest_text(messages, _TEXT - 100)}"
    return {
        "text": escaped_cut(text, _TEXT),
        "task_id": "",
        "task_type": "",
        "status": "",
        "error_message": "",
    }


def _value(value: object) -> str:
    return escaped_cut(one_line(text_of(value)), _VALUE)
