"""Lists: printed as they arrive, each row on one line, whole IDs whatever the terminal's width."""

import io
import json
import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.harness import Terminal
from watcher.cli.tables import FIRST_PAGE, PAGE, print_items, print_table

COLUMNS = ("task_id", "status")


def printed(items: list[dict[str, Any]], terminal: bool) -> list[str]:
    with redirect_stdout(Terminal() if terminal else io.StringIO()) as output:
        print_table(COLUMNS, items)
    return re.sub(r"\x1b\[\d*m", "", output.getvalue()).splitlines()


@pytest.mark.parametrize("terminal", [False, True])
def test_no_cell_is_folded_or_cut(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    task_id = "t" * 256
    _, row, short = printed(
        [{"task_id": task_id, "status": "FAILED"}, {"task_id": "a", "status": "x" * 100}], terminal
    )
    assert row == f"{task_id}  FAILED"
    assert short == f"a{' ' * 257}{'x' * 100}"


@pytest.mark.parametrize("terminal", [False, True])
def test_wide_characters_take_two_columns(terminal: bool) -> None:
    rows = [{"task_id": "日本", "status": "A"}, {"task_id": "e\u0301", "status": "B"}]
    assert printed(rows, terminal)[1:] == ["日本     A", "e\u0301        B"]


def pages(requested: list[int], count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        requested.append(number)
        yield {"task_id": str(number), "status": None}


@pytest.mark.parametrize("as_json", [False, True])
def test_a_page_is_printed_before_the_next_is_requested(as_json: bool) -> None:
    seen: list[tuple[int, int]] = []
    requested: list[int] = []

    class Stream(io.StringIO):
        def flush(self) -> None:
            seen.append((len(requested), self.getvalue().count("\n")))

    with redirect_stdout(Stream()):
        items = pages(requested, FIRST_PAGE + PAGE + 1)
        if as_json:
            print_items(items)
        else:
            print_table(COLUMNS, items)
    assert [count for count, _ in seen][:2] == [FIRST_PAGE, FIRST_PAGE + PAGE]
    assert seen[0][1] > FIRST_PAGE - 1


@given(count=st.integers(min_value=0, max_value=PAGE + FIRST_PAGE + 2))
def test_json_is_one_array_of_all_items(count: int) -> None:
    items = [{"task_id": f"t{number}\x1b", "labels": {}} for number in range(count)]
    with redirect_stdout(io.StringIO()) as output:
        print_items(items)
    assert output.getvalue() == json.dumps(items, indent=2, ensure_ascii=True) + "\n"
