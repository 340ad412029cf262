"""Reading the settings: what is taken from where, and what each mistake is answered with."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pytest
import trustme
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from tests.support.records import SECRET
from watcher.configuration import checks, loader, plugins, schema, secrets
from watcher.core.errors import ConfigurationError
from watcher.core.masked_settings import masked
from watcher.core.masking import SECRETS
from watcher.core.setting_types import parse_duration
from watcher.core.settings import Settings, SourceSettings

EXAMPLE = Path(__file__).parents[2] / "config" / "watcher.example.yaml"
ENVIRON = {"MIXPEEK_API_KEY": "sk_hidden_0123"}
WEBHOOK = f"""
  - name: backend
    type: webhook
    url: https://backend.example/hidden
    secrets: [{SECRET}]
"""


def load(folder: Path, text: str, environ: Mapping[str, str] = ENVIRON) -> Settings:
    path = folder / "watcher.yaml"
    path.write_text(text)
    return loader.load(path, {"HOME": str(folder), **environ})


def problems(folder: Path, text: str, environ: Mapping[str, str] = ENVIRON) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(folder, text, environ)
    assert SECRET not in str(caught.value)
    assert "sk_hidden" not in str(caught.value)
    return caught.value.problems


def test_the_example_loads(tmp_path: Path) -> None:
    text = EXAMPLE.read_text()
    for name, secret in {
        "mixpeek-api-key": "sk_x",
        "backend": f"{SECRET}\n{SECRET}\n",
        "slack-webhook": "https://hooks.slack.com/services/T0/B0/x",
        "watcher-token": "made-up-api-token",
        "heartbeat": "https://beat.example/x",
    }.items():
        (tmp_path / name).write_text(secret + "\n")
        text = text.replace(f"/run/secrets/{name}", str(tmp_path / name))

    loaded = load(tmp_path, text)

    assert [channel.name for channel in loaded.channels] == ["backend", "alerts"]
    assert loaded.channels[0].attempts[-1] == 86400
    assert loaded.routes[1].labels == {"team": "search"}
    assert loaded.server.api_token is not None
    assert loaded.server.api_token.get_secret_value() == "made-up-api-token"
    assert checks.warnings(loaded) == []


def test_without_a_file_the_environment_is_enough(tmp_path: Path) -> None:
    environ = {
        **ENVIRON,
        "HOME": str(tmp_path),
        "MIXPEEK_BASE_URL": "http://127.0.0.1:9",
        "WATCHER_WEBHOOK_URL": "https://backend.example/x",
        "WATCHER_WEBHOOK_SECRETS": f"{SECRET},{SECRET} {SECRET}",
        "WATCHER_SLACK_URL": "https://hooks.slack.example/x",
    }
    loaded = loader.load(None, environ)

    assert [(channel.name, channel.type) for channel in loaded.channels] == [
        ("webhook", "webhook"),
        ("slack", "slack"),
    ]
    assert loaded.sources[0].name == "mixpeek"
    assert json.loads(loaded.sources[0].model_dump_json())["base_url"] == "http://127.0.0.1:9"


def test_the_environment_is_on_top_of_the_file(tmp_path: Path) -> None:
    environ = {
        **ENVIRON,
        "WATCHER_SERVER__PORT": "9090",
        "WATCHER_POLLING__MIN_INTERVAL": "500ms",
        "WATCHER_ROUTES": '[{"channels": ["backend"], "statuses": ["FAILED"]}]',
    }
    loaded = load(tmp_path, f"server: {{port: 1, host: localhost}}\nchannels:{WEBHOOK}", environ)

    assert (loaded.server.port, loaded.server.host) == (9090, "localhost")
    assert loaded.polling.min_interval == 0.5
    assert loaded.routes[0].statuses == ("FAILED",)


class OtherSettings(SourceSettings):
    """A source of another type, with the same fields as Mixpeek's."""

    type: Literal["other"]
    api_key: SecretStr
    base_url: str = "https://other.example"


