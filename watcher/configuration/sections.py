"""The sections of the configuration file."""

from pydantic import BaseModel

from watcher.core.settings import (
    HeartbeatSettings,
    LogSettings,
    PollingSettings,
    ServerSettings,
    StoreSettings,
    TelemetrySettings,
)

SECTIONS: dict[str, type[BaseModel]] = {
    "polling": PollingSettings,
    "store": StoreSettings,
    "server": ServerSettings,
    "telemetry": TelemetrySettings,
    "heartbeat": HeartbeatSettings,
    "log": LogSettings,
}
LISTS = ("sources", "channels", "routes", "discovery")
