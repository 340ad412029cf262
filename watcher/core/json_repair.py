"""Repairs JSON that strict decoders reject: a value that cannot be represented becomes null.

APIs send NaN and Infinity, halves of surrogate pairs, bytes that are not UTF-8, numbers of
thousands of digits, and nesting without end. One such value must not hide what surrounds it.
Nothing here recurses, and every pattern is possessive, so no text takes more than linear time.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec

MAX_DEPTH = 60
"""Brackets within brackets; what is nested deeper becomes null. Some parsers give up at 64."""

_MAX_NUMBER_LENGTH = 1000
_MAX_PATHS = 100
_TOO_DEEP = 500
_MAX_NAME_LENGTH = 100

_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_TOKEN = re.compile(_STRING + rb'|[{}\[\],:]|[^\s{}\[\],:"]+|"', re.DOTALL)
_BRACKET = re.compile(_STRING + rb"|[{}\[\]]", re.DOTALL)
_BRACKET_OR_COMMA = re.compile(_STRING + rb"|[{}\[\],]", re.DOTALL)
_NAME = re.compile(rb"\s*(" + _STRING + rb")\s*:", re.DOTALL)
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_SUSPICIOUS = re.compile(rb"[0-9]{309}|[eE][+-]?[0-9]{3}")
_LITERALS = frozenset({b"true", b"false", b"null"})
_OPEN, _CLOSE, _COMMA, _QUOTE = b"{[", b"}]", b",", b'"'

_decode_string = msgspec.json.Decoder(str).decode
_encode = msgspec.json.Encoder().encode


def is_suspicious(text: bytes | msgspec.Raw) -> bool:
    """Return whether JSON that a decoder accepts may hold a value that others cannot represent.

    A decoder that skips a value checks neither its numbers nor its encoding.
    """
    if _SUSPICIOUS.search(text):
        return True
    try:
        str(text, "utf-8")
    except UnicodeDecodeError:
        return True
    return False


def is_deep(text: bytes) -> bool:
    """Return whether brackets are nested deeper than parsers take. Some decoders do, some do not,
    depending on the version of Python.
    """
    if text.count(b"[") + text.count(b"{") <= _TOO_DEEP:
        return False
    depth = 0
    for match in _BRACKET.finditer(text):
        first = match[0][:1]
        if first in _OPEN:
            depth += 1
            if depth > _TOO_DEEP:
                return True
        elif first in _CLOSE:
            depth -= 1
    return False


def repaired(text: bytes) -> tuple[bytes, Sequence[str]]:
    """Return the text with null for each value that cannot be represented, and their paths.

    A path is such as `outputs[0].score`. Raises `ValueError` if a bracket or a quote is not closed.
    """
    repair = _Repair()
    for match in _TOKEN.finditer(text):
        repair.add(match[0])
    return repair.result()


def members(text: bytes) -> Mapping[str, bytes]:
    """Return the members of an object, each value as it is. Raises `ValueError` for other text."""
    found = {}
    for part in _parts(text, b"{"):
        name = _NAME.match(part)
        if name is None:
            raise ValueError("a member without a name")
        found[_text(name[1])] = part[name.end() :]
    return found


def elements(text: bytes) -> Sequence[bytes]:
    """Return the elements of an array as they are. Raises `ValueError` for other text."""
    return list(_parts(text, b"["))


def _parts(text: bytes, opening: bytes) -> Iterator[bytes]:
    """Yield what the commas within the outermost brackets separate."""
    if text.lstrip()[:1] != opening:
        raise ValueError("another bracket was expected")
    depth = begin = position = 0
    while match := (_BRACKET_OR_COMMA if depth == 1 else _BRACKET).search(text, position):
        start, position = match.span()
        first = text[start : start + 1]
        if first in _OPEN:
            depth += 1
            begin = position if depth == 1 else begin
        elif first in _CLOSE:
            depth -= 1
            if depth == 0:
                if last := text[begin:start].strip():
                    yield last
                return
        elif first == _COMMA:
            yield text[begin:start].strip()
            begin = position
    raise ValueError("a bracket is not closed")


class _Bracket:
    """An object or an array that is not closed yet, and where in it the next token belongs."""

    __slots__ = ("awaits_name", "begin", "is_object", "place")

    def __init__(self, is_object: bool, begin: int) -> None:
        self.is_object = is_object
        self.awaits_name = is_object
        self.begin = begin
        self.place: str | int = 0

    def next(self) -> None:
        self.awaits_name = self.is_object
        if isinstance(self.place, int):
            self.place += 1


class _Repair:
    """Takes token after token and keeps the repaired text."""

    def __init__(self) -> None:
        self._output: list[bytes] = []
        self._paths: list[str] = []
        self._open: list[_Bracket] = []
        self._skipped_depth = 0

    def add(self, token: bytes) -> None:
        if token in _OPEN:
            self._enter(token)
        elif token in _CLOSE:
            self._leave(token)
        elif self._skipped_depth == 0:
            self._add_within(token)

    def result(self) -> tuple[bytes, Sequence[str]]:
        if self._open or self._skipped_depth:
            raise ValueError("a bracket is not closed")
        return b"".join(self._output), self._paths

    def _add_within(self, token: bytes) -> None:
        bracket = self._open[-1] if self._open else None
        if token == _COMMA and bracket is not None:
            bracket.next()
            self._output.append(token)
        elif token == b":":
            self._output.append(token)
        elif bracket is not None and bracket.awaits_name:
            bracket.place, bracket.awaits_name = _text(token), False
            self._output.append(_encode(bracket.place))
        elif _is_representable(token):
            self._output.append(token)
        else:
            self._drop()

    def _enter(self, token: bytes) -> None:
        if self._skipped_depth:
            self._skipped_depth += 1
        elif len(self._open) == MAX_DEPTH:
            self._skip_nesting()
        else:
            self._open.append(_Bracket(token == b"{", len(self._output)))
            self._output.append(token)

    def _skip_nesting(self) -> None:
        """Drop the value that is nested too deeply, from where its endless repetition began."""
        first = MAX_DEPTH - 1
        while first > 0 and self._open[first - 1].place == self._open[-1].place:
            first -= 1
        self._skipped_depth = MAX_DEPTH - first + 1
        del self._output[self._open[first].begin :]
        del self._open[first:]
        self._drop()

    def _leave(self, token: bytes) -> None:
        if self._skipped_depth:
            self._skipped_depth -= 1
            return
        if not self._open:
            raise ValueError("a bracket is closed that was not opened")
        self._open.pop()
        self._output.append(token)

    def _drop(self) -> None:
        self._output.append(b"null")
        if len(self._paths) < _MAX_PATHS:
            self._paths.append(_path(bracket.place for bracket in self._open))


def _path(places: Iterator[str | int]) -> str:
    text = "".join(
        f"[{place}]" if isinstance(place, int) else f".{place[:_MAX_NAME_LENGTH]}"
        for place in places
    )
    return text.removeprefix(".")


def _text(token: bytes) -> str:
    """Return the text of a string, with replacement characters for what it cannot be."""
    try:
        return _decode_string(token)
    except (msgspec.DecodeError, UnicodeError):
        return token.strip(_QUOTE).decode("ascii", "replace")


def _is_representable(token: bytes) -> bool:
    if token.startswith(_QUOTE):
        try:
            _decode_string(token)
        except (msgspec.DecodeError, UnicodeError):
            return False
        return True
    if token in _LITERALS:
        return True
    return (
        len(token) <= _MAX_NUMBER_LENGTH
        and _NUMBER.fullmatch(token) is not None
        and math.isfinite(float(token))
    )
