"""The daemon's HTTP API as the commands use it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import httpx

from watcher.core.errors import DaemonError
from watcher.core.interfaces.source import UPLOADS_PER_REQUEST

ADD_LIMIT = 1000
_PAGE = 1000
_ENDLESS = 2**62
_TIMEOUT = 40.0  # longer than the daemon waits for the request budget and for upstream


def headers(token: str | None) -> dict[str, str]:
    """Return the headers that every request to a daemon carries."""
    return {"authorization": f"Bearer {token}"} if token else {}


def unreachable(url: str) -> DaemonError:
    """Return the error of a daemon that does not answer."""
    return DaemonError(
        f"no watcher answers at {url}; start one with `watcher run`, or name it with --url"
    )


def refusal(response: httpx.Response) -> DaemonError:
    """Return what a refused request means; the body of `response` has been read."""
    if response.status_code == 401:
        return DaemonError("the watcher wants its token: set WATCHER_API_TOKEN", 401)
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        detail = "no watcher seems to listen there"
    return DaemonError(f"HTTP {response.status_code}: {detail}", response.status_code)


class Client:
    """One connection to a daemon. Every method raises `DaemonError`."""

    def __init__(
        self, url: str, token: str | None, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._url = url
        # A proxy of the environment has nothing to do with a daemon beside us.
        self._http = httpx.Client(
            base_url=url,
            headers=headers(token),
            timeout=_TIMEOUT,
            trust_env=False,
            transport=transport,
        )

    def add(self, entries: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        """Watch tasks, 1,000 a request, and yield each answer."""
        for start in range(0, len(entries), ADD_LIMIT):
            yield self._ask("POST", "/v1/watches", json=entries[start : start + ADD_LIMIT])

    def watches(self, **query: Any) -> Iterator[dict[str, Any]]:
        """Yield every watch the query selects."""
        return self._items("/v1/watches", query)

    def watch(self, task_id: str, source: str | None) -> dict[str, Any]:
        """Return one watch with its transitions."""
        return self._ask(
            "GET", f"/v1/watches/{quote(task_id, safe='')}", params=_given(source=source)
        )

    def remove(self, task_id: str, source: str | None) -> None:
        """Take a task off the watchlist."""
        self._ask("DELETE", f"/v1/watches/{quote(task_id, safe='')}", params=_given(source=source))

    def deliveries(self, **query: Any) -> Iterator[dict[str, Any]]:
        """Yield every delivery the query selects."""
        return self._items("/v1/deliveries", query)

    def delivery(self, delivery_id: int) -> dict[str, Any]:
        """Return one delivery with its attempts."""
        return self._ask("GET", f"/v1/deliveries/{delivery_id}")

    def retry(self, delivery_id: int) -> dict[str, Any]:
        """Send a delivery once more."""
        return self._ask("POST", f"/v1/deliveries/{delivery_id}/retry")

    def replay(self, channel: str, **chosen: Any) -> int:
        """Send a channel the chosen events once more; returns how many were queued."""
        return int(
            self._ask("POST", f"/v1/channels/{_quoted(channel)}/replay", json=_given(**chosen))[
                "queued"
            ]
        )

    def purge(self, channel: str, **chosen: Any) -> int:
        """Remove a channel's deliveries for good; returns how many."""
        return int(
            self._ask("POST", f"/v1/channels/{_quoted(channel)}/purge", json=_given(**chosen))[
                "purged"
            ]
        )

    def channels(self) -> Iterator[dict[str, Any]]:
        """Yield every channel of the daemon's configuration."""
        yield from self._ask("GET", "/v1/channels")["items"]

    def pause(self, channel: str, reason: str | None) -> dict[str, Any]:
        """Have nothing sent to a channel."""
        return self._ask(
            "POST", f"/v1/channels/{_quoted(channel)}/pause", json=_given(reason=reason)
        )

    def resume(self, channel: str) -> dict[str, Any]:
        """Have a channel sent to again."""
        return self._ask("POST", f"/v1/channels/{_quoted(channel)}/resume")

    def upstream_tasks(
        self, source: str, wanted: Mapping[str, Any], limit: int | None
    ) -> Iterator[dict[str, Any]]:
        """Yield upstream's own tasks, at most `limit`."""
        return self._pages(f"/v1/sources/{_quoted(source)}/tasks/list", wanted, {}, limit)

    def batches(
        self,
        source: str,
        bucket: str,
        wanted: Mapping[str, Any],
        namespace: str | None,
        limit: int | None,
    ) -> Iterator[dict[str, Any]]:
        """Yield a bucket's batches, at most `limit`."""
        path = f"/v1/sources/{_quoted(source)}/buckets/{_quoted(bucket)}/batches/list"
        return self._pages(path, wanted, _given(namespace=namespace), limit)

    def cancel_batch(
        self, source: str, bucket: str, batch: str, reason: str | None, namespace: str | None
    ) -> dict[str, Any]:
        """Cancel a batch, and return upstream's answer."""
        path = f"/v1/sources/{_quoted(source)}/buckets/{_quoted(bucket)}/batches/{_quoted(batch)}/cancel"
        return self._ask("POST", path, params=_given(reason=reason, namespace=namespace))

    def kill(self, source: str, task_id: str) -> dict[str, Any]:
        """Kill a task, and return upstream's answer."""
        return self._ask("DELETE", f"/v1/sources/{_quoted(source)}/tasks/{_quoted(task_id)}")

    def confirm_uploads(
        self,
        source: str,
        bucket: str,
        confirmations: Sequence[Mapping[str, Any]],
        *,
        namespace: str | None,
        resend_doubtful: bool,
    ) -> Iterator[list[dict[str, Any]]]:
        """Confirm uploads, a hundred a request, and yield what became of each hundred."""
        path = f"/v1/sources/{_quoted(source)}/buckets/{_quoted(bucket)}/uploads/confirm"
        for start in range(0, len(confirmations), UPLOADS_PER_REQUEST):
            body = {
                "confirmations": confirmations[start : start + UPLOADS_PER_REQUEST],
                "resend_doubtful": resend_doubtful,
            }
            yield self._ask("POST", path, json=body, params=_given(namespace=namespace))["items"]

    def _pages(
        self, path: str, wanted: Mapping[str, Any], query: Mapping[str, Any], limit: int | None
    ) -> Iterator[dict[str, Any]]:
        cursor: str | None = None
        left = _ENDLESS if limit is None else limit
        while left > 0:
            page = self._ask(
                "POST",
                path,
                json=wanted,
                params={**_given(cursor=cursor), **query, "limit": min(left, _PAGE)},
            )
            yield from page["items"][:left]
            left -= len(page["items"])
            if (cursor := page["next_cursor"]) is None:
                return

    def _items(self, path: str, query: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        cursor: str | None = None
        while True:
            page = self._ask("GET", path, params=_given(**query, limit=_PAGE, cursor=cursor))
            yield from page["items"]
            if (cursor := page["next_cursor"]) is None:
                return

    def _ask(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        try:
            response = self._http.request(method, path, **content)
        except (httpx.TransportError, httpx.InvalidURL, httpx.UnsupportedProtocol):
            raise unreachable(self._url) from None
        if not response.is_success:
            raise refusal(response)
        if response.status_code == 204:
            return {}
        try:
            answer: dict[str, Any] = response.json()
        except ValueError:
            raise unreachable(self._url) from None
        return answer


def _quoted(part: str) -> str:
    return quote(part, safe="")


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, (), [])}
