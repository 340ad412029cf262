"""Every log line about a source, channel, task or delivery has it as a field too."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "watcher"
FIELDS = {
    "source": "source",
    "channel": "channel",
    "task": "task_id",
    "delivery": "delivery_id",
}
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
OF_ONE_THING = ("polling", "delivery")
"""Rooms in which every line is about a source or a channel."""


def calls(tree: ast.Module) -> Iterator[ast.Call]:
    """Yield the calls that log: of a logger, and of `log` in a route of the API."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            match node.func:
                case ast.Attribute(value=ast.Name(id="logger"), attr=attr) if attr in LEVELS:
                    yield node
                case ast.Name(id="log"):
                    yield node


def texts(tree: ast.AST) -> str:
    """Return all words of an expression."""
    parts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return "".join(part for part in parts if isinstance(part, str))


def named(call: ast.Call, tree: ast.Module) -> set[str]:
    """Return the fields of a call; where they are made elsewhere, all that the module makes."""
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    extra = keywords.get("extra")
    if extra is None:
        return {str(name) for name in keywords}
    makers = [*_makers(extra)] or [*_makers(tree)]
    return {str(keyword.arg) for node in makers for keyword in node.keywords}


def _makers(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "about":
            yield node


def missing(source: str, room: str) -> list[str]:
    """Return what the log calls of a module lack."""
    tree = ast.parse(source)
    found = []
    for call in calls(tree):
        text, fields = texts(call.args[0]), named(call, tree)
        found += [
            f"{call.lineno}: {field}"
            for word, field in FIELDS.items()
            if re.search(rf"\b{word} (ID )?%[\d.]*[rsd]", text) and field not in fields
        ]
        if room in OF_ONE_THING and not fields & set(FIELDS.values()):
            found.append(f"{call.lineno}: source or channel")
    return found


def test_every_log_call_has_the_fields_of_its_words() -> None:
    lacking = {}
    count = 0
    for module in ROOT.rglob("*.py"):
        source = module.read_text()
        if "logger" in source or "Logged" in source:
            count += 1
            lacking[module.name] = missing(source, module.relative_to(ROOT).parts[0])
    assert {name: found for name, found in lacking.items() if found} == {}
    assert count > 30


@pytest.mark.parametrize(
    ("line", "room", "expected"),
    [
        ('logger.info("channel %r: %s", name, why)', "daemon", ["1: channel"]),
        ('logger.info("channel %r", name, extra=about(channel=name))', "daemon", []),
        ('logger.info("the task %.150r", one, extra=about(source=s))', "api", ["1: task_id"]),
        ('logger.error("%s; will retry", error)', "polling", ["1: source or channel"]),
        ('log("retried delivery %d", one)', "api", ["1: delivery_id"]),
        ('log("retried delivery %d", one, delivery_id=one)', "api", []),
        ('fields = about(task_id=t, source=s)\nlogger.info("task %r", t, extra=fields)', "api", []),
    ],
)
def test_the_rule_finds_a_call_without_its_fields(
    line: str, room: str, expected: list[str]
) -> None:
    assert missing(line, room) == expected
