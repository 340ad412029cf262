"""A client of the daemon's HTTP API."""

import ssl
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import httpx

from watcher.cli.address import Address
from watcher.cli.tables import FIRST_PAGE, PAGE
from watcher.core.errors import DaemonError
from watcher.net.url import quote_segment

ADD_LIMIT = 1000
_UNLIMITED = 2**62
NOT_CONNECTED = (httpx.TransportError, httpx.InvalidURL)
"""What a request raises that reaches no daemon."""
_TIMEOUT = 40.0  # seconds; longer than the daemon waits for its request budget and for upstream


def headers(token: str | None) -> dict[str, str]:
    """Return the headers of every request to a daemon."""
    return {"authorization": f"Bearer {token}"} if token else {}


def unreachable(address: Address, error: Exception) -> DaemonError:
    """Return the error of a daemon that cannot be reached, or does not prove who it is."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            reason = getattr(cause, "verify_message", None) or cause.reason or "no reason given"
            return DaemonError(
                f"no TLS connection to the watcher at {address.shown}: {reason}; "
                "WATCHER_CA_FILE may name a PEM file with its certificate authority"
            )
        cause = cause.__cause__ or cause.__context__
    return DaemonError(
        f"cannot connect to the watcher at {address.shown}; start it with `watcher run`, "
        "or set --url"
    )


def error_of(response: httpx.Response) -> DaemonError:
    """Return the error of a failed request; the body of `response` has been read."""
    if response.status_code == 401:
        text = "authentication required: name its configuration with -c, or set WATCHER_API_TOKEN"
        return DaemonError(text, 401)
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return not_a_watcher(response)
    return DaemonError(f"HTTP {response.status_code}: {detail}", response.status_code)


def not_a_watcher(response: httpx.Response) -> DaemonError:
    """Return the error of a response that a watcher's API does not send."""
    text = f"HTTP {response.status_code}: not a watcher API; check --url"
    return DaemonError(text, response.status_code)


