"""The chart: rendered by both Helms, judged by schemas and by checkov, and held against its own
values.
"""

import copy
import importlib.util
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from tests.shipped.tools import ROOT, TOOLS, run, tool
from watcher import __version__
from watcher.configuration import loader

CHART = ROOT / "charts/watcher"
VARIANTS = sorted((CHART / "ci").glob("*-values.yaml"))
VERSIONS = ("1.29", "1.37")
CANARY = "canary-7f3a9c"

_OPERATOR = """
import { readFileSync } from "fs";
import * as kinds from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";
for (const object of JSON.parse(readFileSync(0))) new kinds[object.kind](object).validate();
"""
_HELM_4 = """
import asyncio, sys
from helm_sdkpy import Configuration, Lint, Package
async def judge(chart, folder):
    with Configuration() as configuration:
        print(await Lint(configuration).run(chart))
        print(await Package(configuration).run(chart, folder))
asyncio.run(judge(*sys.argv[1:]))
"""

Values = dict[str, Any]


def rendered(
    folder: Path,
    *arguments: str | Path,
    values: Values | None = None,
    chart: Path = CHART,
    check: bool = True,
) -> str:
    """Return what Helm makes of the chart; `values` go over the files among the arguments."""
    helm = tool("helm")
    given: tuple[str | Path, ...] = ()
    if values is not None:
        (folder / "values.yaml").write_text(yaml.safe_dump(values))
        given = ("--values", folder / "values.yaml")
    return run(
        *(helm, "template", "release", chart, "--namespace", "tasks", "--kube-version", "1.29.0"),
        *arguments,
        *given,
        check=check,
    ).stdout


def objects(text: str) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(text) if one]


def kind(found: list[dict[str, Any]], name: str) -> dict[str, Any]:
    (one,) = [one for one in found if one["kind"] == name]
    return one


def rejection(folder: Path, values: Values, chart: Path = CHART) -> str:
    (folder / "values.yaml").write_text(yaml.safe_dump(values))
    command = (tool("helm"), "template", "release", chart, "--kube-version", "1.29.0")
    done = run(*command, "--values", folder / "values.yaml", check=False)
    assert done.returncode != 0
    return done.stderr


@cache
def defaults() -> Values:
    found: Values = yaml.safe_load((CHART / "values.yaml").read_text())
    return found


@cache
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "charts/generate.py")
    assert spec is not None
    assert spec.loader is not None
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    return program


# What it repeats


def test_versions_agree() -> None:
    about = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (about["version"], about["appVersion"]) == (__version__, __version__)


def test_what_the_chart_repeats_is_up_to_date(tmp_path: Path) -> None:
    for name in generate().COPIES:
        assert (CHART / "files" / Path(name).name).read_bytes() == (ROOT / name).read_bytes()
    assert json.loads((CHART / "values.schema.json").read_text()) == generate().values_schema()
    tool("readme-generator")
    shutil.copy(CHART / "README.md", tmp_path)
    run(
        TOOLS / "bin/readme-generator",
        "--values",
        CHART / "values.yaml",
        "--readme",
        tmp_path / "README.md",
    )
    assert (tmp_path / "README.md").read_text() == (CHART / "README.md").read_text()


def test_the_schema_is_one() -> None:
    run(tool("check-jsonschema"), "--check-metaschema", CHART / "values.schema.json")


def test_the_rules_in_the_chart_are_the_rules(tmp_path: Path) -> None:
    found = objects(rendered(tmp_path, values={"prometheusRule": {"enabled": True}}))
    shipped = yaml.safe_load((ROOT / "config/prometheus/watcher-rules.yaml").read_text())
    assert kind(found, "PrometheusRule")["spec"] == shipped


def test_the_links_of_the_alerts_are_values(tmp_path: Path) -> None:
    links = {"runbookUrl": "https://docs.internal/run", "dashboardUrl": "http://grafana/d/x"}
    found = objects(rendered(tmp_path, values={"prometheusRule": {"enabled": True, **links}}))
    (group,) = kind(found, "PrometheusRule")["spec"]["groups"]
    assert group["rules"][0]["labels"] == {
        "runbooks": "https://docs.internal/run",
        "dashboard": "http://grafana/d/x",
    }
    assert "example.com" not in json.dumps(group)


