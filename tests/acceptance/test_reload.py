"""A configuration that changes while the daemon runs."""

import base64
import json
import signal
from pathlib import Path

import pytest

from tests.acceptance.daemon import Site, add
from tests.support.records import SECRET

pytestmark = pytest.mark.anyio


async def test_sighup_reloads_the_configuration_and_an_invalid_one_changes_nothing(
    site: Site, tmp_path: Path
) -> None:
    path = tmp_path / "watcher.yaml"
    path.write_text("log: {level: info}\n")
    site.upstream.set("task_1", "IN_PROGRESS")
    async with site.daemon(WATCHER_CONFIG=str(path)) as daemon:
        await add(daemon, "task_1")
        await site.until(lambda: site.event_types() == ["task.in_progress"])
        path.write_text("log: {levell: info}\n")
        daemon.process.send_signal(signal.SIGHUP)
        await site.until(
            lambda: any("nothing was changed" in line for line in daemon.messages("error"))
        )
        assert "watcher_config_last_reload_successful 0.0" in await daemon.metrics()
        # The corrected file is read without a signal.
        path.write_text("telemetry: {host: 127.0.0.1, port: 0}\n")
        await site.until(
            lambda: (
                "a change to telemetry needs a restart; the old value is kept" in daemon.messages()
            )
        )
        await site.until(lambda: "configuration reloaded" in daemon.messages())
        assert "watcher_config_last_reload_successful 1.0" in await daemon.metrics()
        site.upstream.set("task_1", "COMPLETED")
        await site.until(lambda: site.event_types() == ["task.in_progress", "task.completed"])
        assert await daemon.stop() == 0


async def test_a_changed_secrets_file_signs_without_a_restart(site: Site, tmp_path: Path) -> None:
    file, config = tmp_path / "secrets", tmp_path / "watcher.yaml"
    file.write_text("whsec_" + base64.b64encode(bytes(32)).decode())
    config.write_text("log: {level: info}\n")
    backend = {"name": "backend", "type": "webhook", "url": site.hook, "secrets_file": str(file)}
    site.upstream.set("task_1", "PENDING")
    site.upstream.set("task_2", "PENDING")
    channels = json.dumps([backend])
    async with site.daemon(WATCHER_CHANNELS=channels, WATCHER_CONFIG=str(config)) as daemon:
        await add(daemon, "task_1")
        await site.until(lambda: site.receiver.received)
        file.write_text("whsec_invalid")
        await site.until(lambda: any("nothing was changed" in line for line in daemon.log))
        config.write_text("log: [\n")  # a secret is used even while the file is invalid
        replacement = tmp_path / "replacement"
        replacement.write_text(SECRET)
        replacement.rename(file)
        await site.until(lambda: any("changed secrets are used" in line for line in daemon.log))
        await add(daemon, "task_2")
        await site.until(lambda: any(received.verified for received in site.receiver.received))
        assert await daemon.stop() == 0
    assert not site.receiver.received[0].verified
