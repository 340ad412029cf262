"""Hostile strings through what is not a message: terminal, log, labels, paths, event stream."""

import io
import json
import logging
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from unittest import mock
from urllib.parse import unquote

import httpx
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families as families

from bench.hostile_strings import Fault, Tally, lines
from watcher.api.event_stream import frame
from watcher.cli.main import execute
from watcher.core.deliveries import OutboxDepth
from watcher.core.errors import SourceError
from watcher.core.events import StoredEvent, event_type
from watcher.core.settings import LogSettings
from watcher.core.texts import is_id
from watcher.net.url import quote_segment
from watcher.sources.mixpeek.paths import path_of
from watcher.telemetry import logs
from watcher.telemetry.metrics import Metrics

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_SAMPLE = re.compile(r'(# (HELP|TYPE) [^"]*|[a-z_]+(\{([a-z_]+="[^"\\]*",?)+\})? [0-9.e+-]+(Inf)?)')
_MOST_LINES = 20_000
_LABEL_BYTES = 128
_FIELDS = ("task_id", "status", "task_type", "state", "error_message")
_NO_TIMES = ("added_at", "first_seen_at", "changed_at", "polled_at", "next_poll_at", "lost_at")
_UPSTREAM = (
    "GET /v1/tasks/{task_id}",
    "DELETE /v1/tasks/{task_id}",
    "POST /v1/buckets/{task_id}/batches/{task_id}/cancel",
    "GET /v1/buckets/{task_id}/batches/{task_id}",
)
_OWN = ("/v1/watches/{}", "/v1/channels/{}/pause", "/v1/sources/{}/buckets/{}/batches/{}/cancel")


class _Daemon(BaseHTTPRequestHandler):
    """Answers each command with the texts of the batch; a removal with a problem of one text."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet for each answer
    texts: Sequence[str] = ()
    items: Sequence[Mapping[str, Any]] = ()

    def do_GET(self) -> None:
        if self.path.startswith("/v1/watches/"):
            transitions = [
                {
                    **dict.fromkeys(("previous_status", "status", "at", "event_id"), text),
                    "sequence": n,
                }
                for n, text in enumerate(self.texts)
            ]
            self._answer(200, {**self.items[0], "transitions": transitions})
        else:
            self._answer(200, {"items": self.items, "next_cursor": None})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.do_GET()

    def do_DELETE(self) -> None:
        self._answer(
            409, {"detail": self.texts[int(self.path.rpartition("/")[2]) % len(self.texts)]}
        )

    def _answer(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served() -> Iterator[None]:
    """Serve the daemon that the commands connect to, on a free port of loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Daemon)
    server.daemon_threads = True
    Thread(target=server.serve_forever, args=(0.01,)).start()
    wide = {"WATCHER_URL": f"http://127.0.0.1:{server.server_port}", "COLUMNS": "1000000"}
    try:
        with mock.patch.dict(os.environ, wide):
            yield
    finally:
        server.shutdown()
        server.server_close()


class _Stream(io.StringIO):
    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


def _run(*arguments: str, on_terminal: bool = False) -> tuple[str, str]:
    """Run a command in this process; return what it wrote to both streams, without our colours."""
    written, errors = _Stream(terminal=on_terminal), _Stream(terminal=on_terminal)
    with redirect_stdout(written), redirect_stderr(errors), suppress(SystemExit):
        execute(arguments)
    return _COLOURS.sub("", written.getvalue()), _COLOURS.sub("", errors.getvalue())


def _counted(tally: Tally, surface: str, text: str, expected: int) -> None:
    """Look at all lines of `text`, and at how many they are."""
    found = lines(text.removesuffix("\n"))
    for line in found:
        tally.add(surface, line)
    if len(found) != expected:
        tally.add(surface, text, Fault("line", f"{len(found)} lines, not {expected}"))


def terminal(texts: Sequence[str], tally: Tally) -> None:
    """Print tables, values, JSON and errors with `texts`."""
    _Daemon.texts = texts
    _Daemon.items = [
        {**dict.fromkeys(_FIELDS, text), "labels": {text: text}, **dict.fromkeys(_NO_TIMES)}
        for text in texts
    ]
    for on_terminal in (False, True):
        written, _ = _run("ls", on_terminal=on_terminal)
        _counted(tally, "table", written, len(texts) + 1)
    written, _ = _run("show", "t")
    _counted(tally, "values", written, len(_Daemon.items[0]) + 2 + len(texts))
    for number, line in enumerate(lines(written.removesuffix("\n"))[: len(_Daemon.items[0])]):
        if not line.startswith(f"{[*_Daemon.items[0]][number]}:"):
            tally.add("values", line, Fault("line", line))
    _json(tally)
    _, errors = _run("rm", *map(str, range(len(texts) + 1)))
    _counted(tally, "errors", errors, len(texts) + 1)
    for text in texts:
        _, errors = _run(text or "x", on_terminal=True)
        _counted(tally, "errors", errors, 1)
    _configuration(texts, tally)