def test_variables_of_one_source_type_reach_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("other")
    module.__dict__.update(Settings=OtherSettings, ENVIRONMENT={"api_key": "OTHER_API_KEY"})
    load_plugin = plugins.load
    monkeypatch.setattr(
        plugins,
        "load",
        lambda folder, name: module if name == "other" else load_plugin(folder, name),
    )
    environ = {**ENVIRON, "MIXPEEK_BASE_URL": "https://mixpeek.example"}
    text = "sources: [{name: a, type: other}, {name: b}]"
    assert problems(tmp_path, text, environ) == [
        "watcher.yaml:1: sources[0]: api_key is missing: "
        "set api_key, api_key_file or the variable OTHER_API_KEY"
    ]
    loaded = load(tmp_path, text, {**environ, "OTHER_API_KEY": "key"})
    urls = [source.model_dump()["base_url"] for source in loaded.sources]
    assert urls == ["https://other.example", "https://mixpeek.example"]


def test_what_kubernetes_injects_is_ignored(tmp_path: Path) -> None:
    injected = {
        "WATCHER_PORT": "tcp://10.0.0.1:8080",
        "WATCHER_SERVICE_HOST": "10.0.0.1",
        "WATCHER_PORT_8080_TCP_ADDR": "10.0.0.1",
        "WATCHER_SERVER_PORT": "x",
    }
    assert load(tmp_path, "", {**ENVIRON, **injected}).server.port == 8080


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("serverr: {}", "watcher.yaml:1: serverr: unknown key; did you mean 'server'?"),
        ("\nserver:\n  prot: 1", "watcher.yaml:3: server.prot: unknown key; did you mean 'port'?"),
        (
            f"channels:{WEBHOOK}    secretz: []",
            "watcher.yaml:6: channels[0].secretz: unknown key; did you mean 'secrets'?",
        ),
        ("server: {port: 1, port: 2}", "watcher.yaml:1: port: duplicate key, first on line 1"),
        (
            "server: {port: 99999}",
            "watcher.yaml:1: server.port: input should be less than or equal to 65535",
        ),
        (
            "polling: {min_interval: soon}",
            "watcher.yaml:1: polling.min_interval: invalid duration 'soon'",
        ),
        (
            "polling: {min_interval: 60s}",
            "polling.min_interval: longer than polling.max_interval",
        ),
        ("channels: {}", "watcher.yaml:1: channels: expected a list"),
        (
            "channels: [{name: x, type: pager}]",
            "watcher.yaml:1: channels[0].type: unknown channel type 'pager'",
        ),
        (
            "channels: [{name: x, type: slack}]",
            "channels[0]: set either the url (url_file) of a webhook, or a bot_token",
        ),
        (
            "channels: [{name: x, type: slack, bot_token: xoxb}]",
            "bot_token and slack_channel require each other",
        ),
        (f"channels:{WEBHOOK}{WEBHOOK}", "channels: duplicate name 'backend'"),
        ("routes: [{channels: [other]}]", "routes[0].channels: unknown channel 'other'"),
        (
            "server: {cors_origins: ['https://x.example']}",
            "watcher.yaml:1: server: cors_origins need an api_token",
        ),
        (
            "server: {api_token: 0123456789abcdef, cors_origins: ['*']}",
            "server.cors_origins[0]: invalid origin; expected one such as https://",
        ),
        ("server: {external_url: ops.example}", "server.external_url: invalid URL"),
        ("server: {external_url: 'ftp://ops.example'}", "server.external_url: invalid URL"),
        (
            "server: {external_url: 'https://me:secret@ops.example'}",
            "server.external_url: must not contain a user name or a fragment",
        ),
        (
            "server: {external_url: 'https://ops.example/?page=1'}",
            "server.external_url: must not contain a query",
        ),
        (
            "server: {host: 0.0.0.0}",
            "server.host: reachable from other machines; set server.api_token",
        ),
        (
            "server: {api_token: a, api_token_file: b}",
            "give either api_token or api_token_file, not both",
        ),
        (
            "server: {api_token_file: /does/not/exist}",
            "cannot read /does/not/exist: No such file or directory",
        ),
        ("server: [", "watcher.yaml:1: "),
        ("- a", "watcher.yaml: expected `key: value` lines"),
        ("a: &a [*a]", "watcher.yaml:1: contains itself"),
        ("sources: []", "watcher.yaml:1: sources: at least one is required"),
        (
            "store: {url: 'mysql://x/y'}",
            "store.url: unknown store type 'mysql'; expected one of: postgresql, sqlite",
        ),
        (
            "channels: [{name: x, type: webhook, url: 'https://x/', secrets: []}]",
            "secrets: at least one is required",
        ),
        ("sources: [5]", "sources[0]: expected a mapping"),
        (
            "channels: [{name: x, type: webhook, url: nonsense, secrets: [whsec_c2hvcnQ=]}]",
            "url: invalid URL",
        ),
        (
            "channels: [{name: x, type: webhook, url: nonsense, secrets: [whsec_c2hvcnQ=]}]",
            "secrets[0]: has 5 bytes",
        ),
        (
            "heartbeat: {url: 'http://beat.example/'}",
            "watcher.yaml:1: heartbeat: url begins with http://, which is not encrypted",
        ),
        (
            "sources: [{base_url: 'http://upstream.example'}]",
            "sources[0]: base_url begins with http://, which is not encrypted",
        ),
        (
            "sources: [{ca_file: /does/not/exist}]",
            "sources[0].ca_file: /does/not/exist cannot be read: No such file",
        ),
        (
            "sources: [{ca_file: /dev/null}]",
            "sources[0].ca_file: /dev/null cannot be used: no valid PEM",
        ),
        (
            "sources: [{client_key_file: /x}]",
            "sources[0]: client_key_file needs a client_certificate_file",
        ),
        (
            "sources: [{client_certificate_file: /dev/null}]",
            "client_certificate_file: /dev/null cannot be used",
        ),
        (
            "sources: [{proxy: nonsense}]",
            "sources[0].proxy: invalid URL; expected one that begins with http:// or https://",
        ),
    ],
)
def test_each_mistake_is_said_in_one_line_with_its_place(
    tmp_path: Path, text: str, problem: str
) -> None:
    found = problems(tmp_path, text)
    assert any(problem in line for line in found), found
    assert all("\n" not in line for line in found)


