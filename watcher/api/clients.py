"""Who sends a request: addresses of clients, for the log and for limits."""

import ipaddress

from starlette.types import Scope


def peer_of(scope: Scope) -> str:
    """Return the address of a request's client; at a Unix socket its user and process."""
    client = scope.get("client")
    return str(client[0]) if client else "an unknown peer"


def at_socket(scope: Scope) -> bool:
    """Return whether a request came through a Unix socket, which no web page can reach."""
    server = scope.get("server")
    return server is not None and server[1] is None


def group_of(peer: str) -> str:
    """Return what one client can be expected to hold of addresses: of IPv6 a network of 64 bits,
    at a Unix socket all processes of a user.
    """
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer.partition(", pid")[0]
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), 64), strict=False))
