"""The fake Mixpeek API for the source contract suite."""

from contextlib import AbstractAsyncContextManager

from tests.contract.source_fakes import KEY
from watcher.sources.mixpeek import Settings
from watcher.testing.faults import Fault
from watcher.testing.mixpeek_server import FakeUpstream


class Fake:
    """Implements `tests.contract.source_fakes.SourceFake`."""

    def __init__(self, key: str = KEY) -> None:
        self._upstream = FakeUpstream(api_key=key)

    @property
    def fault(self) -> Fault | None:
        return self._upstream.fault

    @fault.setter
    def fault(self, fault: Fault | None) -> None:
        self._upstream.fault = fault

    @property
    def request_count(self) -> int:
        return self._upstream.requests.total()

    def settings(self, url: str, *, timeout: float = 10.0) -> Settings:
        return Settings(base_url=url, api_key=KEY, requests_per_minute=None, timeout=timeout)

    def serve(self) -> AbstractAsyncContextManager[str]:
        return self._upstream.serve()

    def set_task(
        self,
        task_id: str,
        status: str,
        *,
        task_type: str | None = None,
        error: str | None = None,
        extra: str | None = None,
    ) -> None:
        self._upstream.set(
            task_id, status, task_type=task_type, error_message=error, extra_field=extra
        )
