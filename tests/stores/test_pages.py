"""Cursors of pages."""

import pytest

from watcher.stores._pages import next_cursor, page_start


def test_a_page_without_a_cursor_begins_above_every_id() -> None:
    assert page_start(None) == 2**63 - 1


def test_a_cursor_is_the_last_id_of_its_page() -> None:
    assert next_cursor([(9,), (8,), (7,)], 2) == "8"
    assert next_cursor([(9,), (8,)], 2) is None
    assert page_start("8") == 8


@pytest.mark.parametrize("cursor", ["", "-1", "1.5", "٣", "9" * 19])
def test_an_invalid_cursor_raises_a_value_error(cursor: str) -> None:
    with pytest.raises(ValueError, match="invalid cursor"):
        page_start(cursor)
