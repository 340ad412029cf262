"""TLS errors as the commands and the log show them, for a channel and for a source."""

import json
import socket
from pathlib import Path

import pytest

from tests.acceptance.daemon import Site, add
from tests.net.test_tls import OK, serving, tls_server
from tests.support.certificates import DAY, issue

pytestmark = pytest.mark.anyio

ROOT = issue("Acme Root", authority=True)


def settings(site: Site, url: str, ca_file: Path) -> dict[str, str]:
    """The site's configuration, with a channel at `url` and a second source there."""
    channel = json.loads(site.environ["WATCHER_CHANNELS"])[0]
    (source,) = json.loads(site.environ["WATCHER_SOURCES"])
    upstream = {**source, "base_url": site.environ["MIXPEEK_BASE_URL"]}
    broken = {**source, "name": "broken", "base_url": url, "ca_file": str(ca_file)}
    return {
        "WATCHER_CHANNELS": json.dumps([{**channel, "url": url, "ca_file": str(ca_file)}]),
        "WATCHER_SOURCES": json.dumps([upstream, broken]),
    }


async def test_an_expired_certificate_in_the_log_the_attempts_and_the_test_of_a_channel(
    site: Site, tmp_path: Path
) -> None:
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(ROOT.pem)
    expired = issue("old", ROOT, hosts=["127.0.0.1"], begins=-9 * DAY, ends=-DAY)
    text = "the TLS certificate is not valid: it expired on 20"
    site.upstream.set("task_1", "FAILED")
    with tls_server(tmp_path, expired) as url:
        environ = settings(site, url, ca_file)
        tested = await site.command(None, "channels", "test", **environ)
        assert tested.returncode == 1
        assert text in (tested.stdout + tested.stderr).decode()
        async with site.daemon(**environ) as daemon:
            await add(daemon, "task_1")
            await site.command(daemon, "add", "task_2", "--source", "broken")
            await site.until(lambda: all_named(daemon.messages(), text))
            (delivery,) = await site.json(daemon, "deliveries")
            attempts = await site.command(daemon, "attempts", str(delivery["id"]))
            assert text in attempts.stdout.decode()


def all_named(messages: list[str], text: str) -> bool:
    """Return whether the log has the text for the channel and for the source."""
    found = [message for message in messages if text in message]
    return any("backend" in one for one in found) and any("broken" in one for one in found)


async def test_a_port_without_tls_in_the_test_of_a_channel(site: Site, tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(ROOT.pem)

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(OK)

    with serving(serve) as port:
        environ = settings(site, f"https://127.0.0.1:{port}/hidden", ca_file)
        tested = await site.command(None, "channels", "test", **environ)
    output = (tested.stdout + tested.stderr).decode()
    assert tested.returncode == 1
    assert "the port does not use TLS (plain HTTP?)" in output
    assert "hidden" not in output