# What others say of it


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda path: path.stem)
def test_kubernetes_would_take_each_variant(tmp_path: Path, variant: Path) -> None:
    said = run(tool("helm"), "lint", "--strict", CHART, "--values", variant).stdout
    assert "0 chart(s) failed" in said
    found = objects(rendered(tmp_path, "--values", variant))
    plain = [one for one in found if "monitoring.coreos.com" not in one["apiVersion"]]
    (tmp_path / "plain.yaml").write_text(yaml.safe_dump_all(plain))
    for version in VERSIONS:
        run(tool("kubernetes-validate"), "--strict", "-k", version, tmp_path / "plain.yaml")
    operated = [one for one in found if one not in plain]
    command = (tool("node"), "--input-type=module", "--eval", _OPERATOR)
    run(*command, input=json.dumps(operated), cwd=TOOLS)
    spoilt = [{**one, "spec": {**one["spec"], "selector": 1, "groups": 1}} for one in operated]
    assert (run(*command, input=json.dumps(spoilt), cwd=TOOLS, check=False).returncode == 0) == (
        not operated
    )


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda path: path.stem)
def test_helm_4_takes_each_variant_too(tmp_path: Path, variant: Path) -> None:
    chart = tmp_path / "watcher"
    shutil.copytree(CHART, chart)
    merged = _merged(defaults(), yaml.safe_load(variant.read_text()))
    (chart / "values.yaml").write_text(yaml.safe_dump(merged))
    said = run(tool("helm4-python"), "-c", _HELM_4, chart, tmp_path).stdout
    assert "ERROR" not in said
    assert (tmp_path / f"watcher-{__version__}.tgz").is_file()


def test_checkov_finds_nothing_else(tmp_path: Path) -> None:
    for variant in VARIANTS:
        (tmp_path / variant.name).write_text(rendered(tmp_path, "--values", variant))
    command = (
        tool("checkov"),
        "--skip-download",
        "--quiet",
        "--compact",
        "--framework",
        "kubernetes",
    )
    run(*command, "--config-file", CHART.parent / "checkov.yaml", "--directory", tmp_path)


# What its values do


def _merged(under: Any, over: Any) -> Any:
    """Return `over` upon `under`, as Helm merges values."""
    if not isinstance(under, dict) or not isinstance(over, dict):
        return over
    return under | {name: _merged(under.get(name), value) for name, value in over.items()}


def _paths(values: Any, known: set[str], path: str = "") -> Iterator[str]:
    """Yield the documented values that are set in `values`."""
    for name, value in values.items():
        here = f"{path}.{name}" if path else name
        if here in known:
            yield here
        elif isinstance(value, dict):
            yield from _paths(value, known, here)


def _documented() -> set[str]:
    return set(re.findall(r"^\| `([\w.]+)`", (CHART / "README.md").read_text(), re.MULTILINE))


def _without(values: Values, path: str) -> Values:
    changed = copy.deepcopy(values)
    *parents, name = path.split(".")
    place = changed
    for parent in parents:
        place = place[parent]
    del place[name]
    return changed


def test_every_value_is_documented_and_changes_something(tmp_path: Path) -> None:
    known = _documented()
    assert {*_paths(defaults(), known)} == known
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]
    assert {path.split(".")[0] for path in known} == schema.keys() - {"global", "enabled"}

    tried = set()
    for variant in VARIANTS:
        values = yaml.safe_load(variant.read_text())
        whole = rendered(tmp_path, values=values)
        for path in _paths(values, known):
            assert rendered(tmp_path, values=_without(values, path), check=False) != whole, (
                f"{path} of {variant.name} does nothing"
            )
            tried.add(path)
    assert known - tried == set()


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"replicaCount": 2}, "replicaCount: two watchers cannot share one SQLite file"),
        ({"replicaCount": -1}, "replicaCount"),
        (
            {
                "postgresql": {"urlSecret": {"name": "a"}},
                "config": {"store": {"url": "postgres://db/watcher"}},
            },
            "config.store.url",
        ),
        ({"replicaCout": 1}, "replicaCout"),
        ({"image": {"tagg": "1"}}, "tagg"),
        ({"image": {"digest": "abc"}}, "image.digest"),
        ({"persistence": {"size": "much"}}, "persistence.size"),
        ({"persistence": {"accessModes": ["ReadWriteMany"]}}, "persistence.accessModes"),
        ({"terminationGracePeriodSeconds": 5}, "terminationGracePeriodSeconds"),
        ({"secrets": ["watcher"]}, "secrets.0"),
        ({"config": {"pollling": {}}}, "pollling"),
        ({"config": {"polling": {"max_interval": "soon"}}}, "config.polling.max_interval"),
        ({"config": {"channels": [{"name": "a", "type": "pigeon"}]}}, "config.channels.0.type"),
        ({"config": {"telemetry": None}}, "config.telemetry"),
        (
            {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}},
            "podMonitor.enabled",
        ),
        ({"networkPolicy": {"from": []}}, "from"),
        ({"networkPolicy": {"apiFrom": [{}]}}, "networkPolicy.apiFrom.0"),
        ({"networkPolicy": {"telemetryFrom": [{"namespace": "x"}]}}, "telemetryFrom.0"),
    ],
)
def test_a_bad_value_is_named(tmp_path: Path, values: Values, named: str) -> None:
    assert named in rejection(tmp_path, values)


