"""`Host` and `Origin`, parsed strictly."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.api.origins import authority_of, is_foreign, is_reached_privately


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("localhost", "localhost", None),
        ("LocalHost:80", "localhost", 80),
        ("127.0.0.1:8080", "127.0.0.1", 8080),
        ("[::1]", "::1", None),
        ("[0:0:0:0:0:0:0:1]:80", "::1", 80),
        ("a-b.c_d.example:65535", "a-b.c_d.example", 65535),
        ("1password.example", "1password.example", None),
        ("xn--bcher-kva.example", "xn--bcher-kva.example", None),
    ],
)
def test_addresses_and_names(text: str, host: str, port: int | None) -> None:
    authority = authority_of(text)
    assert authority is not None
    assert (authority.host, authority.port) == (host, port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " localhost",
        "localhost ",
        "localhost\n",
        "localhost.",
        ".localhost",
        "a..b",
        "-a",
        "user@localhost",
        "localhost@evil.example",
        "localhost:",
        "localhost:0",
        "localhost:65536",
        "localhost:-1",
        "localhost:+80",
        "localhost:80:80",
        "localhost:８０",
        "localhost/",
        "localhost#",
        "localhost?",
        "local%68ost",
        "127.1",
        "127.0.0.01",
        "0x7f000001",
        "0x7f.0.0.1",
        "2130706433",
        "256.0.0.1",
        "::1",
        "[::1",
        "[::1]80",
        "[127.0.0.1]",
        "[localhost]",
        "[fe80::1%eth0]",
        "bücher.example",
        "localhost, evil.example",
        "a" * 64,
        "a." * 127 + "a",
    ],
)
def test_what_is_neither(text: str) -> None:
    assert authority_of(text) is None


@given(st.ip_addresses(), st.none() | st.integers(1, 65535))
def test_every_address_is_understood(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int | None
) -> None:
    host = f"[{address}]" if address.version == 6 else str(address)
    authority = authority_of(host if port is None else f"{host}:{port}")
    assert authority is not None
    assert (ipaddress.ip_address(authority.host), authority.port) == (address, port)
    assert is_reached_privately(authority.host)


@given(st.text(max_size=30))
def test_any_text_is_an_authority_or_not(text: str) -> None:
    authority = authority_of(text)
    assert authority is None or (authority.host.isascii() and "@" not in authority.host)


@pytest.mark.parametrize(
    ("host", "origin", "foreign"),
    [
        ("127.0.0.1:8080", "http://127.0.0.1:8080", False),
        ("LOCALHOST:8080", "http://localhost:8080", False),
        ("watcher.example", "https://watcher.example", False),
        ("watcher.example:443", "https://watcher.example", False),
        ("[::1]:8080", "http://[::1]:8080", False),
        ("127.0.0.1:8080", "http://127.0.0.1:8081", True),
        ("127.0.0.1:8080", "http://127.0.0.1", True),
        ("localhost:8080", "http://127.0.0.1:8080", True),
        ("watcher.example", "http://watcher.example:8080", True),
        ("watcher.example", "https://watcher.example.evil.example", True),
        ("watcher.example", "https://watcher.example/", True),
        ("watcher.example", "https://user@watcher.example", True),
        ("watcher.example", "https://watcher.example.", True),
        ("watcher.example", "file://watcher.example", True),
        ("watcher.example", "watcher.example", True),
        ("watcher.example", "null", True),
        ("watcher.example", "", True),
        ("watcher.example", "https://console.example", False),
        ("watcher.example", "HTTPS://console.example", True),
    ],
)
def test_an_origin_is_the_host_or_configured(host: str, origin: str, foreign: bool) -> None:
    authority = authority_of(host)
    assert authority is not None
    assert is_foreign(authority, [origin], [], ["https://console.example"]) is foreign
