"""The page's own files, each under an address made from its content."""

import hashlib
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).with_name("static")
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@cache
def content_of(name: str) -> tuple[bytes, str] | None:
    """Return the bytes and the media type of an asset; None if no asset has this name."""
    if name not in names():
        return None
    path = _FOLDER / name
    return path.read_bytes(), _TYPES[path.suffix]


@cache
def names() -> frozenset[str]:
    """Return the names of all assets."""
    return frozenset(path.name for path in _FOLDER.iterdir() if path.suffix in _TYPES)


@cache
def digest_of(name: str) -> str:
    """Return what stands for the content of an asset in its address."""
    return hashlib.sha256((_FOLDER / name).read_bytes()).hexdigest()[:12]


@cache
def address_of(name: str) -> str:
    """Return the address of an asset, relative to the overview."""
    return f"static/{name}?v={digest_of(name)}"