def test_two_pods_are_rejected_without_the_schema_too(tmp_path: Path) -> None:
    chart = tmp_path / "watcher"
    shutil.copytree(CHART, chart)
    (chart / "values.schema.json").unlink()
    assert "two watchers cannot share one SQLite file" in rejection(
        tmp_path, {"replicaCount": 2}, chart
    )


# PostgreSQL


def test_replicas_share_a_database_without_a_volume(tmp_path: Path) -> None:
    found = objects(rendered(tmp_path, "--values", CHART / "ci/replicas-values.yaml"))
    assert {one["kind"] for one in found} & {"StatefulSet", "PersistentVolumeClaim"} == set()
    deployment = kind(found, "Deployment")["spec"]
    assert deployment["replicas"] == 3
    volumes = {volume["name"] for volume in deployment["template"]["spec"]["volumes"]}
    assert volumes == {"config", "tmp", "secret-watcher"}
    assert kind(found, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    config = yaml.safe_load(kind(found, "ConfigMap")["data"]["watcher.yaml"])
    assert config["store"] == {"url": "postgresql://watcher@database/watcher"}


def test_the_url_of_the_database_stays_a_secret(tmp_path: Path) -> None:
    found = objects(rendered(tmp_path, "--values", CHART / "ci/postgresql-values.yaml"))
    deployment = kind(found, "Deployment")["spec"]
    (url,) = deployment["template"]["spec"]["containers"][0]["env"]
    assert url["valueFrom"]["secretKeyRef"] == {"name": "watcher-postgresql", "key": "uri"}
    update = deployment["strategy"]["rollingUpdate"]
    assert update == {"maxUnavailable": 0, "maxSurge": 1}, "one pod is replaced without a gap"
    assert "PodDisruptionBudget" not in {one["kind"] for one in found}
    ports = [port["port"] for port in kind(found, "NetworkPolicy")["spec"]["egress"][0]["ports"]]
    assert ports == [53, 53, 443, 5432]


# Secrets


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"sources": [{"name": "mixpeek", "api_key": CANARY}]}, "api_key"),
        ({"channels": [{"name": "a", "type": "webhook", "secrets": [CANARY]}]}, "secrets"),
        (
            {
                "channels": [
                    {"name": "a", "type": "slack", "url": f"https://slack.example/{CANARY}"}
                ]
            },
            "url",
        ),
        (
            {
                "channels": [
                    {"name": "a", "type": "slack", "bot_token": CANARY, "slack_channel": "C1"}
                ]
            },
            "bot_token",
        ),
        (
            {
                "channels": [
                    {"name": "a", "type": "apprise", "url": f"mailtos://me:{CANARY}@mail.example"}
                ]
            },
            "url",
        ),
        ({"sources": [{"proxy": f"http://me:{CANARY}@proxy.example:3128"}]}, "proxy"),
        ({"server": {"api_token": CANARY}}, "api_token"),
        ({"heartbeat": {"url": f"https://beat.example/{CANARY}"}}, "url"),
    ],
)
def test_a_secret_never_becomes_a_config_map(tmp_path: Path, config: Values, named: str) -> None:
    said = rejection(tmp_path, {"config": config})
    assert f"{named} is not allowed" in said
    assert CANARY not in said