class Client:
    """One connection to a daemon. Every method raises `DaemonError`."""

    def __init__(self, address: Address, transport: httpx.BaseTransport | None = None) -> None:
        self._address = address
        # Not through a proxy of the environment: the daemon is local.
        self._http = httpx.Client(
            base_url=address.base_url,
            headers=headers(address.token),
            timeout=_TIMEOUT,
            trust_env=False,
            transport=transport or address.transport(),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def add(self, entries: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        """Watch tasks, 1,000 per request, and yield each response."""
        for start in range(0, len(entries), ADD_LIMIT):
            yield self._call("POST", "/v1/watches", json=entries[start : start + ADD_LIMIT])

    def watches(self, limit: int | None = None, **query: Any) -> Iterator[dict[str, Any]]:
        """Yield the watches the query selects, at most `limit`."""
        return self._pages("GET", "/v1/watches", limit, query)

    def watch(self, task_id: str, source: str | None) -> dict[str, Any]:
        """Return one watch with its transitions."""
        return self._call("GET", _watch(task_id), params=_without_none(source=source))

    def remove(self, task_id: str, source: str | None) -> None:
        """Remove a task from the watchlist."""
        self._call("DELETE", _watch(task_id), params=_without_none(source=source))

    def deliveries(self, limit: int | None = None, **query: Any) -> Iterator[dict[str, Any]]:
        """Yield the deliveries the query selects, at most `limit`."""
        return self._pages("GET", "/v1/deliveries", limit, query)

    def delivery(self, delivery_id: int) -> dict[str, Any]:
        """Return one delivery with its attempts."""
        return self._call("GET", f"/v1/deliveries/{delivery_id}")

    def retry(self, delivery_id: int) -> dict[str, Any]:
        """Retry a delivery."""
        return self._call("POST", f"/v1/deliveries/{delivery_id}/retry")

    def retry_failed(self, channel: str, **criteria: Any) -> int:
        """Retry failed deliveries of a channel; return how many were queued."""
        body = {"channel": channel, **_without_none(**criteria)}
        return int(self._call("POST", "/v1/deliveries/retry", json=body)["queued"])

    def replay(self, channel: str, **criteria: Any) -> int:
        """Resend events to a channel; return how many were queued."""
        path = f"{_channel(channel)}/replay"
        return int(self._call("POST", path, json=_without_none(**criteria))["queued"])

    def purge(self, channel: str, **criteria: Any) -> int:
        """Permanently delete deliveries of a channel; return how many."""
        path = f"{_channel(channel)}/purge"
        return int(self._call("POST", path, json=_without_none(**criteria))["purged"])

    def status(self) -> dict[str, Any]:
        """Return what the daemon does now, and what needs attention."""
        return self._call("GET", "/v1/status")

    def channels(self) -> Iterator[dict[str, Any]]:
        """Yield every channel of the daemon's configuration."""
        yield from self._call("GET", "/v1/channels")["items"]

    def test_channel(self, channel: str, kind: str) -> dict[str, Any]:
        """Send a test message to a channel; return how that ended."""
        return self._call("POST", f"{_channel(channel)}/test", json={"type": kind})

    def test_routes(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return which channels would receive an event, and what each route says."""
        return self._call("POST", "/v1/routes/test", json=_without_none(**event))

    def pause(self, channel: str, reason: str | None) -> dict[str, Any]:
        """Pause a channel."""
        path = f"{_channel(channel)}/pause"
        return self._call("POST", path, json=_without_none(reason=reason))

    def resume(self, channel: str) -> dict[str, Any]:
        """Resume a channel."""
        return self._call("POST", f"{_channel(channel)}/resume")

    def upstream_tasks(
        self, source: str | None, criteria: Mapping[str, Any], limit: int | None
    ) -> Iterator[dict[str, Any]]:
        """Yield tasks of the upstream API, at most `limit`."""
        return self._pages("POST", f"{self._source(source)}/tasks/list", limit, json=criteria)

    def batches(
        self,
        source: str | None,
        bucket: str,
        criteria: Mapping[str, Any],
        namespace: str | None,
        limit: int | None,
    ) -> Iterator[dict[str, Any]]:
        """Yield a bucket's batches, at most `limit`."""
        path = f"{self._source(source)}/buckets/{quote_segment(bucket)}/batches/list"
        return self._pages("POST", path, limit, {"namespace": namespace}, json=criteria)

    def cancel_batch(
        self, source: str | None, bucket: str, batch: str, reason: str | None, namespace: str | None
    ) -> dict[str, Any]:
        """Cancel a batch; return upstream's response."""
        of_bucket = f"{self._source(source)}/buckets/{quote_segment(bucket)}"
        path = f"{of_bucket}/batches/{quote_segment(batch)}/cancel"
        return self._call("POST", path, params=_without_none(reason=reason, namespace=namespace))

    def kill(self, source: str | None, task_id: str) -> dict[str, Any]:
        """Kill a task; return upstream's response."""
        return self._call("DELETE", f"{self._source(source)}/tasks/{quote_segment(task_id)}")

    def confirm_uploads(
        self,
        source: str | None,
        bucket: str,
        confirmations: Sequence[Mapping[str, Any]],
        *,
        namespace: str | None,
        resend_doubtful: bool,
    ) -> Iterator[dict[str, Any]]:
        """Confirm uploads, a hundred per request, and yield each response."""
        path = f"{self._source(source)}/buckets/{quote_segment(bucket)}/uploads/confirm"
        # Imported here, because it is slow to import.
        from watcher.core.interfaces.source import UPLOADS_PER_REQUEST

        for start in range(0, len(confirmations), UPLOADS_PER_REQUEST):
            body = {
                "confirmations": confirmations[start : start + UPLOADS_PER_REQUEST],
                "resend_doubtful": resend_doubtful,
            }
            yield self._call("POST", path, json=body, params=_without_none(namespace=namespace))

    def _source(self, name: str | None) -> str:
        """Return the path of a source: the first that the daemon has, if none is named."""
        if name is None:
            name = next((source["name"] for source in self.status()["sources"]), "mixpeek")
        return f"/v1/sources/{quote_segment(name)}"

    def _pages(
        self,
        method: str,
        path: str,
        limit: int | None,
        query: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Iterator[dict[str, Any]]:
        """Yield the items of a list, at most `limit`, page by page."""
        cursor: str | None = None
        remaining, size = _UNLIMITED if limit is None else limit, FIRST_PAGE
        while remaining > 0:
            params = _without_none(**query or {}, cursor=cursor, limit=min(remaining, size))
            page = self._call(method, path, params=params, **options)
            yield from page["items"][:remaining]
            remaining, size = remaining - len(page["items"]), PAGE
            if (cursor := page["next_cursor"]) is None:
                return

    def _call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        try:
            response = self._http.request(method, path, **options)
        except NOT_CONNECTED as error:
            raise unreachable(self._address, error) from None
        if not response.is_success:
            raise error_of(response)
        if response.status_code == 204:
            return {}
        try:
            content = response.json()
        except (ValueError, RecursionError):
            raise not_a_watcher(response) from None
        if not isinstance(content, dict) or not _has_items(content):
            raise not_a_watcher(response)
        return _Content(content)


class _Content(dict[str, Any]):
    """What a daemon answered. A field that is missing was not written by a watcher."""

    def __missing__(self, name: str) -> Any:
        raise DaemonError(f"the answer has no {name}: not a watcher API; check --url")


def _channel(name: str) -> str:
    """Return the path of a channel."""
    return f"/v1/channels/{quote_segment(name)}"


def _watch(task_id: str) -> str:
    """Return the path of a watch."""
    return f"/v1/watches/{quote_segment(task_id)}"


def _has_items(content: Mapping[str, Any]) -> bool:
    """Return whether the `items`, if there are any, are a list of objects."""
    items = content.get("items", [])
    return isinstance(items, list) and all(isinstance(item, dict) for item in items)


def _without_none(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, (), [])}
