"""Addresses of this machine. Pure."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Return whether `host`, a name or an address, is this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def local_url(host: str, port: int, *, tls: bool = False) -> str:
    """Return the base URL of a listener on `host` and `port`, as seen from this machine."""
    if host in ("0.0.0.0", "::"):  # noqa: S104  # both have it, and `::` is IPv4 alone in places
        host = "127.0.0.1"
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{shown}:{port}"
