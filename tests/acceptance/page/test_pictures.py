"""The pictures of the page in docs/: they can be made, and are small."""

from pathlib import Path

import pytest

from scripts.pictures.pages import DOCS, LOOKS, PAGES, draw

pytestmark = pytest.mark.anyio

MOST_BYTES = 150_000


@pytest.mark.parametrize("look", LOOKS)
async def test_the_pictures_can_be_made(look: str, tmp_path: Path) -> None:
    drawn = await draw(tmp_path, [look])
    assert [path.name for path in drawn] == [f"page-{title}-{look}.webp" for title in PAGES]
    for path in drawn:
        assert 10_000 < path.stat().st_size < MOST_BYTES
        assert (DOCS / path.name).stat().st_size < MOST_BYTES
