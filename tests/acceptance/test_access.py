"""Who reaches the daemon: by a socket, with a token, over TLS; and what the log says of them."""

import os
import ssl
from pathlib import Path

import anyio
import httpx
import pytest

from tests.acceptance.daemon import PATIENCE, Site
from tests.support.certificates import Certificate, issue

pytestmark = pytest.mark.anyio

ROOT = issue("Acme Root", authority=True)


async def test_a_socket_instead_of_a_port(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "run" / "api.sock"
    site.environ.pop("WATCHER_SERVER__PORT")
    environ = {"WATCHER_SERVER__SOCKET": str(path)}
    async with site.daemon(**environ) as daemon:
        assert daemon.url == f"unix://{path}"
        # A web page cannot reach a socket, so any `Host` will do.
        async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(path))) as client:
            added = await client.post("http://any.example/v1/watches", json={"task_id": "task_1"})
            assert added.status_code == 201
        done = await site.command(None, "rm", "task_1", **environ)
        assert (done.returncode, done.stderr) == (0, b"")
        assert await daemon.stop() == 0
    (removed,) = (text for text in daemon.messages("info") if "removed task 'task_1'" in text)
    assert removed.startswith(f"uid {os.geteuid()}, pid ")
    assert any("the API has no token" in text for text in daemon.messages("warning"))
    assert left(path.parent) == []


def left(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_certificates_of_both_listeners_are_replaced_while_the_daemon_runs(
    site: Site, tmp_path: Path
) -> None:
    write(tmp_path, issue("first", ROOT, hosts=["127.0.0.1"]))
    tls = {"CERTIFICATE_FILE": str(tmp_path / "cert"), "KEY_FILE": str(tmp_path / "key")}
    environ = {
        **{f"WATCHER_SERVER__TLS__{key}": value for key, value in tls.items()},
        **{f"WATCHER_TELEMETRY__TLS__{key}": value for key, value in tls.items()},
        "WATCHER_TELEMETRY__HOST": "127.0.0.1",
        "WATCHER_TELEMETRY__PORT": "0",
        "WATCHER_API_TOKEN": "made-up-api-token",
    }
    async with site.daemon(**environ) as daemon:
        (telemetry,) = (
            text.rpartition(" ")[2] for text in daemon.messages() if "probes listen on" in text
        )
        assert {await subject(daemon.url), await subject(telemetry)} == {"first"}
        (tmp_path / "key").write_bytes(ROOT.key_pem)
        await site.until(lambda: len(rejected(daemon.messages("error"))) == 2)
        assert await subject(daemon.url) == "first"
        write(tmp_path, issue("second", ROOT, hosts=["127.0.0.1"]))
        with anyio.fail_after(PATIENCE):
            while {await subject(daemon.url), await subject(telemetry)} != {"second"}:
                await anyio.sleep(0.05)
        assert len(rejected(daemon.messages("error"))) == 2  # one line for each section
        (tmp_path / "root").write_bytes(ROOT.pem)
        done = await site.command(daemon, "ls", **environ, WATCHER_CA_FILE=str(tmp_path / "root"))
        assert done.returncode == 0, done.stderr.decode()


def write(folder: Path, certificate: Certificate) -> None:
    (folder / "cert").write_bytes(certificate.pem)
    (folder / "key").write_bytes(certificate.key_pem)


def rejected(messages: list[str]) -> list[str]:
    return [text for text in messages if "the key does not belong to the certificate" in text]


async def subject(url: str) -> str:
    """Return the name in the certificate of a new connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=ROOT.pem.decode())
    async with httpx.AsyncClient(verify=context, trust_env=False) as client:
        response = await client.get(f"{url}/healthz")
        stream = response.extensions["network_stream"]
        shown = stream.get_extra_info("ssl_object").getpeercert()
    return str(shown["subject"][0][0][1])
