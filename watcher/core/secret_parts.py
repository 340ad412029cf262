"""What has to be hidden of a secret: its parts, and the ways in which others write them. Pure.

A receiver quotes the path of a request, a proxy its user, a framework one value of a query. So of a
URL, a header or a signing secret each part is a secret as well, unless it is an ordinary word.
"""

import base64
import binascii
import html
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from watcher.core.signing import bare

SHORTEST = 4
"""Characters; shorter values occur by chance, and hiding them would destroy ordinary text."""
_SHORTEST_UNNAMED = 8
_LONGEST_WORD = 15

_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]+")
_SAMPLE_LENGTH = 12
_RARE_FIRST = "QZXJKqzxjVYWHGBUFMNLRPOETSCDIAkvywbfghpu97865432moldcnrtis~.-_ae10"
"""The characters of a sample, from those that are rare in JSON to those that are common."""

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^?#]*)(?:\?([^#]*))?")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[a-z]{1,10}[-_][a-z]{1,10}|v?[\d.:-]{1,12}")
_HOST = re.compile(r"\[.*\]|localhost|(?:[A-Za-z0-9-]+\.)+[A-Za-z0-9-]+")
_NAMES_A_SECRET = re.compile(r"auth|code|cred|jwt|key|pass|pwd|secret|sig|token", re.IGNORECASE)
_NAMES_A_PASSWORD = re.compile(r"pass(word|wd|phrase)?$|token|secret", re.IGNORECASE)
_BETWEEN_PARTS = re.compile(r"[\s,;=\"']+")
_BASIC = re.compile(r"basic\s+([A-Za-z0-9+/=]+)", re.IGNORECASE)


def parts(secret: str) -> Iterator[str]:
    """Yield a secret and each part of it that is a secret by itself."""
    yield secret
    if " " not in secret or " until=" in secret:
        yield bare(secret)
    if url := _URL.match(secret):
        yield from _url_parts(url[1].lower() in ("http", "https"), url[2], url[3], url[4] or "")
    else:
        yield from _header_parts(secret)


def passwords_in(url: str) -> list[str]:
    """Return what is a secret in a URL that is none itself: its user with a password, and what a
    query has under the name of one.
    """
    if (match := _URL.match(url)) is None:
        return []
    user = match[2].rpartition("@")[0]
    pairs = (pair.partition("=") for pair in (match[4] or "").split("&"))
    return [
        *(_user_parts(user) if ":" in user else ()),
        *(value for name, _, value in pairs if value and _NAMES_A_PASSWORD.search(name)),
    ]


def _url_parts(http: bool, authority: str, path: str, query: str) -> Iterator[str]:
    user, _, host = authority.rpartition("@")
    if user:
        yield from _user_parts(user)
    if not http:  # services have their tokens anywhere
        yield from filter(_is_unnamed_secret, (host, *host.split(":")))
    segments = path.split("/")
    yield from filter(_is_unnamed_secret, segments)
    if len(path) >= _SHORTEST_UNNAMED and not all(map(_is_ordinary, segments)):
        yield from (path, path.strip("/"))
    if query:
        yield from (f"{path}?{query}", query)
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if _NAMES_A_SECRET.search(name) or _is_unnamed_secret(value or name):
            yield value or name


def _user_parts(user: str) -> Iterator[str]:
    """Yield what is a secret of a URL's part before `@`, also as a header has it."""
    yield user
    yield base64.b64encode(unquote(user).encode()).decode()
    name, separator, password = user.partition(":")
    yield password
    if not separator or _is_unnamed_secret(name):
        yield name


def _header_parts(value: str) -> Iterator[str]:
    yield value.partition(" ")[2].strip()  # after the scheme, such as Bearer
    yield from filter(_is_unnamed_secret, _BETWEEN_PARTS.split(value))
    if basic := _BASIC.match(value):
        try:
            user = base64.b64decode(basic[1]).decode()
        except (binascii.Error, ValueError):
            return
        yield from _user_parts(user)


def _is_unnamed_secret(part: str) -> bool:
    return len(part) >= _SHORTEST_UNNAMED and not _is_ordinary(part)


def _is_ordinary(part: str) -> bool:
    """Return whether a part looks like a word, a number, a date, or the name of a host."""
    if _HOST.fullmatch(part) or not part:
        return True
    return len(part) <= _LONGEST_WORD and _WORD.fullmatch(part) is not None


def spellings(value: str) -> Iterator[str]:
    """Yield the ways to write a value: in URLs, JSON, HTML, source code, and within base64."""
    for text in _decoded(value):
        yield text
        for encoded in (quote(text, safe=""), quote(text), quote_plus(text)):
            yield encoded
            yield re.sub(r"%..", lambda escape: escape[0].lower(), encoded)
        for escaped in in_json(text):
            yield from (escaped, json.dumps(escaped)[1:-1])
        yield html.escape(text)
        yield html.escape(text).replace("&#x27;", "&#39;").replace("&quot;", "&#34;")
        yield repr(text)[1:-1]
        yield from _within_base64(text.encode())


def _decoded(value: str) -> set[str]:
    return {value, unquote(value), unquote_plus(value)}


def in_json(text: str) -> Iterator[str]:
    """Yield the ways to write a text as JSON."""
    for ascii_only in (True, False):
        escaped = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        yield from (escaped, escaped.replace("/", r"\/"))


def _within_base64(content: bytes) -> Iterator[str]:
    """Yield what base64 makes of `content`, whatever precedes and follows it."""
    if len(content) < _SHORTEST_UNNAMED:
        return
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + content)
        first = -(-before * 4 // 3)  # the first character that `content` alone decides
        whole = (before + len(content)) * 4 // 3
        text = encoded[first:whole].decode()
        yield text
        yield text.translate(_URL_SAFE)


def samples(value: str, shortest: int) -> Iterator[str]:
    """Yield texts of which each spelling of `value` in JSON contains one; none for a short value.

    They consist of characters that no encoding changes, and are few, so that a search is fast.
    """
    if len(value) < shortest:
        return
    plain = _decoded(value)
    encoded = (each for text in plain for each in _within_base64(text.encode()))
    for text in {*plain, *encoded}:
        longest = max(_UNRESERVED.findall(text), key=len, default="")
        if len(longest) >= _SAMPLE_LENGTH // 2:
            yield _sample(longest)
        else:
            for spelling in spellings(text):
                yield from in_json(spelling)


def _sample(text: str) -> str:
    """Return the stretch of `text` whose first character is the rarest: there a search stops."""
    starts = range(max(len(text) - _SAMPLE_LENGTH, 0) + 1)
    start = min(starts, key=lambda at: _RARE_FIRST.index(text[at]))
    return text[start : start + _SAMPLE_LENGTH]


_URL_SAFE = str.maketrans("+/", "-_")


def all_parts(secrets: Iterable[str], public: Iterable[str]) -> list[str]:
    """Return each secret with its parts, without short ones and those of `public`."""
    shown = frozenset(public)
    found = (part for secret in secrets for part in parts(secret))
    return list(dict.fromkeys(p for p in found if len(p) >= SHORTEST and p not in shown))
