"""Each TLS fault, made with real certificates and real servers, has words that say what to set."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.support.certificates import DAY, Certificate, issue
from watcher.core.settings import ConnectionSettings
from watcher.net.exchange import ExchangeError, exchange
from watcher.net.transport import create_transport

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ROOT = issue("Acme Root", authority=True)
OTHER_ROOT = issue("Other Root", authority=True)
INTERMEDIATE = issue("Acme Issuing", ROOT, authority=True)
LEAF = issue("server", INTERMEDIATE, hosts=["127.0.0.1"])


@contextmanager
def serving(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Run a server on loopback that passes each connection to `serve`; yield its port.

    Blocking sockets, because asyncio's servers send no TLS alert.
    """

    def run() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connection.settimeout(10)
                with connection, suppress(OSError):
                    serve(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=run)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


@contextmanager
def tls_server(
    folder: Path,
    *chain: Certificate,
    change: Callable[[ssl.SSLContext], None] = lambda context: None,
) -> Iterator[str]:
    """Run a server with the certificates `chain`, its own first; yield its URL."""
    file = folder / "server.pem"
    file.write_bytes(chain[0].key_pem + b"".join(one.pem for one in chain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    change(context)

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as encrypted:
            encrypted.recv(65536)
            encrypted.sendall(OK)

    with serving(serve) as port:
        yield f"https://127.0.0.1:{port}/hidden-path"


async def request(url: str, **settings: Path | bool) -> str:
    """Return the body of the answer, or the text of the error."""
    reached = ConnectionSettings.model_validate(settings)
    sent = httpx.Request("POST", url, content=b"{}", headers={"x-secret": "hidden-header"})
    async with create_transport(reached=reached) as transport:
        try:
            reply = await exchange(transport, sent, deadline=20.0, body_limit=100)
        except ExchangeError as error:
            assert "hidden" not in str(error)
            assert "127.0.0.1:" not in str(error)
            assert "\n" not in str(error)
            assert not error.not_sent
            return str(error)
    return reply.body.decode()


def written(folder: Path, *certificates: Certificate, key: bool = False) -> Path:
    file = folder / f"{'-'.join(one.name for one in certificates)}.pem".replace(" ", "_")
    content = b"".join(one.pem for one in certificates)
    file.write_bytes(content + (certificates[0].key_pem if key else b""))
    return file


INVALID = "the TLS certificate is not valid: "
SELF_SIGNED = issue("self", hosts=["127.0.0.1"])
WITH_ADDRESS = issue("public", INTERMEDIATE, hosts=["127.0.0.1"], issuer_address=True)
OLD_INTERMEDIATE = issue(
    "Acme Issuing", ROOT, authority=True, begins=-9 * DAY, ends=-DAY, like=INTERMEDIATE
)
OLD_ROOT = issue("Old Root", authority=True, begins=-9 * DAY, ends=-DAY)
PROBLEMS = {
    "expired": (
        [issue("old", ROOT, hosts=["127.0.0.1"], begins=-9 * DAY, ends=-DAY)],
        ROOT,
        "it expired on 20",
    ),
    "expired authority": (
        [
            LEAF,
            issue(
                "Acme Issuing", ROOT, authority=True, begins=-9 * DAY, ends=-DAY, like=INTERMEDIATE
            ),
        ],
        ROOT,
        'the certificate of its authority "Acme Issuing" expired on 20',
    ),
    "expired authority in the ca_file": (
        [issue("leaf", OLD_ROOT, hosts=["127.0.0.1"])],
        OLD_ROOT,
        "the certificate of its authority has expired: renew it in ca_file",
    ),
    "not yet valid": (
        [issue("new", ROOT, hosts=["127.0.0.1"], begins=DAY)],
        ROOT,
        "it is not yet valid, only from 20",
    ),
    "other host": (
        [issue("other", ROOT, hosts=["a.example", "b.example", "10.0.0.1", "c.example"])],
        ROOT,
        "it is for another host (a.example, b.example, c.example and 1 more): check the host",
    ),
    "no name": (
        [issue("127.0.0.1", ROOT)],
        ROOT,
        "it has no subject alternative name (SAN)",
    ),
    "unknown authority of the system": (
        [LEAF, INTERMEDIATE],
        None,
        'the authority "Acme Root" is unknown: set ca_file to a PEM file with its certificate',
    ),
    "unknown authority that is sent": (
        [LEAF, INTERMEDIATE, ROOT],
        OTHER_ROOT,
        'the authority "Acme Root" is unknown: set ca_file',
    ),
    "unknown authority alone": (
        [issue("leaf", ROOT, hosts=["127.0.0.1"])],
        None,
        'the authority "Acme Root" is unknown: set ca_file',
    ),
    "self-signed": ([SELF_SIGNED], ROOT, "it is self-signed: if you trust it, set ca_file"),
    "missing intermediate": (
        [LEAF],
        ROOT,
        'its issuer "Acme Issuing" is neither in ca_file nor sent by the server: the server must '
        "send the missing intermediate certificate",
    ),
    "missing intermediate of a public authority": (
        [WITH_ADDRESS],
        None,
        'the server does not send the intermediate certificate "Acme Issuing"',
    ),
    "a certificate for clients": (
        [issue("client", ROOT, hosts=["127.0.0.1"], for_clients=True)],
        ROOT,
        "unsuitable certificate purpose",
    ),
}


@pytest.mark.parametrize("problem", PROBLEMS)
async def test_each_fault_of_a_certificate_has_its_own_words(tmp_path: Path, problem: str) -> None:
    chain, root, text = PROBLEMS[problem]
    settings = {} if root is None else {"ca_file": written(tmp_path, root)}
    with tls_server(tmp_path, *chain) as url:
        assert (await request(url, **settings)).startswith(INVALID + text)


async def test_a_valid_chain_a_trusted_intermediate_and_a_trusted_certificate_are_accepted(
    tmp_path: Path,
) -> None:
    for chain, trusted in (
        ((LEAF, INTERMEDIATE), ROOT),
        ((LEAF,), INTERMEDIATE),
        ((SELF_SIGNED,), SELF_SIGNED),
    ):
        with tls_server(tmp_path, *chain) as url:
            assert await request(url, ca_file=written(tmp_path, trusted)) == "ok"


async def test_an_old_authority_without_key_identifiers_works_unless_strict(tmp_path: Path) -> None:
    root = issue("Old Acme Root", authority=True, key_identifiers=False)
    leaf = issue("leaf", root, hosts=["127.0.0.1"], key_identifiers=False)
    ca_file = written(tmp_path, root)
    with tls_server(tmp_path, leaf) as url:
        assert await request(url, ca_file=ca_file) == "ok"
        text = await request(url, ca_file=ca_file, strict_certificates=True)
    assert text.startswith(INVALID + "Missing ")
    assert text.endswith("(if strict_certificates is set, unset it)")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_client_certificate_that_is_missing_or_rejected(
    tmp_path: Path, version: ssl.TLSVersion
) -> None:
    ca_file = written(tmp_path, ROOT)

    def require(context: ssl.SSLContext) -> None:
        context.load_verify_locations(ca_file)
        context.verify_mode = ssl.CERT_REQUIRED
        context.maximum_version = version

    client = written(tmp_path, issue("client", ROOT), key=True)
    strange = written(tmp_path, issue("strange", OTHER_ROOT), key=True)
    old = written(tmp_path, issue("old", ROOT, begins=-9 * DAY, ends=-DAY), key=True)
    with tls_server(tmp_path, LEAF, INTERMEDIATE, change=require) as url:
        assert await request(url, ca_file=ca_file, client_certificate_file=client) == "ok"
        missing = await request(url, ca_file=ca_file)
        unknown = await request(url, ca_file=ca_file, client_certificate_file=strange)
        expired = await request(url, ca_file=ca_file, client_certificate_file=old)

    wanted = "the server requires a client certificate: set client_certificate_file"
    rejected = "the server rejects the client certificate, because it"
    unknown_authority = f"{rejected} does not know its authority: check client_certificate_file"
    has_expired = f"{rejected} has expired: renew client_certificate_file"
    if version is ssl.TLSVersion.TLSv1_2:
        assert (missing, unknown, expired) == (wanted, unknown_authority, has_expired)
    # With TLS 1.3 the request is on its way by then, and a reset may overtake the alert. One that
    # arrives while the request is written says nothing about certificates.
    closed = "the connection was closed without a response after the TLS handshake"
    for text, expected in ((missing, wanted), (unknown, unknown_authority), (expired, has_expired)):
        if version is ssl.TLSVersion.TLSv1_3 and text == "connection reset by peer":
            continue
        assert text == expected or text.startswith(closed)
        assert "client certificate" in text
        assert "client_certificate_file" in text


async def test_an_old_protocol_version_and_no_common_cipher(tmp_path: Path) -> None:
    def old(context: ssl.SSLContext) -> None:
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning):
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1

    def unusual(context: ssl.SSLContext) -> None:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("PSK:@SECLEVEL=0")

    ca_file = written(tmp_path, ROOT)
    with tls_server(tmp_path, LEAF, INTERMEDIATE, change=old) as url:
        assert await request(url, ca_file=ca_file) == (
            "the server and the watcher share no TLS protocol version: "
            "the server must allow TLS 1.2 or 1.3"
        )
    with tls_server(tmp_path, LEAF, INTERMEDIATE, change=unusual) as url:
        assert (await request(url, ca_file=ca_file)).startswith(
            "the server and the watcher share no TLS cipher"
        )


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"220 mail.example ESMTP\r\n", b"\0" * 20]
)
async def test_a_port_without_tls(answer: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(65536)

    with serving(serve) as port:
        text = await request(f"https://127.0.0.1:{port}/hidden")
    assert text.startswith("the port does not use TLS (plain HTTP?): check the port")


async def test_a_server_that_closes_in_the_handshake() -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(65536)

    with serving(serve) as port:
        text = await request(f"https://127.0.0.1:{port}/hidden")
    assert text.startswith("the server closed the connection during the TLS handshake")


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"\x15\x03\x01\x00\x02\x02\x46", "the port expects TLS, not plain HTTP: begin the URL"),
        (b"", "the connection was closed without a response: if the port expects TLS, begin"),
    ],
)
async def test_plain_http_to_a_port_that_expects_tls(answer: bytes, text: str) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(answer)

    with serving(serve) as port:
        assert (await request(f"http://127.0.0.1:{port}/hidden")).startswith(text)
