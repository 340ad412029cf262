"""The settings of a receiver over HTTP that may have to be on the internet."""

from typing import Self
from urllib.parse import urlsplit

from pydantic import SecretStr, model_validator

from watcher.core.addresses import is_public, literal
from watcher.core.settings import ConnectionSettings


class ReceiverSettings(ConnectionSettings):
    """How a receiver is reached over HTTP."""

    deny_private: bool = False
    """Connect to public addresses only, whatever the host resolves to: not to private, loopback,
    link-local, shared, multicast or metadata ones."""

    @model_validator(mode="after")
    def _on_the_internet(self) -> Self:
        if not self.deny_private:
            return self
        if self.proxy is not None:
            raise ValueError("deny_private cannot hold with a proxy, which resolves the host")
        for name in ("url", "api_url"):
            url = getattr(self, name, None)
            text = url.get_secret_value() if isinstance(url, SecretStr) else url or ""
            if _is_local(urlsplit(text).hostname or ""):
                raise ValueError(
                    f"the host of {name} is not on the internet, as deny_private demands"
                )
        return self


def _is_local(host: str) -> bool:
    """Return whether the host of a URL can never be on the internet."""
    host = host.rstrip(".")
    address = literal(host)
    local = host == "localhost" or host.endswith(".localhost")
    return local or (address is not None and not is_public(address))
