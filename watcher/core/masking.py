"""Hides secrets in every text that leaves the process.

One registry for the whole process: reading settings adds their secrets, and every exit masks
with it: errors where they arise, what others send where it enters, the log, and problems of the
API. A secret that has been replaced stays hidden, because a peer may quote it later.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from watcher.core.secret_parts import SHORTEST, all_parts, samples, spellings

MASK = "********"
MOST_VALUES = 2000
"""Values that are hidden; beyond, those that were added first are not any more."""
_LONG = 8
"""Shorter values are hidden only as whole words, because they may be a part of any word."""
_JSON_TEXT = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


class Mask:
    """Hides the secrets that it was given, their parts, and other spellings of them."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._values: dict[str, None] = {}
        self._pattern: re.Pattern[str] | None = None
        self._long: re.Pattern[str] | None = None
        self._samples: re.Pattern[bytes] | None = None
        self._longest = 0
        self.add(secrets)

    def add(self, secrets: Iterable[str], *, public: Iterable[str] = ()) -> None:
        """Hide `secrets` from now on; a part that is also a `public` name stays visible."""
        added = dict.fromkeys(all_parts(secrets, public))
        values = [*(value for value in self._values if value not in added), *added][-MOST_VALUES:]
        if values != [*self._values]:
            self._values = dict.fromkeys(values)
            self._compile()

    def text(self, text: str, limit: int | None = None) -> str:
        """Return `text` with each secret as asterisks; its first `limit` characters if set.

        A secret is hidden as a whole where the limit would cut it.
        """
        if self._pattern is None or not text:
            return text[:limit]
        if limit is None or len(text) <= limit + self._longest:
            return self._pattern.sub(MASK, text)[:limit]
        window = text[: limit + self._longest]
        cut = limit
        for found in self._pattern.finditer(window):
            if found.start() < limit < found.end():
                cut = found.end()
        return self._pattern.sub(MASK, window[:cut])[:limit]

    def cut(self, text: str, limit: int) -> str:
        """Return `text` masked and cut to `limit` characters, of which an ellipsis is the last."""
        shown = self.text(text, limit + 1)
        is_whole = len(shown) <= limit and len(text) <= limit + 1 + self._longest
        return shown if is_whole else f"{shown[: limit - 1]}…"

    def raw_json(self, raw: bytes) -> bytes:
        """Return JSON with its texts masked, and all else the same byte for byte.

        Values of fewer than 8 characters stay: results of a task may contain them by chance. Most
        JSON has no secret, and the search for samples takes an eighth of masking each text.
        """
        if self._samples is None or self._samples.search(raw) is None:
            return raw
        return _JSON_TEXT.sub(self._masked_json_text, raw)

    def _masked_json_text(self, found: re.Match[bytes]) -> bytes:
        if self._samples is None or self._long is None or not self._samples.search(found[0]):
            return found[0]
        text = json.loads(found[0].decode(errors="replace"), strict=False)
        masked = self._long.sub(MASK, text)
        if masked == text:
            return found[0]
        return json.dumps(masked, ensure_ascii=False).encode(errors="backslashreplace")

    def json(self, value: Any) -> Any:
        """Return a JSON value with each of its texts masked."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(name)): self.json(member) for name, member in value.items()}
        if isinstance(value, list | tuple):
            return [self.json(member) for member in value]
        return value

    def _compile(self) -> None:
        texts = {text for value in self._values for text in spellings(value)}
        long = {text for text in texts if len(text) >= _LONG}
        words = {text for text in texts - long if len(text) >= SHORTEST}
        self._longest = max(map(len, texts), default=0)
        patterns = [_any_of(long)] if long else []
        self._long = re.compile(patterns[0]) if long else None
        searched = {sample for value in self._values for sample in samples(value, _LONG)}
        self._samples = re.compile(_any_of(searched).encode()) if searched else None
        if words:
            patterns.append(rf"(?<!\w)(?:{_any_of(words)})(?!\w)")
        self._pattern = re.compile("|".join(patterns)) if patterns else None


def _any_of(texts: Iterable[str]) -> str:
    """Return a pattern for the longest of `texts`, as a tree of their beginnings.

    Trying hundreds of texts at each character of a line would take ten times as long.
    """
    beginnings: dict[str, list[str]] = {}
    for text in sorted(texts):
        beginnings.setdefault(text[:1], []).append(text)
    optional = beginnings.pop("", None) is not None
    branches = []
    for group in beginnings.values():
        common = _common_length(group[0], group[-1])
        rests = _any_of(text[common:] for text in group) if len(group) > 1 else ""
        branches.append(re.escape(group[0][:common]) + rests)
    if len(branches) == 1 and not optional:
        return branches[0]
    return f"(?:{'|'.join(branches)}){'?' if optional else ''}"


def _common_length(first: str, last: str) -> int:
    pairs = enumerate(zip(first, last, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(first), len(last)))


SECRETS = Mask()
"""The secrets of this process."""
