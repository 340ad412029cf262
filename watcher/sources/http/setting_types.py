"""The settings of a source of type `http` that have keys of their own."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from watcher.core.setting_types import Model
from watcher.core.tasks import KNOWN_STATUSES
from watcher.sources.http.language import Scalar, expected_of
from watcher.sources.http.paths import parse_path
from watcher.sources.http.templates import check_template, variables

IDS = "ids"
"""The variable of a list that is requested by IDs."""
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_NOT_SET = frozenset({"host", "content-length", "content-type", "transfer-encoding", "connection"})
_SECRET = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key"})


def _path(text: str) -> str:
    parse_path(text)
    return text


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _target(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError("begins with a slash; the host is that of base_url")
    if "#" in text or any(char.isspace() or not char.isprintable() for char in text):
        raise ValueError("contains what no path can: white space, or #")
    return check_template(text)


def _status(text: str) -> str:
    if text not in KNOWN_STATUSES:
        raise ValueError(f"expected one of {', '.join(sorted(KNOWN_STATUSES))}")
    return text


def _header_name(text: str) -> str:
    if not _HEADER_NAME.fullmatch(text) or text.lower() in _NOT_SET:
        raise ValueError("not a header that can be set")
    if text.lower() in _SECRET:
        raise ValueError("carries a secret: set auth, with token_file")
    return text


def _header_value(text: str) -> str:
    if not text.isascii() or not text.isprintable():
        raise ValueError("contains what no header can carry")
    return text


def _http_status(status: int) -> int:
    if not 200 <= status <= 599:
        raise ValueError("not an HTTP status")
    return status


def _auth(text: str) -> str:
    name, _, value = text.partition(":")
    if not _HEADER_NAME.fullmatch(name) or not _header_value(value).strip():
        raise ValueError("expected a header, such as 'x-api-key: {token}'")
    if value.count("{token}") != 1:
        raise ValueError("contains {token} once")
    return text


_PATHS_SCHEMA = {
    "anyOf": [
        {"type": "string", "minLength": 1},
        {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
    ]
}

PathText = Annotated[str, AfterValidator(_path)]
Paths = Annotated[
    tuple[PathText, ...],
    BeforeValidator(_as_tuple),
    Field(min_length=1, max_length=16),
    WithJsonSchema(_PATHS_SCHEMA),
]
"""A path, or several of which the first with a value counts."""
Target = Annotated[str, AfterValidator(_target)]
"""A path with its query, in which `{…}` are variables."""
Status = Annotated[str, AfterValidator(_status), WithJsonSchema({"enum": sorted(KNOWN_STATUSES)})]
HeaderName = Annotated[str, AfterValidator(_header_name)]
HeaderValue = Annotated[str, AfterValidator(_header_value)]
HttpStatus = Annotated[int, AfterValidator(_http_status)]
Auth = Annotated[str, AfterValidator(_auth)]


class ItemSettings(Model):
    """Where the values of a task stand in the JSON of one."""

    id: Paths | None = None
    """Path of the ID; several for an ID of several parts."""
    status: Paths | None = None
    """Paths of the status word."""
    type: Paths | None = None
    """Paths of the task type; default: the preset's name."""
    error: Paths | None = None
    """Paths of the error text."""
    fields: dict[str, Paths] = Field(default_factory=dict, max_length=64)
    """Further values, sent as `additional_data` under these names."""


class NextSettings(Model):
    """Where the next page of a list is: `cursor`, `url`, `offset`, `page` or `link`."""

    model_config = ConfigDict(serialize_by_alias=True)

    cursor: PathText | None = None
    """Path of the next page's cursor, which is sent as `param`."""
    url: PathText | None = None
    """Path of the next page's URL, at the host of base_url."""
    link: str | None = None
    """Relation of the `Link` header that has the next page's URL, such as next."""
    offset: str | None = None
    """Parameter that the number of items before the page is sent as."""
    page: str | None = None
    """Parameter that the page's number is sent as, from 1 on."""
    param: str | None = None
    """Parameter of the cursor."""
    while_: Annotated[PathText | None, Field(alias="while")] = None
    """Path of what is true while more pages follow."""
    size: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Items of a full page; a page with fewer is the last one."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = [name for name in ("cursor", "url", "link", "offset", "page") if getattr(self, name)]
        if len(ways) != 1:
            raise ValueError("expected one of cursor, url, link, offset, page")
        if (self.cursor is None) != (self.param is None):
            raise ValueError("cursor and param belong together")
        return self


def _names_ids(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(map(_names_ids, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_names_ids, value))
    return value == f"{{{IDS}}}"


class ListSettings(Model):
    """A list of tasks: by their IDs where the API offers that, else the newest first."""

    get: Target | None = None
    """Path of the list, requested with GET."""
    post: Target | None = None
    """Path of the list, requested with POST."""
    body: dict[str, Any] | None = None
    """Body of the POST; the text `{ids}` in it becomes the list of IDs."""
    items: PathText | None = None
    """Path of the items; default: the answer is a list itself."""
    next: NextSettings | None = None
    """Where the next page is; default: there is none."""
    pages: Annotated[int, Field(ge=1, le=100)] = 10
    """Pages that one poll reads at most."""
    ids_most: Annotated[int, Field(ge=1, le=1000)] | None = None
    """IDs of one request, for a list that is requested by IDs."""

    @model_validator(mode="after")
    def _one_request(self) -> Self:
        if (self.get is None) == (self.post is None):
            raise ValueError("expected either get or post")
        if self.body is not None and self.post is None:
            raise ValueError("body is that of a POST")
        by_ids = IDS in variables(self.target) or _names_ids(self.body)
        if by_ids != (self.ids_most is not None):
            raise ValueError("ids_most and {ids} belong together")
        return self

    @property
    def target(self) -> str:
        return self.get or self.post or ""


class RuleSettings(Model):
    """A status, and what has to hold for it: every value of `when`."""

    when: Annotated[dict[PathText, Scalar | tuple[Scalar, ...]], Field(min_length=1, max_length=16)]
    """Path and expected value: a scalar, a list of them, `"*"` for any, `">0"` for a number."""
    status: Status
    """Status where all of them hold."""

    @model_validator(mode="after")
    def _expectations(self) -> Self:
        for value in self.when.values():
            expected_of(value)
        return self
