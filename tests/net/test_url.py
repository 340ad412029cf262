"""Parts of URLs."""

import pytest

from watcher.net.url import quote_segment


@pytest.mark.parametrize(
    ("text", "segment"),
    [
        ("task_1", "task_1"),
        ("a/b c", "a%2Fb%20c"),
        ("a?b#c%", "a%3Fb%23c%25"),
        ("ü", "%C3%BC"),
        ("", ""),
        (".", "%2E"),
        ("..", "%2E%2E"),
        ("..a", "..a"),
    ],
)
def test_a_segment_holds_no_delimiter_of_a_url(text: str, segment: str) -> None:
    assert quote_segment(text) == segment
