"""The limits of AGENTS.md on the size of modules and classes hold."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLASS_LIMIT = 200
MODULE_LIMIT = 400

LARGEST = "class Largest:\n" + "    # line\n" * (CLASS_LIMIT - 2) + "    size = 1\n"
NESTED = "def f() -> None:\n    @final\n    class Nested:\n        size = 1\n"


def classes(source: str) -> Iterator[tuple[str, int]]:
    """Yield the name and the lines of each class, nested ones and decorators included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef):
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            yield node.name, (node.end_lineno or first) - first + 1


def test_no_class_is_longer_than_200_lines() -> None:
    too_long = [
        f"{path.relative_to(ROOT)}: {name} has {lines} lines"
        for tree in ("watcher", "tests", "bench", "scripts")
        for path in (ROOT / tree).rglob("*.py")
        for name, lines in classes(path.read_text())
        if lines > CLASS_LIMIT
    ]
    assert not too_long, "\n".join(too_long)


def test_no_module_is_longer_than_400_lines() -> None:
    too_long = [
        f"{path.relative_to(ROOT)}: {lines} lines"
        for path in (ROOT / "watcher").rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > MODULE_LIMIT
    ]
    assert not too_long, "\n".join(too_long)


@pytest.mark.parametrize(
    ("source", "lines"), [(LARGEST, CLASS_LIMIT), (NESTED, 3)], ids=["largest", "nested"]
)
def test_the_lines_of_a_class_are_counted(source: str, lines: int) -> None:
    assert [counted for _, counted in classes(source)] == [lines]