def test_a_header_in_a_config_map_comes_from_a_file(tmp_path: Path) -> None:
    webhook: Values = {
        "name": "a",
        "type": "webhook",
        "url": "https://r.example/",
        "secrets_file": "/run/secrets/backend",
    }

    def config(value: object) -> Values:
        return {"config": {"channels": [webhook | {"headers": {"authorization": value}}]}}

    said = rejection(tmp_path, config(CANARY))
    assert "Invalid type. Expected: object, given: string" in said
    assert CANARY not in said
    file = {"file": "/run/secrets/token"}
    assert "/run/secrets/token" in rendered(tmp_path, values=config(file))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MIXPEEK_API_KEY", CANARY),
        ("WATCHER_API_TOKEN", CANARY),
        ("WATCHER_SERVER__API_TOKEN", CANARY),
        ("WATCHER_WEBHOOK_SECRETS", CANARY),
        ("WATCHER_SLACK_URL", f"https://slack.example/{CANARY}"),
        ("WATCHER_HEARTBEAT__URL", f"https://beat.example/{CANARY}"),
        ("WATCHER_CHANNELS", f'[{{"name": "a", "type": "slack", "url": "{CANARY}"}}]'),
        ("PGPASSWORD", CANARY),
        ("HTTPS_PROXY", f"http://me:{CANARY}@proxy.example:3128"),
    ],
)
def test_a_secret_is_no_plain_variable(tmp_path: Path, name: str, value: str) -> None:
    said = rejection(tmp_path, {"env": [{"name": name, "value": value}]})
    assert "env.0" in said
    assert CANARY not in said
    given = {"name": name, "valueFrom": {"secretKeyRef": {"name": "watcher", "key": "x"}}}
    found = objects(rendered(tmp_path, values={"env": [given]}))
    pod = kind(found, "StatefulSet")["spec"]["template"]["spec"]
    assert pod["containers"][0]["env"] == [given]


@pytest.mark.parametrize(
    "url", [f"https://me:{CANARY}@r.example/", f"https://r.example/?token={CANARY}"]
)
def test_the_url_of_a_webhook_in_a_config_map_has_neither_password_nor_query(
    tmp_path: Path, url: str
) -> None:
    webhook = {"name": "a", "type": "webhook", "url": url, "secrets_file": "/run/secrets/a"}
    assert "config.channels.0.url" in rejection(tmp_path, {"config": {"channels": [webhook]}})


@pytest.mark.parametrize("text", [False, True], ids=["map", "text"])
def test_an_additional_object_is_no_secret(tmp_path: Path, text: bool) -> None:
    one = {"apiVersion": "v1", "kind": "Secret", "stringData": {"key": CANARY}}
    said = rejection(tmp_path, {"extraObjects": [yaml.safe_dump(one) if text else one]})
    assert "extraObjects.0" in said
    assert CANARY not in said


def test_secrets_are_mounted_and_never_made(tmp_path: Path) -> None:
    for variant in VARIANTS:
        for one in objects(rendered(tmp_path, "--values", variant)):
            assert one["kind"] != "Secret"
    found = objects(rendered(tmp_path, "--values", CHART / "ci/channels-values.yaml"))
    pod = kind(found, "StatefulSet")["spec"]["template"]["spec"]
    mounts = {one["mountPath"]: one for one in pod["containers"][0]["volumeMounts"]}
    assert mounts["/run/secrets/watcher"]["readOnly"]
    assert "env" not in pod["containers"][0]


# What it makes


def test_the_daemon_takes_the_configuration_as_it_is_rendered(tmp_path: Path) -> None:
    """The secrets' files aside, of which there are none here."""
    found = objects(rendered(tmp_path, "--values", CHART / "ci/channels-values.yaml"))
    config = kind(found, "ConfigMap")["data"]["watcher.yaml"]
    for name in set(re.findall(r"/run/secrets/([\w./-]+)", config)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        given = {"backend": "whsec_" + "QUJD" * 11, "mail": "mailtos://me:made-up@example.com"}
        (tmp_path / name).write_text(given.get(Path(name).name, f"https://x.example/{name}"))
    (tmp_path / "watcher.yaml").write_text(config.replace("/run/secrets", str(tmp_path)))
    settings = loader.load(tmp_path / "watcher.yaml", {"HOME": str(tmp_path)})
    assert [one.name for one in settings.channels] == ["backend", "alerts", "batches", "mail"]
    assert settings.sources[0].requests_per_minute == 30


def test_with_tls_the_probes_and_prometheus_use_it(tmp_path: Path) -> None:
    found = objects(rendered(tmp_path, "--values", CHART / "ci/tls-values.yaml"))
    pod = kind(found, "StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    probes = [pod[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")]
    assert {probe["scheme"] for probe in probes} == {"HTTPS"}
    (endpoint,) = kind(found, "ServiceMonitor")["spec"]["endpoints"]
    assert (endpoint["scheme"], endpoint["tlsConfig"]["serverName"]) == ("https", "release-watcher")
    tls = {"certificate_file": "/a", "key_file": "/b", "client_ca_file": "/c"}
    assert "no client certificate" in rejection(tmp_path, {"config": {"telemetry": {"tls": tls}}})


def test_the_pod_may_do_nothing_that_it_need_not(tmp_path: Path) -> None:
    for pod in _pods(objects(rendered(tmp_path))):
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 65532
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def _pods(found: list[dict[str, Any]]) -> Iterator[Mapping[str, Any]]:
    yield kind(found, "StatefulSet")["spec"]["template"]["spec"]
    yield kind(found, "Pod")["spec"]


