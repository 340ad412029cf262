"""Numbers, durations and sizes as people read them. Pure."""

from watcher.core.clock import rfc3339
from watcher.core.durations import format_duration


def number(value: float) -> str:
    """Return a number with thousands separated."""
    return f"{value:,}"


def duration(seconds: float) -> str:
    """Return seconds as people read them; below one, milliseconds."""
    if seconds <= 0:
        return "0 s"
    if seconds < 0.9995:
        return f"{seconds * 1000:.{0 if seconds >= 0.01 else 1}f} ms"
    return f"{seconds:.1f} s" if seconds < 60 and seconds % 1 >= 0.05 else format_duration(seconds)


def plural(count: int, one: str, several: str | None = None) -> str:
    """Return `1 task`, `2,000 tasks`."""
    return f"{count:,} {one if count == 1 else several or f'{one}s'}"


def utc(seconds: float) -> str:
    """Return Unix seconds as a time of day: `2026-11-23 07:00:00 UTC`."""
    text = rfc3339(seconds)
    return f"{text[:10]} {text[11:19]} UTC"


def bytes_of(count: int) -> str:
    """Return a number of bytes: `249 MiB`."""
    size, unit = float(count), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:,.0f} {unit}" if size >= 10 or unit == "bytes" else f"{size:,.1f} {unit}"
