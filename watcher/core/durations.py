"""Durations as people read them: the same in the log, in messages and in the commands. Pure."""

_UNITS = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))


def format_duration(seconds: float) -> str:
    """Format a duration with its two largest units: `42 s`, `3 min 5 s`, `2 h 10 min`."""
    whole = int(seconds)
    for size, unit, smaller_size, smaller_unit in _UNITS:
        if whole >= size:
            rest = whole % size // smaller_size
            return f"{whole // size} {unit}" + (f" {rest} {smaller_unit}" if rest else "")
    return f"{whole} s" if whole or seconds <= 0 else f"{seconds:.1f} s"


def rounded_duration(seconds: float) -> str:
    """Format a duration without the seconds beyond a minute: `42 s`, `41 min`, `2 h 10 min`."""
    return format_duration(int(seconds) if seconds < 60 else seconds - seconds % 60)
