"""The settings of the two listeners: the HTTP API, and telemetry."""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from watcher.core.setting_types import ApiToken, ListeningHost, Model, http_url, split_url


def _origin(text: str) -> str:
    try:
        parts = split_url(text)
        valid = text == f"{parts.scheme}://{parts.netloc}"
    except ValueError:
        valid = False
    if not valid:
        raise ValueError("invalid origin; expected one such as https://console.example")
    return text


def _external(text: str) -> str:
    if split_url(http_url(text)).query:
        raise ValueError("must not contain a query")
    return text.rstrip("/")


def _split_text(value: Any) -> Any:
    """Return the parts of a text: a variable gives a list as text."""
    return value.replace(",", " ").split() if isinstance(value, str) else value


def _host_name(text: str) -> str:
    name = text.lower()
    if re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", name) is None:
        raise ValueError("expected a name such as watcher.example.com, without a port")
    return name


class TlsSettings(Model):
    """TLS of a listener. The files are read again when they change."""

    certificate_file: Path
    """PEM file with the certificate, followed by intermediate ones."""
    key_file: Path
    """PEM file with the key of the certificate, without a passphrase."""
    client_ca_file: Path | None = None
    """PEM file with certificate authorities: clients must have a certificate of one of them."""

    def files(self) -> frozenset[Path]:
        """Return the files that the listener needs."""
        files = (self.certificate_file, self.key_file, self.client_ca_file)
        return frozenset(file for file in files if file is not None)


SOCKET_PATH_LIMIT = 107
"""Bytes of a socket's path: `sun_path` of unix(7), without its final zero."""


def _socket_path(path: Path | None) -> Path | None:
    if path is not None and not path.is_absolute():
        raise ValueError("expected an absolute path, because commands run in other folders")
    if path is not None and len(os.fsencode(path)) > SOCKET_PATH_LIMIT:
        raise ValueError(f"the path of a socket has at most {SOCKET_PATH_LIMIT} bytes")
    return path


class ServerSettings(Model):
    """The HTTP API."""

    host: ListeningHost = "127.0.0.1"
    """Address to listen on; `::` for all, IPv4's too. All but loopback require `api_token`."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """Port to listen on; 0 for any free one."""
    socket: Annotated[Path | None, AfterValidator(_socket_path)] = None
    """Path of a Unix socket to listen on instead, for its owner and group only."""
    tls: TlsSettings | None = None
    """Certificate and key; without them the API is plain HTTP."""
    api_token: ApiToken | None = None
    """Bearer token that clients must send, of at least 16 characters."""
    external_url: Annotated[str, AfterValidator(_external)] | None = None
    """URL, with its path, at which people reach the watcher's pages; Slack messages link there."""
    cors_origins: Annotated[
        tuple[Annotated[str, AfterValidator(_origin)], ...], BeforeValidator(_split_text)
    ] = ()
    """Web origins allowed to call the API from a browser; they require `api_token`."""

    @model_validator(mode="after")
    def _origins_need_a_token(self) -> Self:
        if self.cors_origins and self.api_token is None:
            raise ValueError("cors_origins need an api_token")
        return self

    @model_validator(mode="after")
    def _socket_or_port(self) -> Self:
        if self.socket is not None and self.model_fields_set & {"host", "port"}:
            raise ValueError("give either socket, or host and port")
        if self.socket is not None and self.tls is not None:
            raise ValueError("tls does not apply to a socket, which does not leave this machine")
        return self


class TelemetrySettings(Model):
    """The optional second listener: metrics and probes only."""

    host: ListeningHost = "0.0.0.0"  # noqa: S104  # Prometheus and the kubelet connect from outside the pod
    """Address to listen on; `::` for all, IPv4's too, and those alone where IPv6 is missing."""
    port: Annotated[int, Field(ge=0, le=65535)] = 9464
    """Port to listen on."""
    hosts: Annotated[
        tuple[Annotated[str, AfterValidator(_host_name)], ...], BeforeValidator(_split_text)
    ] = ()
    """Public names that clients use; addresses and names inside a network always work."""
    tls: TlsSettings | None = None
    """Certificate and key; without them the listener is plain HTTP."""