def test_http_is_limited_to_this_machine_without_allow_http(tmp_path: Path) -> None:
    loaded = load(tmp_path, "heartbeat: {url: 'http://beat.example/', allow_http: true}")
    assert loaded.heartbeat is not None
    for host in ("localhost", "127.0.0.1", "[::1]"):
        load(tmp_path, f"heartbeat: {{url: 'http://{host}:9/'}}")


def test_certificates_are_followed_like_secrets(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert("watcher").private_key_and_cert_chain_pem.write_to_path(
        tmp_path / "client.pem"
    )
    ca, client = tmp_path / "ca.pem", tmp_path / "client.pem"
    loaded = load(tmp_path, f"sources: [{{ca_file: {ca}, client_certificate_file: {client}}}]")
    assert loaded.files == {ca, client}


def test_a_missing_key_names_every_way_to_give_it(tmp_path: Path) -> None:
    assert problems(tmp_path, "", {}) == [
        "watcher.yaml: sources[0]: api_key is missing: set api_key, api_key_file or the variable "
        "MIXPEEK_API_KEY"
    ]


def test_an_unknown_name_in_the_environment_is_said_by_its_variable(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, "", {**ENVIRON, "WATCHER_SERVER__PROT": "1"})
    assert line == "WATCHER_SERVER__PROT: server.prot: unknown key; did you mean 'port'?"
    (line,) = problems(tmp_path, "", {**ENVIRON, "WATCHER_SERVR__PORT": "1"})
    assert line == "WATCHER_SERVR__PORT: unknown section 'servr'; did you mean 'server'?"


def test_a_list_that_is_no_json_and_a_webhook_without_a_secret_are_said_by_their_variables(
    tmp_path: Path,
) -> None:
    assert problems(tmp_path, "", {**ENVIRON, "WATCHER_CHANNELS": "[{"}) == [
        "WATCHER_CHANNELS: invalid JSON; a whole list is given as JSON"
    ]
    assert problems(tmp_path, "", {**ENVIRON, "WATCHER_WEBHOOK_URL": "https://x/"}) == [
        "WATCHER_WEBHOOK_SECRETS: missing; a webhook needs whsec_…"
    ]


def test_a_bad_secret_is_one_problem_not_two(tmp_path: Path) -> None:
    text = "channels: [{name: x, type: webhook, url: 'https://x/', secrets: [nope!]}]"
    assert problems(tmp_path, text) == [
        "watcher.yaml:1: channels[0].secrets[0]: is not base64 after whsec_"
    ]


def test_every_mistake_is_said_at_once(tmp_path: Path) -> None:
    assert len(problems(tmp_path, "server: {port: x, nope: 1}\npolling: {multiplier: 0}")) == 3


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.yaml"):
        with pytest.raises(ConfigurationError, match="cannot read"):
            loader.load(path, ENVIRON)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=80)
    | st.text(alphabet="abc:[]{}-&*!|>#'\" \n\t0~%@", max_size=60).map(str.encode)
)
def test_any_bytes_are_settings_or_a_configuration_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "watcher.yaml"
    path.write_bytes(content)
    try:
        loader.load(path, {**ENVIRON, "HOME": str(tmp_path)})
    except ConfigurationError as error:
        assert error.problems