def _json(tally: Tally) -> None:
    written, _ = _run("tasks", "--source", "mixpeek", "--limit", "0", "--json")
    if json.loads(written) != json.loads(json.dumps(_Daemon.items)):
        tally.add("--json", written, Fault("line", "another value"))
    expected = json.dumps(_Daemon.items, indent=2, ensure_ascii=True).count("\n") + 1
    _counted(tally, "--json", written, expected)


def _configuration(texts: Sequence[str], tally: Tally) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "watcher.yaml"
        unknown = {f"{number}{text}": text for number, text in enumerate(texts)}
        file.write_text(json.dumps({"sources": [{"api_key": "k" * 16, **unknown}], **unknown}))
        _, errors = _run("config", "check", str(file))
        for line in lines(errors.removesuffix("\n")):
            forged = [] if line.startswith("watcher: ") else [Fault("line", line)]
            tally.add("errors", line, *forged)


def log(texts: Sequence[str], tally: Tally) -> None:
    """Log `texts` as messages, arguments and errors, in both formats."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        for form, on_terminal in (("text", False), ("text", True), ("json", False)):
            stream = _Stream(terminal=on_terminal)
            settings = LogSettings.model_validate({"format": form})
            logs.configure(settings, stream=stream)
            for text in texts:
                stream.seek(0)
                stream.truncate()
                root.error("%s", text, exc_info=ValueError(text))
                logs.flush(60)
                shown = _COLOURS.sub("", stream.getvalue()).removesuffix("\n")
                faults = _log_faults(form, text, shown)
                tally.add(f"log, {form}", shown, *faults)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.captureWarnings(False)


def _log_faults(form: str, text: str, shown: str) -> list[Fault]:
    first, *further = lines(shown)
    if form == "text":
        return [Fault("line", line) for line in further if not line.startswith("    ")]
    message = json.loads(first)["message"]
    forged = further or (message != json.loads(json.dumps(text)) and len(message) < 4096)
    return [Fault("line", shown)] if forged else []


def labels(texts: Sequence[str], tally: Tally) -> None:
    """Let `texts` be whatever becomes a label, and look at the scrape."""
    registry = CollectorRegistry()
    metrics = Metrics(registry, "test")
    source = metrics.source("mixpeek")
    for text in texts:
        source.transitioned(text, text)
        source.requested("GET /", text, 0.1)
        metrics.rule("mixpeek", text)
        metrics.overflowed(text, 1)
    metrics.outbox({text: OutboxDepth.empty(text) for text in texts}, now=0.0)
    scrape = generate_latest(registry).decode("utf-8", "surrogatepass")
    found = lines(scrape.removesuffix("\n"))
    forged = [Fault("line", line) for line in found if not _SAMPLE.fullmatch(line)]
    if len(found) > _MOST_LINES:
        forged.append(Fault("line", f"{len(found)} lines"))
    tally.add("labels", scrape, *forged)
    for family in families(scrape):
        for sample in family.samples:
            for value in sample.labels.values():
                long = len(value.encode("utf-8", "surrogatepass")) > _LABEL_BYTES
                tally.add("labels", value, *([Fault("line", value)] if long else []))


def paths(texts: Sequence[str], tally: Tally) -> None:
    """Let `texts` be the IDs in paths: of upstream, which take IDs only, and of our own API."""
    for text in texts:
        for route in _UPSTREAM:
            names = {"task_id": text}
            try:
                path = path_of(route, **names)
            except SourceError:
                if is_id(text):
                    tally.add("path", text, Fault("route", "rejected"))
                continue
            tally.add("path", path, *foreign(route.partition(" ")[2], "{task_id}", path, text))
        sent = text.encode("utf-8", "ignore").decode()
        for template in _OWN if sent else ():
            path = template.replace("{}", quote_segment(sent))
            tally.add("path", path, *foreign(template, "{}", path, sent))
        frame_of(sent, tally)


def foreign(template: str, placeholder: str, path: str, text: str) -> list[Fault]:
    """Return a fault unless what is sent is the path of `template` with `text` in each place."""
    try:
        target = httpx.URL(f"https://upstream.example{path}").raw_path.decode("ascii")
    except httpx.InvalidURL:  # too long: nothing is sent
        return []
    segments = [unquote(segment) for segment in target.split("/")]
    expected = [text if part == placeholder else part for part in template.split("/")]
    resolved = "?" in target or any(segment in (".", "..") for segment in target.split("/"))
    return [Fault("route", target)] if resolved or segments != expected else []


def frame_of(text: str, tally: Tally) -> None:
    """Let an event stream have an event with `text`, and with line breaks between the values."""
    event = StoredEvent(
        id=1,
        event_id="msg_1",
        type=event_type(text),
        at=0.0,
        body=json.dumps({"data": {text: text}}, indent=1).replace("\n", "\r\n").encode(),
        sequence=1,
        previous_status=None,
        status=text,
    )
    frames = re.split(r"\r\n|\n|\r", frame(event).decode())
    known = ("id: 1", "event: task.", "data: ")
    forged = [Fault("line", line) for line in frames[:-2] if not line.startswith(known)]
    tally.add("event stream", "", *forged)
