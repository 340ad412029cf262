"""Where the daemon listens, and how a command connects to it.

In this order: `--url` or WATCHER_URL; `server` in the configuration; the default port of loopback.
"""

import os
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click
import httpx

from watcher.cli.bounded import AsyncBoundedTransport, BoundedTransport
from watcher.cli.terminal import say
from watcher.core.errors import ConfigurationError
from watcher.core.masking import SECRETS
from watcher.core.secret_parts import passwords_in

if TYPE_CHECKING:
    from watcher.core.listener_settings import ServerSettings, TlsSettings

DEFAULT_URL = "http://127.0.0.1:8080"
_UNIX = "unix:"
_CLIENT_FILES = ("WATCHER_CLIENT_CERTIFICATE_FILE", "WATCHER_CLIENT_KEY_FILE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a daemon listens. `url` may have a password, `shown` has none."""

    url: str
    token: str | None = None
    socket: Path | None = None
    encryption: ssl.SSLContext | None = None

    @property
    def shown(self) -> str:
        """The URL for messages."""
        return shown(self.url)

    @property
    def base_url(self) -> str:
        """The URL for requests: what precedes their paths."""
        return self.url if self.socket is None else "http://localhost"

    def transport(self) -> httpx.HTTPTransport:
        """Return a connection for the blocking client."""
        return BoundedTransport(encryption=self.encryption, uds=self._uds())

    def async_transport(self) -> httpx.AsyncHTTPTransport:
        """Return a connection for the asynchronous client."""
        return AsyncBoundedTransport(encryption=self.encryption, uds=self._uds())

    def _uds(self) -> str | None:
        return None if self.socket is None else str(self.socket)

    def exposes_secrets(self) -> bool:
        """Return whether a token or password would be sent unencrypted to another machine."""
        from watcher.core.local_address import is_loopback

        try:
            parts = urlsplit(self.url)
        except ValueError:
            return False  # nothing is sent there
        secret = self.token or parts.password
        return bool(secret) and parts.scheme == "http" and not is_loopback(parts.hostname or "")


def shown(url: str) -> str:
    """Return `url` without user name and password."""
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"


def find(url: str | None, config: Path | None, environ: Mapping[str, str]) -> Address:
    """Return the address of the daemon that a command is for, and mask its secrets from now on.

    Raises `ConfigurationError` if the configuration or a file of certificates cannot be used.
    """
    address = _find(url, config, environ)
    SECRETS.add([*passwords_in(address.url), *([address.token] if address.token else [])])
    return address


def _find(url: str | None, config: Path | None, environ: Mapping[str, str]) -> Address:
    token = _token(environ)
    if url is not None:
        return given(url, token, environ)
    from watcher.configuration import defaults

    file = defaults.find_file(config, environ)
    if file is None and not any(name.startswith("WATCHER_SERVER") for name in environ):
        return Address(url=DEFAULT_URL, token=token)
    from watcher.configuration import loader

    settings = loader.load_server(file, environ)
    if token is None and settings.api_token is not None:
        token = settings.api_token.get_secret_value()
    return _configured(settings, token, environ)


def _token(environ: Mapping[str, str]) -> str | None:
    """Return the token of the environment. Raises `ConfigurationError` if no header can carry it:
    an empty one is a mistake, too.
    """
    if "WATCHER_API_TOKEN" not in environ:
        return None
    from watcher.core.secret_texts import beyond_ascii, without_blanks

    token = without_blanks(environ["WATCHER_API_TOKEN"])
    if not token:
        raise ConfigurationError(["WATCHER_API_TOKEN: must not be empty"])
    if fault := beyond_ascii(token):
        raise ConfigurationError([f"WATCHER_API_TOKEN: {fault}, which no header can carry"])
    return token


def given(url: str, token: str | None, environ: Mapping[str, str]) -> Address:
    """Return the address at `url`; raises like `find`."""
    if url.startswith(_UNIX):
        path = Path(url.removeprefix(_UNIX).removeprefix("//"))
        if not path.is_absolute():
            raise click.UsageError(f"invalid URL {url!r}; expected one such as unix:///run/x.sock")
        return Address(url=url, token=token, socket=path)
    encryption = _verified(environ) if _scheme(url) == "https" else None
    return Address(url=url.rstrip("/"), token=token, encryption=encryption)


def _scheme(url: str) -> str:
    """Return the scheme of a URL that a request can be sent to; raises `click.UsageError`."""
    with suppress(httpx.InvalidURL, UnicodeError):
        parsed = httpx.URL(url)
        if parsed.scheme in ("http", "https") and parsed.host.encode("idna"):
            return parsed.scheme
    raise click.UsageError(
        f"invalid URL {shown(url)!r}; expected one such as {DEFAULT_URL} or unix:///run/x.sock"
    )


def _configured(
    settings: "ServerSettings", token: str | None, environ: Mapping[str, str]
) -> Address:
    if settings.socket is not None:
        return Address(url=f"unix://{settings.socket}", token=token, socket=settings.socket)
    if settings.port == 0:
        raise ConfigurationError(
            ["the configured port is 0, so the actual one is unknown: set --url"]
        )
    from watcher.core.local_address import local_url

    url = local_url(settings.host, settings.port, tls=settings.tls is not None)
    encryption = None if settings.tls is None else _pinned(settings.tls, environ)
    return Address(url=url, token=token, encryption=encryption)


def _verified(environ: Mapping[str, str]) -> ssl.SSLContext:
    """Return a context that trusts WATCHER_CA_FILE, else the system's authorities."""
    from watcher.core.settings import ConnectionSettings
    from watcher.net.tls import tls_context

    names = dict(
        zip(
            ("ca_file", "client_certificate_file", "client_key_file"),
            ("WATCHER_CA_FILE", *_CLIENT_FILES),
            strict=True,
        )
    )
    files = {key: Path(environ[name]) for key, name in names.items() if environ.get(name)}
    try:
        return tls_context(ConnectionSettings.model_validate(files))
    except ConfigurationError as error:
        key, _, text = error.problems[0].partition(": ")
        raise ConfigurationError([f"{names.get(key, key)}: {text}"]) from None


def _pinned(settings: "TlsSettings", environ: Mapping[str, str]) -> ssl.SSLContext:
    """Return a context that trusts the configured certificate alone, for any host name: a command
    connects to the daemon of this machine by its address.
    """
    try:
        text = settings.certificate_file.read_text(encoding="ascii", errors="replace")
        begin, _, _ = text.partition("-----END CERTIFICATE-----")  # not those of its authorities
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata=f"{begin}-----END CERTIFICATE-----\n")
        certificate, key = (environ.get(name) or None for name in _CLIENT_FILES)
        if certificate is not None:
            context.load_cert_chain(certificate, key, password=lambda: b"")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(
            [f"server.tls: the certificate cannot be used for a connection: {reason}"]
        ) from None
    return context


def of_environment(url: str | None, config: Path | None) -> Address:
    """Return the address of the daemon, and warn before a secret would be sent unencrypted."""
    address = find(url, config, os.environ)
    if address.exposes_secrets():
        say(
            f"watcher: warning: {address.shown} is not encrypted: the network can read the API "
            "token; use https://",
            err=True,
        )
    return address
