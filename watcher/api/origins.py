"""Which requests come from a page of someone else: `Host`, `Origin` and `Sec-Fetch-Site`.

A browser sends what a page wants to any address it can reach, and names the page in `Origin`
(RFC 6454) and `Sec-Fetch-Site` (W3C Fetch Metadata). A page whose name was rebound to our address
(DNS rebinding) is of the same origin for the browser; its name is in `Host` then.
"""

import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_AUTHORITY = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_LONGEST = 253  # characters of a name in DNS (RFC 1035)
_OWN_SITES = frozenset({"same-origin", "none"})
_PRIVATE_DOMAINS = (".svc", ".local", ".localhost", ".internal", ".home.arpa")
"""Domains that cannot be bought: of Kubernetes, RFC 6762, RFC 6761, ICANN and RFC 8375."""


@dataclass(frozen=True, kw_only=True)
class Authority:
    """A host in lower case, an IPv6 address without brackets, and the port if it is there."""

    host: str
    port: int | None


def authority_of(text: str) -> Authority | None:
    """Return the parts of a `Host`; None for anything but an address or a name, and a port.

    User names, escapes, zones, spaces, trailing dots and numbers that only look like an address
    (`127.1`, `0x7f000001`) are not accepted.
    """
    found = _AUTHORITY.fullmatch(text.lower())
    if found is None:
        return None
    host, port = found["host"], int(found["port"]) if found["port"] else None
    if port is not None and not 0 < port < 65536:
        return None
    bracketed = host.startswith("[")
    if (address := _address(host.strip("[]"))) is not None:
        is_ipv6 = address.version == 6
        return Authority(host=str(address), port=port) if is_ipv6 == bracketed else None
    looks_numeric = host.rpartition(".")[2][:1].isdigit() and not host.strip("0123456789abcdefx.")
    if bracketed or looks_numeric or len(host) > _LONGEST or _NAME.fullmatch(host) is None:
        return None
    return Authority(host=host, port=port)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def is_reached_privately(host: str) -> bool:
    """Return whether no page on the internet can be served under `host`: an address, a name without
    a domain, or one in a domain that cannot be bought.
    """
    return _address(host) is not None or "." not in host or host.endswith(_PRIVATE_DOMAINS)


def origin_of(url: str | None) -> str | None:
    """Return the origin of an http(s) URL as a browser sends it; None without one."""
    if url is None:
        return None
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = "" if parts.port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f":{parts.port}"
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}"


def is_foreign(
    host: Authority | None,
    origins: Collection[str],
    sites: Collection[str],
    allowed: Collection[str],
) -> bool:
    """Return whether a page of another origin than `host`, and none that is `allowed`, sends this.

    `origins` and `sites` are all values of `Origin` and of `Sec-Fetch-Site`.
    """
    if len(origins) > 1 or len(sites) > 1:
        return True
    for origin in origins:
        if origin in allowed:
            return False
        if host is None or not _is_origin_of(origin, host):
            return True
    return any(site not in _OWN_SITES for site in sites)


def _is_origin_of(origin: str, host: Authority) -> bool:
    scheme, separator, rest = origin.partition("://")
    authority = authority_of(rest)
    if not separator or scheme not in _DEFAULT_PORTS or authority is None:
        return False
    # A proxy may have ended TLS, so the scheme is the browser's to know. Both leave out its port.
    default = _DEFAULT_PORTS[scheme]
    return (authority.host, authority.port or default) == (host.host, host.port or default)
