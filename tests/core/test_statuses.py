"""Upstream's words for statuses."""

import pytest

from watcher.core.statuses import StatusTable
from watcher.core.tasks import KNOWN_STATUSES


@pytest.mark.parametrize("status", sorted(KNOWN_STATUSES))
def test_case_and_separators_do_not_matter(status: str) -> None:
    table = StatusTable()
    spellings = (status, status.lower(), status.title(), status.replace("_", "-"))
    spaced = (status.replace("_", " "), f" {status} ", status.title().replace("_", ""))
    assert {table.canonical(word) for word in (*spellings, *spaced)} == {status}


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("CANCELLED", "CANCELED"),
        ("aborted", "CANCELED"),
        ("completed-with-errors", "COMPLETED_WITH_ERRORS"),
        ("Completed With Errors", "COMPLETED_WITH_ERRORS"),
        ("SUCCESS", "COMPLETED"),
        ("SUCCEEDED", "COMPLETED"),
        ("ERROR", "FAILED"),
        ("Errored", "FAILED"),
        ("TIMED_OUT", "FAILED"),
        ("timed out", "FAILED"),
        ("EXPIRED", "FAILED"),
    ],
)
def test_other_words_for_an_end(word: str, status: str) -> None:
    assert StatusTable().canonical(word) == status


@pytest.mark.parametrize(
    ("word", "status"),
    [("re-indexing", "RE-INDEXING"), ("NEW", "NEW"), (" odd ", "ODD"), ("", ""), (" ", "")],
)
def test_an_unknown_word_is_its_own_status(word: str, status: str) -> None:
    assert StatusTable().canonical(word) == status


@pytest.mark.parametrize("value", [None, 7, [], "x" * 101, "a\nb", "a\u3164", "a\u2028b"])
def test_what_cannot_be_a_status(value: object) -> None:
    assert StatusTable().canonical(value) == ""


def test_a_source_adds_words() -> None:
    table = StatusTable({"Delivered": "COMPLETED", "ERROR": "CANCELED"})
    assert table.canonical("DELIVERED") == "COMPLETED"
    assert table.canonical("error") == "CANCELED"
