"""The settings of a source of type `http`."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from watcher.core.setting_types import BaseUrl, Name, Token
from watcher.core.settings import DiscoverySettings, SourceSettings
from watcher.core.statuses import StatusTable
from watcher.sources.http.language import Language, Rule, expected_of
from watcher.sources.http.paths import Path, parse_path
from watcher.sources.http.preset_files import with_preset
from watcher.sources.http.setting_types import (
    IDS,
    Auth,
    HeaderName,
    HeaderValue,
    HttpStatus,
    ItemSettings,
    ListSettings,
    Paths,
    RuleSettings,
    Status,
    Target,
)
from watcher.sources.http.templates import IdForm, check_template, variables

_DEFAULT_AUTH = "Authorization: Bearer {token}"
_FOREIGN_KEYS = ("bucket", "status", "task_type", "filters", "search", "sort")


class Settings(SourceSettings):
    """Any API with one GET per task. A `preset` has the settings of a well-known one."""

    name: Name
    """Name of the source in watches, events and metrics."""
    type: Literal["http"] = "http"
    preset: str | None = None
    """Name of a preset, whose settings are the defaults of all others."""
    base_url: BaseUrl | None = None
    """URL that all paths are appended to; the token is sent to its host only."""
    token: Token | None = None
    """The API's token."""
    auth: Auth | None = None
    """Header of the token; default: `Authorization: Bearer {token}`."""
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict, max_length=32)
    """Further headers of each request, without secrets."""
    vars: dict[str, str] = Field(default_factory=dict, max_length=32)
    """Values of variables in paths; task IDs do not contain such a variable."""
    id: str = "{id}"
    """Form of task IDs: `{owner}:{repo}:{id}` where they have several parts."""
    get: Target | None = None
    """Path of one task, such as `/batches/{id}`."""
    item: ItemSettings = ItemSettings()
    """Where the values of a task stand."""
    list: ListSettings | None = None
    """A list of tasks, to poll many with one request; default: one request per task."""
    rules: Annotated[tuple[RuleSettings, ...], Field(max_length=64)] = ()
    """Statuses that depend on more than a word; the first rule that holds decides."""
    http_statuses: dict[HttpStatus, Status] = Field(default_factory=dict, max_length=32)
    """Statuses by the HTTP status of the answer, such as `{202: IN_PROGRESS}`."""
    absent: Status | None = None
    """Status of an answer without a word."""
    missing: Annotated[tuple[HttpStatus, ...], Field(max_length=16)] = (404, 410)
    """HTTP statuses of a task that does not exist, where the body is JSON."""
    per: Literal["source", "route"] = "source"
    """Whether the request limit is for all requests of the source, or for each route."""

    @model_validator(mode="before")
    @classmethod
    def _with_preset(cls, values: Any) -> Any:
        return with_preset(values) if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for key in ("base_url", "get"):
            if getattr(self, key) is None:
                raise ValueError(f"{key} is missing")
        if not (self.item.status or self.rules or self.http_statuses):
            raise ValueError("item needs a status, or rules or http_statuses decide it")
        if self.auth is not None and self.token is None:
            raise ValueError("token is missing: set token or token_file")
        header = self.auth_header.partition(":")[0].lower()
        if header in map(str.lower, self.headers):
            raise ValueError("headers has the header of auth")
        return self

    @model_validator(mode="after")
    def _variables(self) -> Self:
        form = self._checked_form()
        known = {*form.names, *self.vars}
        for key, text in (("get", self.get or ""), ("list", self._list_target())):
            if unknown := [name for name in variables(text) if name not in known]:
                raise ValueError(f"{key} has {{{unknown[0]}}}, which neither id nor vars gives")
        if unused := [name for name in form.names if name not in variables(self.get or "")]:
            raise ValueError(f"get has no {{{unused[0]}}}, which is part of each ID")
        if self.item.id is not None and len(self.item.id) not in (1, len(form.names)):
            raise ValueError(f"item has {len(self.item.id)} paths of an ID like {form.text}")
        return self

    @model_validator(mode="after")
    def _reachable_rules(self) -> Self:
        rules = compiled_rules(self.rules)
        for number, rule in enumerate(rules):
            for before, other in enumerate(rules[:number]):
                if other.covers(rule):
                    raise ValueError(
                        f"rules[{number}] can never match: rules[{before}] holds before it"
                    )
        return self

    def _checked_form(self) -> IdForm:
        try:
            return IdForm.of(check_template(self.id), self.vars)
        except ValueError as error:
            raise ValueError(f"id {error}") from None

    def _list_target(self) -> str:
        return "" if self.list is None else self.list.target.replace(f"{{{IDS}}}", "")

    @property
    def auth_header(self) -> str:
        """The header of the token, with `{token}` in it; empty without a token."""
        return "" if self.token is None else self.auth or _DEFAULT_AUTH

    @property
    def id_form(self) -> IdForm:
        """The form of task IDs."""
        return IdForm.of(self.id, self.vars)

    @property
    def usable_list(self) -> ListSettings | None:
        """The list, if its items show whole IDs and every variable of it has a value."""
        names = self.id_form.names
        shown = 0 if self.item.id is None else len(self.item.id)
        varying = set(variables(self._list_target())) - self.vars.keys()
        return None if varying or shown != len(names) else self.list

    def language(self) -> Language:
        """Return the compiled language."""
        item = self.item
        return Language(
            id=compiled(item.id),
            status=compiled(item.status),
            type=compiled(item.type),
            error=compiled(item.error),
            fields={name: compiled(paths) for name, paths in item.fields.items()},
            rules=compiled_rules(self.rules),
            statuses=StatusTable(self.statuses),
            http_statuses=self.http_statuses,
            absent=self.absent,
            missing=frozenset(self.missing),
            default_type=self.preset,
        )

    def warnings(self) -> tuple[str, ...]:
        """Return what is allowed but probably a mistake."""
        if self.list is None or self.usable_list is not None:
            return ()
        return (
            "the list is not used, because its items do not show whole IDs: fix the other parts "
            f"of {self.id_form.text} with vars, or poll one task per request with list: null",
        )

    def discovery_fault(self, rule: DiscoverySettings) -> tuple[str, str] | None:
        if rule.list != "tasks":
            return "list", f"source {self.name!r} has tasks only"
        for key in _FOREIGN_KEYS:
            if getattr(rule, key) is not None:
                return key, f"does not apply to source {self.name!r}: put it into its list"
        if (listed := self.usable_list) is None or listed.ids_most is not None:
            return "source", f"source {self.name!r} has no list that shows new tasks"
        return None


def compiled(paths: Paths | None) -> Sequence[Path]:
    """Return the compiled paths of a setting."""
    return [parse_path(text) for text in paths or ()]


def compiled_rules(rules: Sequence[RuleSettings]) -> Sequence[Rule]:
    """Return the compiled rules of a setting."""
    return [
        Rule(
            when={parse_path(text): expected_of(value) for text, value in rule.when.items()},
            status=rule.status,
        )
        for rule in rules
    ]
