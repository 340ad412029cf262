"""Which IP addresses are public: those that a packet to the internet can have.

`ipaddress.is_global` alone is not the rule: it differs between versions of Python, and considers
forms that contain a private IPv4 address, and addresses of metadata services, global.
"""

import ipaddress
import socket

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NOT_PUBLIC = [
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared by customers of a provider; metadata of Alibaba Cloud
        "127.0.0.0/8",
        "168.63.129.16/32",  # metadata of Azure
        "169.254.0.0/16",  # link-local; metadata of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocols; metadata of Oracle Cloud
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # multicast and reserved
        "2001::/23",  # protocols, Teredo among them
        "2001:db8::/32",
        "3fff::/20",
    )
]
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_ISATAP = frozenset({0x0000_5EFE, 0x0200_5EFE})


def is_public(address: str) -> bool:
    """Return whether `address` (IPv4 or IPv6, with or without a zone) is public.

    An address that contains an IPv4 address (mapped, NAT64, 6to4, ISATAP) is public if both are.
    False for any other text.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return _is_public(parsed)


def literal(host: str) -> str | None:
    """Return the address that the host of a URL is, in any form that resolvers accept for one
    (`127.1`, `0x7f000001`, `2130706433`, `0177.0.0.1`); None for a name.
    """
    try:
        return str(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except (OSError, ValueError):
        return None


def _is_public(address: _Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return _is_public(address.ipv4_mapped)
        if address in _NAT64:
            return _is_public(_last_bits(address))
        if address not in _GLOBAL_UNICAST:
            return False
        if address.sixtofour is not None and not _is_public(address.sixtofour):
            return False
        isatap = (int(address) >> 32) & 0xFFFF_FFFF in _ISATAP
        if isatap and not _is_public(_last_bits(address)):
            return False
    return not any(address in network for network in _NOT_PUBLIC)


def _last_bits(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
