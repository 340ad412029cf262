"""Whether the daemon of this machine is alive: what `watcher healthcheck` does.

A container runs it every half minute, with as little as a tenth of a processor. So it imports
nothing that is slow to import: neither the settings, nor an HTTP library, nor the other commands.
Of the configuration it reads where the daemon listens, and does not judge the rest: a daemon runs
on while its file is broken.
"""

import base64
import errno
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from watcher.cli.streams import discard, guarded, unguarded
from watcher.configuration.defaults import find_file
from watcher.core.local_address import local_url
from watcher.core.texts import visible

if TYPE_CHECKING:
    import ssl

TIMEOUT = 4.0
"""Seconds; a container's health check has five."""
_ANSWER_LIMIT = 64 * 1024
_PREFIX = "WATCHER_"
_PORTS = {"telemetry": 9464, "server": 8080}
"""The default ports of both listeners, in the order in which they are tried."""
_NO_DAEMON = "cannot connect to the watcher"
_OPTIONS = {"-c": "config", "--config": "config", "--url": "url"}


class UnknownPortError(Exception):
    """No port of the daemon is known."""


class Probe(NamedTuple):
    """Where a daemon may listen: a URL, whose user and password are sent, or a socket."""

    url: str
    socket: Path | None = None
    tls: "ssl.SSLContext | None" = None


class ProbeResult(NamedTuple):
    """What a probe found at a URL, which is shown without user and password."""

    url: str
    good: bool
    text: str
    answered: bool
    """Whether a daemon is there, healthy or not."""


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int | None:
    """Run `watcher healthcheck` and return its exit code.

    Returns None if that takes the command of click: for help, an error, or TLS with `--url`.
    """
    options = _parsed(arguments)
    if options is None:
        return None
    url, config = options.get("url") or environ.get("WATCHER_URL"), options.get("config")
    if url and not url.startswith("http://"):
        return None
    try:
        probes = [Probe(url)] if url else probes_of(Path(config) if config else None, environ)
    except (UnknownPortError, OSError):
        return None
    found = check(probes)
    line = f"{found.url}: {'ok' if found.good else 'failed'}: {found.text}"
    try:
        with guarded():
            unguarded().write(f"{visible(line)}\n")
            unguarded().flush()
    except OSError:
        discard()  # the exit code says it, too
    return 0 if found.good else 1


def _parsed(arguments: Sequence[str]) -> dict[str, str] | None:
    options = {}
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        if name not in _OPTIONS:
            return None
        options[_OPTIONS[name]] = value if equals else next(rest, "")
    return options if all(options.values()) else None


# Where it listens


def probes_of(config: Path | None, environ: Mapping[str, str]) -> list[Probe]:
    """Return where the configured daemon may listen, the likeliest first.

    That is both listeners, because a file that was changed since the start may be right about one
    only, and their defaults if the file cannot be read. Raises `UnknownPortError`, and `OSError` if
    `config` is given and no file.
    """
    if config is not None:
        _require_file(config)
    file = find_file(config, environ)
    sections = {"server": {}} if file is None else _sections(file)
    for name, value in environ.items():
        section, separator, key = name.removeprefix(_PREFIX).lower().partition("__")
        if name.startswith(_PREFIX) and separator and section in _PORTS:
            sections.setdefault(section, {})[key.partition("__")[0]] = value
    probes = [_at(sections[name], name, environ) for name in _PORTS if name in sections]
    known = [probe for probe in probes if probe is not None]
    if not known:
        raise UnknownPortError
    return known


def _require_file(config: Path) -> None:
    """Raise `OSError` if no file has this name, which is then probably mistyped: what a default
    port says would be of another daemon.
    """
    with suppress(PermissionError):  # it may be there
        if config.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        config.stat()