def test_a_changed_configuration_rolls_the_pod_and_nothing_else_does(tmp_path: Path) -> None:
    def stamp(values: Values) -> str:
        pod = kind(objects(rendered(tmp_path, values=values)), "StatefulSet")["spec"]["template"]
        checksum: str = pod["metadata"]["annotations"]["checksum/config"]
        return checksum

    assert stamp({}) == stamp({"service": {"type": "NodePort"}})
    assert stamp({}) != stamp({"config": {"polling": {"mode": "get"}}})


def test_the_api_is_reached_from_outside_only_where_it_is_opened(tmp_path: Path) -> None:
    def ports(values: Values) -> list[str]:
        return [
            one["name"]
            for one in kind(objects(rendered(tmp_path, values=values)), "Service")["spec"]["ports"]
        ]

    assert ports({}) == ["telemetry"]
    assert ports({"config": {"server": {"host": "127.0.0.1", "port": 9000}}}) == ["telemetry"]
    assert ports({"config": {"server": {"host": "0.0.0.0"}}}) == ["telemetry", "api"]


OURS = {
    "podSelector": {
        "matchLabels": {
            "app.kubernetes.io/name": "watcher",
            "app.kubernetes.io/instance": "release",
        }
    }
}
"""The pod of `helm test` has the labels of the watcher's."""
SEARCH = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "search"}}}


def test_the_network_policy_lets_in_only_what_is_named(tmp_path: Path) -> None:
    def policy(**values: Any) -> dict[str, Any]:
        spec: dict[str, Any] = kind(objects(rendered(tmp_path, values=values)), "NetworkPolicy")[
            "spec"
        ]
        assert spec["podSelector"] == OURS["podSelector"]
        return spec

    monitoring = defaults()["networkPolicy"]["telemetryFrom"]
    exposed = {"server": {"host": "0.0.0.0", "api_token_file": "/run/secrets/watcher/token"}}
    telemetry = {"ports": [{"port": "telemetry", "protocol": "TCP"}]}
    api = {"ports": [{"port": "api", "protocol": "TCP"}]}

    spec = policy()
    assert spec["policyTypes"] == ["Ingress"]
    assert spec["ingress"] == [telemetry | {"from": [OURS, *monitoring]}]
    assert policy(networkPolicy={"telemetryFrom": []})["ingress"] == [telemetry | {"from": [OURS]}]
    # An API that is exposed is let in for named peers only, and a peer is named in vain without.
    assert policy(config=exposed)["ingress"] == spec["ingress"]
    assert policy(networkPolicy={"apiFrom": [SEARCH]})["ingress"] == spec["ingress"]
    opened = policy(config=exposed, networkPolicy={"apiFrom": [SEARCH]})["ingress"]
    assert opened == [*spec["ingress"], api | {"from": [SEARCH]}]

    named = {"to": [SEARCH], "ports": [{"port": 8443, "protocol": "TCP"}]}
    limited = policy(networkPolicy={"restrictEgress": True, "extraEgress": [named]})
    assert limited["policyTypes"] == ["Ingress", "Egress"]
    anywhere, own, extra = limited["egress"]
    assert [one["port"] for one in anywhere["ports"]] == [53, 53, 443]
    assert (own["to"], extra) == ([OURS], named)


def test_liveness_depends_on_neither_upstream_nor_a_channel(tmp_path: Path) -> None:
    container = kind(objects(rendered(tmp_path)), "StatefulSet")["spec"]["template"]["spec"][
        "containers"
    ][0]
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "telemetry"}
    assert container["startupProbe"]["httpGet"] == {"path": "/healthz", "port": "telemetry"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "telemetry"}


def test_it_works_as_a_subchart(tmp_path: Path) -> None:
    parent = tmp_path / "parent"
    (parent / "charts").mkdir(parents=True)
    shutil.copytree(CHART, parent / "charts/watcher")
    about: dict[str, Any] = {"apiVersion": "v2", "name": "parent", "version": "1.0.0"}
    about["dependencies"] = [
        {"name": "watcher", "version": __version__, "condition": "watcher.enabled"}
    ]
    (parent / "Chart.yaml").write_text(yaml.safe_dump(about))
    values: dict[str, Any] = {"global": {"team": "search"}, "watcher": {"enabled": True}}
    assert kind(objects(rendered(tmp_path, values=values, chart=parent)), "StatefulSet")
    values["watcher"]["enabled"] = False
    assert rendered(tmp_path, values=values, chart=parent).strip() == ""
