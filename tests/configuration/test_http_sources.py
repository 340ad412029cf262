"""Sources of type `http` in the configuration: presets, and what is wrong with one."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from watcher.configuration import checks
from watcher.configuration.loader import load
from watcher.configuration.schema import schema
from watcher.core.errors import ConfigurationError
from watcher.core.masked_settings import masked
from watcher.core.settings import Settings, SourceSettings

TOKEN = "tk_made_up_0123456789"
JOBS: dict[str, Any] = {
    "name": "jobs",
    "type": "http",
    "base_url": "https://jobs.example",
    "get": "/jobs/{id}",
    "item": {"id": "id", "status": "state"},
}


def loaded(folder: Path, *sources: dict[str, Any], **sections: Any) -> Settings:
    path = folder / "watcher.yaml"
    store = {"url": f"sqlite:///{folder}/watcher.db"}
    path.write_text(yaml.safe_dump({"sources": sources, "store": store, **sections}))
    return load(path, {"MIXPEEK_API_KEY": "sk_env", "MIXPEEK_BASE_URL": "https://env.example"})


def problems(folder: Path, *sources: dict[str, Any], **sections: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        loaded(folder, *sources, **sections)
    return "\n".join(caught.value.problems)


def test_a_preset_needs_a_name_and_a_token_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    source = {"name": "openai", "preset": "openai-batches", "token_file": str(tmp_path / "token")}
    settings = loaded(tmp_path, source)
    (openai,) = settings.sources
    assert (openai.type, openai.name) == ("http", "openai")
    assert openai.token.get_secret_value() == TOKEN  # type: ignore[attr-defined]
    assert openai.rate == (300, 60.0)
    assert openai.polling_with(settings.polling).stalled_after == {"*": 26 * 3600.0}
    assert TOKEN not in str(masked(settings))
    assert "'while': 'has_more'" in str(masked(settings))


def test_the_environment_of_mixpeek_is_not_for_it(tmp_path: Path) -> None:
    jobs, mixpeek = loaded(tmp_path, JOBS, {"name": "m"}).sources
    assert (jobs.type, mixpeek.type) == ("http", "mixpeek")
    assert jobs.base_url == "https://jobs.example"  # type: ignore[attr-defined]
    assert jobs.token is None  # type: ignore[attr-defined]
    assert mixpeek.base_url == "https://env.example"  # type: ignore[attr-defined]


def test_each_source_may_poll_in_its_own_way(tmp_path: Path) -> None:
    mixpeek = {"name": "m", "requests": "30/10s", "polling": {"max_interval": "5s"}}
    settings = loaded(tmp_path, mixpeek, JOBS, polling={"min_interval": "2s"})
    own, other = (source.polling_with(settings.polling) for source in settings.sources)
    assert (own.min_interval, own.max_interval, other.max_interval) == (2, 5, 30)
    assert [source.rate for source in settings.sources] == [(30, 10.0), (60, 60.0)]


@pytest.mark.parametrize(
    ("changes", "place", "problem"),
    [
        ({"item": {"id": "id", "status": "a..b"}}, "item.status", "column 3: expected a name"),
        ({"item": {"id": "id", "status": "s", "fields": {"u": "a["}}}, "fields.u", "column 2"),
        ({"rules": [{"when": {"a b": 1}, "status": "FAILED"}]}, "rules[0]", "column 2"),
        ({"statuses": {"gone": "VANISHED"}}, "statuses", "unknown status 'VANISHED'"),
        ({"absent": "DONE"}, "absent", "expected one of ACTIVE"),
        ({"http_statuses": {202: "BUSY"}}, "http_statuses", "expected one of ACTIVE"),
        ({"rules": [{"when": {"a": 1}, "status": "DONE"}]}, "rules[0].status", "expected one of"),
        ({"get": "/jobs/{job}"}, "get", "{job}, which neither id nor vars gives"),
        ({"list": {"get": "/{zone}/jobs"}}, "list", "{zone}, which neither id nor vars gives"),
        ({"id": "{a}:{id}"}, "get", "get has no {a}, which is part of each ID"),
        ({"id": "{a}{id}"}, "id", "nothing between them"),
        ({"id": "x"}, "id", "no variable"),
        ({"id": "{id"}, "id", "does not belong to a variable"),
        ({"statuses": {"timed out": "FAILED", "TIMED-OUT": "CANCELED"}}, "statuses", "twice"),
        (
            {
                "rules": [
                    {"when": {"a": "*"}, "status": "FAILED"},
                    {"when": {"a": [1, 2], "b": 3}, "status": "COMPLETED"},
                ]
            },
            "rules",
            "rules[1] can never match: rules[0] holds before it",
        ),
        ({"rules": [{"when": {"a": ">x"}, "status": "FAILED"}]}, "rules[0]", "'>0'"),
        ({"rules": [{"when": {"a": []}, "status": "FAILED"}]}, "rules[0]", "at least one value"),
        ({"get": "jobs/{id}"}, "get", "begins with a slash"),
        ({"get": None}, "get", "get is missing"),
        ({"base_url": None}, "base_url", "base_url is missing"),
        ({"base_url": "http://jobs.example"}, "base_url", "not encrypted"),
        ({"item": {"id": "id"}}, "item", "needs a status"),
        ({"item": {"id": ["a", "b", "c"], "status": "s"}}, "item", "3 paths"),
        ({"auth": "x-api-key: {token}"}, "sources[0]", "token is missing: set token or token_file"),
        ({"auth": "x-api-key"}, "auth", "expected a header"),
        ({"token": TOKEN, "auth": "x-api-key: sk"}, "auth", "contains {token} once"),
        ({"headers": {"Authorization": "Bearer x"}}, "headers", "carries a secret"),
        ({"headers": {"x-a": "b\nc"}}, "headers", "what no header can carry"),
        ({"list": {"items": "data"}}, "list", "either get or post"),
        ({"list": {"get": "/x", "next": {"cursor": "c"}}}, "list.next", "cursor and param"),
        ({"list": {"get": "/x", "next": {"cursor": "c", "page": "p"}}}, "list.next", "one of"),
        ({"list": {"get": "/x?ids={ids}"}}, "list", "ids_most and {ids} belong together"),
        ({"requests": "60"}, "requests", "such as 60/1m"),
        ({"requests": "0/1m"}, "requests", "such as 60/1m"),
        ({"requests": "60/1m", "requests_per_minute": 5}, "requests", "set one of them"),
        ({"polling": {"min_interval": "1m"}}, "polling", "min_interval is above max_interval"),
        ({"polling": {"max_intervall": "1m"}}, "polling", "did you mean 'max_interval'?"),
        ({"listt": {}}, "listt", "did you mean 'list'?"),
        ({"preset": "openai-batch"}, "preset", "did you mean 'openai-batches'?"),
        ({"preset": "zzz"}, "preset", "known ones are airflow-runs, "),
    ],
)
def test_a_mistake_is_named_with_its_place(
    tmp_path: Path, changes: dict[str, Any], place: str, problem: str
) -> None:
    found = problems(tmp_path, JOBS | changes)
    assert problem in found
    assert place in found
    assert "sources[0]" in found
    assert TOKEN not in found


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ({"list": "batches"}, "discovery[0].list: source 'jobs' has tasks only"),
        ({"list": "tasks", "search": "x"}, "discovery[0].search: does not apply to source 'jobs'"),
        ({"list": "tasks", "status": "FAILED"}, "discovery[0].status: does not apply"),
        ({"list": "tasks"}, "discovery[0].source: source 'jobs' has no list"),
    ],
)
def test_a_discovery_rule_is_checked_by_its_source(
    tmp_path: Path, rule: dict[str, Any], problem: str
) -> None:
    assert problem in problems(tmp_path, JOBS, discovery=[{"source": "jobs", **rule}])


def test_a_list_can_be_discovered(tmp_path: Path) -> None:
    listed = JOBS | {"list": {"get": "/jobs", "items": "data"}}
    assert loaded(tmp_path, listed, discovery=[{"list": "tasks"}]).discovery
    by_ids = JOBS | {"list": {"get": "/jobs?i={ids}", "ids_most": 9}}
    assert "no list" in problems(tmp_path, by_ids, discovery=[{"list": "tasks"}])


def test_a_list_that_is_not_used_is_a_warning(tmp_path: Path) -> None:
    source = {"name": "gh", "preset": "github-runs", "token": TOKEN}
    warnings = checks.warnings(loaded(tmp_path, source))
    assert any("source 'gh': the list is not used" in warning for warning in warnings)


def test_the_schema_has_it() -> None:
    (found,) = [
        one
        for one in schema()["properties"]["sources"]["items"]["anyOf"]
        if one["properties"]["type"].get("const") == "http"
    ]
    assert {"name"} <= set(found["required"])
    assert "token_file" in found["properties"]
    assert "while" in str(found["properties"]["list"])
    assert {"required": ["preset"]} in str_safe(found)


def str_safe(found: dict[str, Any]) -> list[Any]:
    return [one for rule in found["allOf"] for one in rule.get("anyOf", [])]


def test_every_source_has_the_common_settings() -> None:
    assert {"requests", "polling", "statuses"} <= SourceSettings.model_fields.keys()