def _sections(file: Path) -> dict[str, dict[str, Any]]:
    """Return the file's sections of both listeners; all defaults if it cannot be read."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        with file.open("rb") as stream:
            values = yaml.load(stream, loader) or {}  # noqa: S506  # a safe one
        present = {name: values[name] for name in _PORTS if values.get(name) is not None}
        return {"server": {}, **{name: dict(section) for name, section in present.items()}}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError, yaml.YAMLError):
        return {name: {} for name in _PORTS}


def _at(values: Mapping[str, Any], name: str, environ: Mapping[str, str]) -> Probe | None:
    if path := values.get("socket"):
        return Probe(f"unix://{path}", socket=Path(str(path)))
    try:
        port = int(values.get("port", _PORTS[name]))
    except (TypeError, ValueError):
        return None
    if not port:
        return None
    tls = _unverified(environ) if values.get("tls") else None
    host = str(values.get("host") or "127.0.0.1")
    return Probe(local_url(host, port, tls=tls is not None), tls=tls)


def _unverified(environ: Mapping[str, str]) -> "ssl.SSLContext":
    """Return a context that accepts any certificate, as the kubelet's probes do: no secret is sent,
    and nothing should restart a daemon because its certificate has expired.
    """
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if certificate := environ.get("WATCHER_CLIENT_CERTIFICATE_FILE"):
        key = environ.get("WATCHER_CLIENT_KEY_FILE") or None
        # Without it, the connection fails, and that is what is shown.
        with suppress(OSError):
            context.load_cert_chain(certificate, key, password=lambda: b"")
    return context


# Whether it answers


def check(probes: Sequence[Probe], timeout: float = TIMEOUT) -> ProbeResult:
    """Return what the first daemon says that answers, else what was found at the first of them."""
    deadline = time.monotonic() + timeout
    found = [_checked(probes[0], deadline)]
    for probe in probes[1:]:
        if found[-1].answered:
            break
        found.append(_checked(probe, deadline))
    return found[-1] if found[-1].answered else found[0]


def _checked(probe: Probe, deadline: float) -> ProbeResult:
    scheme, separator, rest = probe.url.partition("://")
    authority, slash, path = rest.partition("/")
    name = f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"
    try:
        status, body = _exchange(probe, deadline)
        text = str(json.loads(body)["status"])
    except TimeoutError:
        # It is there, and hangs.
        return ProbeResult(name, good=False, text=_NO_DAEMON, answered=True)
    except OSError:
        return ProbeResult(name, good=False, text=_NO_DAEMON, answered=False)
    except (ValueError, KeyError, TypeError, RecursionError):
        return ProbeResult(name, good=False, text="not a watcher API", answered=False)
    return ProbeResult(name, good=200 <= status < 300, text=text, answered=True)


def _exchange(probe: Probe, deadline: float) -> tuple[int, bytes]:
    """Send the request; return status and body.

    Raises `OSError`, or `ValueError` if the URL or the answer is not one of HTTP.
    """
    request, host, port = _request(probe)
    received = b""
    with _connected(probe, host, port, deadline) as stream:
        stream.sendall(request)
        while len(received) < _ANSWER_LIMIT:
            stream.settimeout(max(deadline - time.monotonic(), 0.001))
            part = stream.recv(_ANSWER_LIMIT)
            if not part:
                break
            received += part
    head, _, body = received.partition(b"\r\n\r\n")
    protocol, _, rest = head.partition(b" ")
    if not protocol.startswith(b"HTTP/1."):
        raise ValueError
    return int(rest[:3]), body


def _request(probe: Probe) -> tuple[bytes, str, int]:
    """Return a request of HTTP/1.0, whose response ends with the connection; the host and port."""
    url = "http://localhost" if probe.socket is not None else probe.url
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError
    parts = urlsplit(url)
    authority, slash, path = url.partition("://")[2].partition("/")
    user, _, host = authority.rpartition("@")
    lines = [f"GET {slash}{path}".rstrip("/") + "/healthz HTTP/1.0", f"host: {host}"]
    if user:
        credentials = base64.b64encode(unquote(user).encode()).decode()
        lines.append(f"authorization: Basic {credentials}")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return "\r\n".join([*lines, "", ""]).encode(), parts.hostname or "", port


@contextmanager
def _connected(probe: Probe, host: str, port: int, deadline: float) -> Iterator[socket.socket]:
    remaining = max(deadline - time.monotonic(), 0.001)
    if probe.socket is None:
        # Not through a proxy of the environment: the daemon is local.
        stream = socket.create_connection((host, port), remaining)
    else:
        stream = socket.socket(socket.AF_UNIX)
    with stream:
        stream.settimeout(remaining)
        if probe.socket is not None:
            stream.connect(str(probe.socket))
        if probe.tls is None:
            yield stream
        else:
            with probe.tls.wrap_socket(stream, server_hostname=host) as encrypted:
                yield encrypted
