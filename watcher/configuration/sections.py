"""The sections of the configuration file."""

from pydantic import BaseModel

from watcher.core.listener_settings import ServerSettings, TelemetrySettings
from watcher.core.settings import HeartbeatSettings, LogSettings, PollingSettings, StoreSettings

SECTIONS: dict[str, type[BaseModel]] = {
    "polling": PollingSettings,
    "store": StoreSettings,
    "server": ServerSettings,
    "telemetry": TelemetrySettings,
    "heartbeat": HeartbeatSettings,
    "log": LogSettings,
}
LISTS = ("sources", "channels", "routes", "discovery")
