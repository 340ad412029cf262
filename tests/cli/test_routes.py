"""`watcher routes test`: the channels of an event, and why a route does not match."""

import json

import pytest

from tests.cli.harness import Finished, Harness, run

CHANNELS = [
    {"name": name, "type": "slack", "url": "http://127.0.0.1:1/"} for name in ("alerts", "search")
]
ROUTES = [
    {"channels": ["alerts"], "statuses": ["FAILED"]},
    {"channels": ["search"], "labels": {"team": "search"}, "initial": True},
]


@pytest.fixture(autouse=True)
def configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIXPEEK_API_KEY", "sk_made_up")
    monkeypatch.setenv("WATCHER_CHANNELS", json.dumps(CHANNELS))
    monkeypatch.setenv("WATCHER_ROUTES", json.dumps(ROUTES))


def routes_test(*arguments: str) -> Finished:
    return run("routes", "test", *arguments)


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (
            "--status FAILED --label team=search",
            [
                "routes[0] to alerts: yes",
                "routes[1] to search: yes",
                "task.failed matches: alerts, search",
            ],
        ),
        (
            "--status FAILED",
            [
                "routes[0] to alerts: yes",
                "routes[1] to search: no: the label team is not search",
                "task.failed matches: alerts",
            ],
        ),
        (
            "--status pending --label team=search",
            [
                "routes[0] to alerts: no: task.pending matches none of its events",
                "routes[1] to search: yes",
                "task.pending matches: search",
            ],
        ),
    ],
)
def test_each_route_has_its_result(arguments: str, lines: list[str]) -> None:
    finished = routes_test(*arguments.split())
    assert finished.exit_code == 0
    assert finished.stdout.splitlines() == lines


@pytest.mark.parametrize("event", ["source.unreachable", "channel.failing"])
def test_an_event_without_a_matching_route(event: str) -> None:
    assert routes_test("--event", event).stdout.splitlines()[-1] == f"{event} no matching route"


def test_the_result_as_json() -> None:
    result = json.loads(routes_test("--status", "FAILED", "--json").stdout)
    assert result == {
        "type": "task.failed",
        "channels": ["alerts"],
        "routes": [
            {"channels": ["alerts"], "not": None},
            {"channels": ["search"], "not": "the label team is not search"},
        ],
        "default": False,
    }


@pytest.mark.parametrize("arguments", [[], ["--status", "FAILED", "--event", "task.failed"]])
def test_either_a_status_or_an_event_is_needed(arguments: list[str]) -> None:
    finished = routes_test(*arguments)
    assert (finished.exit_code, finished.stderr) == (
        2,
        "watcher: set either --status or --event\n",
    )


def test_the_routes_are_those_of_the_running_daemon(harness: Harness) -> None:
    """The daemon has one webhook and no routes; the configuration here has others."""
    test = ("routes", "test", "--status", "FAILED", "--label", "team=search")
    assert harness.lines(*test) == ["default route to backend: yes", "task.failed matches: backend"]
    as_json = json.loads(harness.run(*test, "--json").stdout)
    assert as_json == {
        "type": "task.failed",
        "channels": ["backend"],
        "routes": [{"channels": ["backend"], "not": None}],
        "default": True,
    }
    assert harness.lines(*test, "--offline")[-1] == "task.failed matches: alerts, search"


def test_a_daemon_that_rejects_the_token_is_not_passed_over(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WATCHER_API_TOKEN")
    assert harness.run("routes", "test", "--status", "FAILED").exit_code == 4