def test_a_variable_replaces_the_file_of_a_secret(tmp_path: Path) -> None:
    text = "server: {api_token_file: /does/not/exist}"
    for name in ("WATCHER_API_TOKEN", "WATCHER_SERVER__API_TOKEN"):
        loaded = load(tmp_path, text, {**ENVIRON, name: "made-up-api-token"})
        assert loaded.server.api_token is not None
        assert loaded.server.api_token.get_secret_value() == "made-up-api-token"
    with pytest.raises(ConfigurationError, match="api_token: has fewer"):
        load(tmp_path, text, {**ENVIRON, "WATCHER_API_TOKEN": "15-characters--"})


def test_no_secret_shows_in_what_is_printed(tmp_path: Path) -> None:
    text = f"""
channels:{WEBHOOK}    headers: {{Authorization: Bearer hidden_7}}
heartbeat: {{url: "https://beat.example/hidden_8"}}
server: {{api_token: hidden_9_made_up}}
"""
    loaded = load(tmp_path, text)
    shown = f"{loaded!r} {loaded} {json.dumps(masked(loaded))}"

    assert "hidden" not in shown
    assert SECRET not in shown
    for secret in ("hidden_9_made_up", SECRET.removeprefix("whsec_")):
        assert secret not in SECRETS.text(f"it says {secret}")
    assert "Bearer hidden_7" in secrets.secret_values(loaded)


def test_a_configuration_without_a_channel_is_one_warning(tmp_path: Path) -> None:
    (warning,) = checks.warnings(load(tmp_path, "log: {level: info}\n"))
    assert warning.startswith("no channel: nothing will be sent; set channels, WATCHER_SLACK_URL")


def test_alerts_without_a_receiver_are_one_warning(tmp_path: Path) -> None:
    loaded = load(
        tmp_path, f"channels:{WEBHOOK}routes: [{{channels: [backend], events: [task.failed]}}]"
    )
    assert checks.warnings(loaded) == [
        "no route receives source.unreachable, task.lost, channel.failing: failures would go "
        "unnoticed"
    ]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("{list: tasks, bucket: b}", "bucket does not apply to a list of tasks"),
        ("{list: batches, search: x}", "search does not apply to a list of batches"),
        ("{list: clusters}", "input should be 'tasks' or 'batches'"),
        ("{list: tasks, evry: 1m}", "did you mean 'every'?"),
        ("{list: tasks, source: mixpek}", "unknown source 'mixpek'; did you mean 'mixpeek'?"),
        ("{list: tasks, max_pages: 0}", "greater than or equal to 1"),
    ],
)
def test_a_discovery_rule_that_cannot_be_is_said(tmp_path: Path, rule: str, said: str) -> None:
    (problem,) = problems(tmp_path, f"discovery: [{rule}]\n")
    assert "discovery" in problem
    assert said in problem


