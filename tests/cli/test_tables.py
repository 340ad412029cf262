"""Lists: printed as they arrive, one line a row, with whole IDs whatever the terminal's width;
texts are cut to it, on a terminal only.
"""

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
from watcher.cli.fitting import fit
from watcher.cli.tables import FIRST_PAGE, PAGE, print_items, print_table

COLUMNS = ("task_id", "status")


def printed(items: list[dict[str, Any]], terminal: bool) -> list[str]:
    with redirect_stdout(Terminal() if terminal else io.StringIO()) as output:
        print_table(COLUMNS, items)
    return re.sub(r"\x1b\[\d*m", "", output.getvalue()).splitlines()


@pytest.mark.parametrize("terminal", [False, True])
def test_no_id_is_folded_or_cut(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    task_id = "t" * 256
    _, row, short = printed(
        [{"task_id": task_id, "status": "FAILED"}, {"task_id": "a", "status": "x" * 100}], terminal
    )
    assert row == f"{task_id}  FAILED"
    assert short == f"a{' ' * 257}{'x' * 100}"


def printed_tasks(terminal: bool) -> list[str]:
    columns = ("task_id", "status", "state", "task_type", "changed", "labels")
    task = {
        "task_id": "0f8fad5b-d9cb-469f-a165-70867728950e",
        "status": "IN_PROGRESS",
        "state": "active",
        "task_type": "api_buckets_batches_process",
        "changed": "5m",
        "labels": {"team": "日本語" * 9},
    }
    with redirect_stdout(Terminal() if terminal else io.StringIO()) as output:
        print_table(columns, [task], optional=("state", "labels", "task_type"))
    return re.sub(r"\x1b\[\d*m", "", output.getvalue()).splitlines()


@pytest.mark.parametrize(
    ("columns", "row"),
    [
        (100, "IN_PROGRESS  active  api_buckets_ba…  5m       team=日本語日…"),
        (80, "IN_PROGRESS  api_buckets_batches…  5m"),
        (10, "IN_PROGRESS  5m"),
    ],
)
def test_a_narrow_terminal_gets_shorter_texts_then_fewer_columns(
    columns: int, row: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    task_id, _, shown = printed_tasks(terminal=True)[1].partition("  ")
    assert (task_id, shown) == ("0f8fad5b-d9cb-469f-a165-70867728950e", row)
    assert printed_tasks(terminal=False)[1].endswith("日本語" * 9)


@given(
    widths=st.dictionaries(
        st.sampled_from(["task_id", "status", "labels", "error", "reason", "state"]),
        st.integers(min_value=1, max_value=60),
        min_size=1,
    ),
    terminal=st.integers(min_value=1, max_value=200),
)
def test_a_table_is_as_wide_as_the_terminal_where_names_allow(
    widths: dict[str, int], terminal: int
) -> None:
    fitted = fit(widths, terminal, optional=("state",))

    def total(shown: dict[str, int]) -> int:
        return sum(shown.values()) + 2 * (len(shown) - 1)

    texts = {"labels", "error", "reason"}
    least = {name: min(width, 12) if name in texts else width for name, width in widths.items()}
    least.pop("state", None)
    assert total(dict(fitted)) <= max(terminal, total(least))
    assert all(fitted[name] == widths[name] for name in fitted.keys() - texts)
    assert widths.keys() - fitted.keys() <= {"state"}
    if total(widths) <= terminal:
        assert fitted == widths


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
