"""Which addresses are public, in every form that hides one."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.core.addresses import is_public, literal

NOT_PUBLIC = """
    0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.254 168.63.129.16
    169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.192 192.168.1.1 198.18.0.1 224.0.0.1
    239.1.1.1 240.0.0.1 255.255.255.255 192.88.99.1 203.0.113.9
    :: ::1 ::7f00:1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%eth0 fec0::1 ff02::1 100::1 2001::1
    2001:db8::1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe
    64:ff9b:1::1 2002:7f00:1::1 2002:a00:1:: 2002:a9fe:a9fe::1 2620:1::5efe:10.0.0.1
    2620:1::200:5efe:127.0.0.1 3fff::1 5f00::1 4000::1
"""
PUBLIC = """
    1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.1 172.15.0.1 172.32.0.1 168.63.129.17 192.0.1.1
    223.1.1.1 2606:4700::1111 2a00:1450::8a ::ffff:8.8.8.8 64:ff9b::808:808 2002:808:808::1
    2620:1::5efe:8.8.8.8
"""


@pytest.mark.parametrize("address", NOT_PUBLIC.split())
def test_what_is_not_on_the_internet_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC.split())
def test_what_is_on_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses())
def test_what_python_considers_private_is_never_public(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    special = address.is_private or address.is_multicast or address.is_link_local
    # Versions of Python differ on addresses that contain one of IPv4; the tables above have those.
    contains = isinstance(address, ipaddress.IPv6Address) and (
        address.ipv4_mapped is not None or address.sixtofour is not None
    )
    assert contains or not (special and is_public(str(address)))


@pytest.mark.parametrize("text", ["", "localhost", "example.com", "999.1.1.1", "a" * 300])
def test_what_is_no_address_is_not_public(text: str) -> None:
    assert not is_public(text)
    assert literal(text) is None


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "0x7f000001", "0x7f.1", "2130706433", "0177.0.0.1"]
)
def test_every_form_of_an_address_is_one(host: str) -> None:
    assert literal(host) == "127.0.0.1"


def test_an_address_of_ipv6_is_one() -> None:
    assert literal("fe80::1%eth0") == "fe80::1"