@pytest.mark.parametrize(
    "labels",
    [
        {f"a{number}": "1" for number in range(21)},
        {"a" * 65: "1"},
        {"a": "1" * 257},
        {"": "1"},
    ],
)
def test_the_labels_of_a_rule_have_the_bounds_of_a_watchs(
    tmp_path: Path, labels: dict[str, str]
) -> None:
    rule = json.dumps({"list": "tasks", "labels": labels})
    assert all("labels" in problem for problem in problems(tmp_path, f"discovery: [{rule}]\n"))


def test_discovery_rules_come_from_the_environment_too(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        "",
        {**ENVIRON, "WATCHER_DISCOVERY": '[{"list": "batches", "bucket": "b", "every": "5m"}]'},
    )
    (rule,) = loaded.discovery
    assert (rule.list, rule.bucket, rule.every, rule.max_pages) == ("batches", "b", 300.0, 10)


def test_the_schema_knows_every_key_of_the_example() -> None:
    import yaml

    document = schema.schema()
    example: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
    assert example.keys() == document["properties"].keys()
    for name, value in example.items():
        shape = document["properties"][name]
        if isinstance(value, dict):
            assert value.keys() <= shape["properties"].keys()
        elif name in ("routes", "discovery"):
            assert all(item.keys() <= shape["items"]["properties"].keys() for item in value)
        else:
            kinds = {one["properties"]["type"]["const"]: one for one in shape["items"]["anyOf"]}
            for item in value:
                assert item.keys() <= kinds[item.get("type", "mixpeek")]["properties"].keys()


@given(
    st.floats(0, 1e6, allow_nan=False).map(lambda number: round(number, 3)),
    st.sampled_from(["ms", "s", "m", "h", "d", ""]),
)
def test_durations_are_numbers_with_a_unit(number: float, unit: str) -> None:
    size = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "": 1}[unit]
    assert parse_duration(f"{number:f}{unit}") == pytest.approx(float(f"{number:f}") * size)


@pytest.mark.parametrize(
    "value", ["", "-1s", "1 week", "s", "1e3", True, None, [], float("nan"), -1]
)
def test_an_invalid_duration_is_an_error(value: Any) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "routes: [{channels: [backend], events: [task.faild]}]",
            "routes[0].events: 'task.faild' matches no known event type; "
            "did you mean 'task.failed'?",
        ),
        (
            "routes: [{channels: [backend], statuses: [FAILD]}]",
            "routes[0].statuses: unknown status 'FAILD'; did you mean 'FAILED'?",
        ),
        (
            "routes: [{channels: [backend], previous_statuses: [PENDNG]}]",
            "previous_statuses: unknown status 'PENDNG'; did you mean 'PENDING'?",
        ),
        (
            "routes: [{channels: [backend], sources: [mixpek]}]",
            "routes[0].sources: 'mixpek' matches no source; did you mean 'mixpeek'?",
        ),
        (
            "routes: [{channels: [backend], labels: {'': x}}]",
            "routes[0].labels: no watch can have this label",
        ),
        (
            "discovery: [{list: tasks, status: IN_PROGRES}]",
            "discovery[0].status: unknown status 'IN_PROGRES'; did you mean 'IN_PROGRESS'?",
        ),
    ],
)
def test_a_selector_that_can_match_nothing_is_an_error(
    tmp_path: Path, text: str, said: str
) -> None:
    (problem,) = problems(tmp_path, f"channels:{WEBHOOK}{text}\n")
    assert said in problem


def test_a_mention_on_an_event_that_there_is_none_of_is_an_error(tmp_path: Path) -> None:
    slack = "{name: a, type: slack, url: 'https://hooks.slack.com/services/T0/B0/x', MORE}"
    text = slack.replace("MORE", "mention_on: [task.los]")
    (problem,) = problems(tmp_path, f"channels: [{text}]\n")
    assert "channels[0].mention_on: 'task.los' matches no known event type" in problem


def test_a_status_that_upstream_may_have_is_a_warning(tmp_path: Path) -> None:
    route = "{channels: [backend], events: ['*'], previous_statuses: [WAITING_FOR_GPU]}"
    loaded = load(tmp_path, f"channels:{WEBHOOK}routes: [{route}]")
    assert checks.warnings(loaded) == [
        "routes[0].previous_statuses: unknown status 'WAITING_FOR_GPU'"
    ]
