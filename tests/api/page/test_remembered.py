"""Rows that are rendered again only when their records have changed."""

from dataclasses import dataclass, field

from markupsafe import Markup

from watcher.api.page.remembered import RememberedRows


@dataclass
class Row:
    """A macro that counts how often it is called."""

    name: str = "row"
    length: int = 1
    shown: list[object] = field(default_factory=list)

    def __call__(self, record: object, *around: object) -> Markup:
        self.shown.append(record)
        return Markup("<tr>{}{}{}").format(record, around, "x" * self.length)


def test_a_row_is_rendered_again_when_its_record_has_changed() -> None:
    again, row = RememberedRows(), Row()
    first = again(row, 1, {"status": "PENDING"}, "./")
    assert again(row, 1, {"status": "PENDING"}, "./") is first
    assert again(row, 1, {"status": "FAILED"}, "./") != first
    assert len(row.shown) == 2


def test_what_is_around_a_row_makes_another_one() -> None:
    again, row = RememberedRows(), Row()
    shown = {
        again(row, 1, "a", "./"),
        again(row, 1, "a", "../"),
        again(row, 2, "a", "./"),
        again(Row(name="other", length=2), 1, "a", "./"),
    }
    assert len(shown) == 3  # the second key has the same record
    assert len(row.shown) == 3


def test_rows_that_were_shown_long_ago_are_forgotten() -> None:
    again, row = RememberedRows(), Row()
    for number in range(1001):
        again(row, number, number)
    again(row, 1000, 1000)
    again(row, 0, 0)
    assert row.shown == [*range(1001), 0]


def test_a_long_row_is_not_kept() -> None:
    again, row = RememberedRows(), Row(length=5000)
    again(row, 1, "a")
    again(row, 1, "a")
    assert len(row.shown) == 2
