"""Log lines: their fields, masked secrets, no forged lines."""

import io
import json
import logging
from collections.abc import Iterator, Mapping

import pytest

from watcher.core.errors import StoreError, StoreMovedError
from watcher.core.log_fields import about, lines_about
from watcher.core.masking import SECRETS
from watcher.core.settings import LogSettings
from watcher.telemetry import logs


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


def logged(
    form: str,
    text: str,
    *arguments: object,
    error: Exception | None = None,
    extra: Mapping[str, object] | None = None,
) -> str:
    stream = io.StringIO()
    logs.configure(LogSettings.model_validate({"format": form}), stream=stream)
    logging.getLogger("watcher.test").error(text, *arguments, exc_info=error, extra=extra)
    logs.flush(60)
    return stream.getvalue()


def test_a_json_line_contains_level_logger_message_and_time() -> None:
    line = json.loads(logged("auto", "task %s", "t1"))
    assert (line["level"], line["logger"], line["message"]) == ("error", "watcher.test", "task t1")
    assert line["time"].endswith("Z")


@pytest.mark.parametrize("form", ["text", "json"])
def test_secrets_are_masked_in_messages_arguments_and_exceptions(form: str) -> None:
    secret = "whsec_abc/def+ghi="
    SECRETS.add([secret])
    shown = logged(
        form,
        "%s and whsec_abc%%2Fdef%%2Bghi%%3D",
        secret,
        error=ValueError(f"bad {secret}"),
    )
    assert "abc" not in shown
    assert shown.count("********") == 3


def test_a_store_that_was_moved_is_no_line_of_every_component() -> None:
    moved = StoreMovedError("watcher.db was removed")
    assert logged("json", "channel %r: %s; will retry", "backend", moved) == ""
    assert "watcher.db was removed" in logged("json", "%s", str(moved))
    assert "full" in logged("json", "%s; will retry", StoreError("full"))


HOSTILE = "one\nERROR forged\r\x1b[2J\x9b31m\u202e\u2028\u200b\x85"
ESCAPED = r"one\nERROR forged\r\x1b[2J\x9b31m\u202e\u2028\u200b\x85"


def test_text_from_outside_cannot_forge_a_line() -> None:
    text = logged("text", "%s", HOSTILE)
    assert text.splitlines() == [text.rstrip("\n")]
    assert text.endswith(f" {ESCAPED}\n")
    line = logged("json", "%s", HOSTILE)
    assert line.splitlines() == [line.rstrip("\n")]
    assert line.isascii()
    assert json.loads(line)["message"] == HOSTILE


def test_text_in_a_traceback_begins_no_line() -> None:
    _, *traceback, _ = logged("text", "x", error=ValueError(HOSTILE)).split("\n")
    assert traceback
    assert all(line.startswith("    ") and line.isprintable() for line in traceback)


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_record_has_a_bound(form: str) -> None:
    assert 5000 > len(logged(form, "%s", "x" * 10_000_000)) > 4000
    long = logged(form, "x", error=ValueError("y" * 10_000_000))
    assert 18_000 > len(long) > 16_000


def test_a_secret_is_masked_before_a_long_text_is_cut() -> None:
    SECRETS.add(["hidden-key"])
    for form in ("text", "json"):
        line = logged(form, "%s", "x" * 4090 + "hidden-key")
        assert "hidden" not in line


def test_a_line_has_what_it_is_about_as_fields() -> None:
    SECRETS.add(["hidden-key"])
    extra = about(channel="a b", task_id="t\x1b", delivery_id=7, event_id="hidden-key")
    with lines_about(source="mixpeek", channel="other"):
        line = json.loads(logged("json", "x", extra=extra))
        text = logged("text", "x", extra=extra)
    assert {name: line[name] for name in ("source", "channel", "task_id", "delivery_id")} == {
        "source": "mixpeek",
        "channel": "a b",
        "task_id": "t\x1b",
        "delivery_id": 7,
    }
    fields = r'source=mixpeek  channel="a b"  task_id=t\x1b  delivery_id=7  event_id=********'
    assert text.endswith(f" x  {fields}\n")
    assert "source" not in json.loads(logged("json", "x"))
