"""Which `Host` a request may name at each listener."""

from watcher.api.origins import is_reached_privately
from watcher.core.listener_settings import TelemetrySettings
from watcher.core.local_address import is_loopback
from watcher.core.settings import Settings

NOT_OF_API = "without a token the API is limited to localhost; set server.api_token"
NOT_OF_TELEMETRY = "not a name of this listener; see telemetry.hosts"
NOT_OF_EITHER = "not a name of this listener"


def of_api(host: str, settings: Settings) -> bool:
    """Return whether `host` may name the API: any, if requests need a token."""
    return settings.server.api_token is not None or is_loopback(host)


def of_telemetry(host: str, settings: Settings) -> bool:
    """Return whether `host` is a name of the telemetry listener."""
    telemetry = settings.telemetry or TelemetrySettings()
    if host in telemetry.hosts:
        return True
    return is_loopback(host) if is_loopback(telemetry.host) else is_reached_privately(host)


def of_either(host: str, settings: Settings) -> bool:
    """Return whether `host` may name a listener of a daemon whose store is not open."""
    return settings.server.api_token is not None or of_telemetry(host, settings)
