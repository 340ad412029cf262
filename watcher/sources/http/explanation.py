"""How a source reads one task, step by step, for `watcher sources test`."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

import anyio
import msgspec

from watcher.core.errors import SourceError
from watcher.core.interfaces.source import Explanation, Finding
from watcher.core.masking import SECRETS
from watcher.core.tasks import KNOWN_STATUSES, Answer, Observation, TaskNotFound
from watcher.core.texts import cut
from watcher.net.exchange import Reply
from watcher.net.rate_limit_headers import RateLimit, rate_limits
from watcher.sources._connection import Connection
from watcher.sources.http.items import ItemReader, decoded, word_of
from watcher.sources.http.language import Rule
from watcher.sources.http.pages import Page
from watcher.sources.http.paths import Path, first_value, path_text, value_at
from watcher.sources.http.requests import GetRequests, Position

_VALUE_SHOWN = 80
_WORDS_SHOWN = 12


class Explainer:
    """Requests a task, and explains what its answer says."""

    def __init__(self, connection: Connection, requests: GetRequests, reader: ItemReader) -> None:
        self._connection = connection
        self._requests = requests
        self._language = reader.language

    async def explain(self, task_id: str, answer_of: Callable[[str, Reply], Answer]) -> Explanation:
        """Raises `ValueError` for an ID of another form, and `SourceError`."""
        call = self._requests.call(task_id)
        began = anyio.current_time()
        reply = await self._connection.request(call)
        took = anyio.current_time() - began
        answer = answer_of(task_id, reply)
        found = list(self._findings(decoded(reply.body)[0], reply.status))
        return Explanation(
            request=_request(f"{call.method} {self._connection.url(call)}", reply, took),
            findings=[] if isinstance(answer, TaskNotFound) else found,
            budget=[_limit(limit) for limit in rate_limits(reply.headers, self._connection.wall())],
            listed=None,
            answer=answer,
        )

    def _findings(self, whole: object, http_status: int) -> Iterator[Finding]:
        language = self._language
        for path in language.id:
            yield _finding("id", path, whole)
        word = word_of(whole, language, http_status)
        decided = False
        for number, rule in enumerate(language.rules):
            holds = all(one.holds(value_at(whole, path)) for path, one in rule.when.items())
            applies = holds and not decided
            decided = decided or holds
            yield _rule(number, rule, whole, applies=applies)
        for path in language.status:
            found = first_value(whole, [path])
            means = None if found is None or word is None else language.statuses.canonical(word)
            yield _finding("status", path, whole, _meaning(means, decided))
            decided = decided or found is not None
        if http_status in language.http_statuses:
            status = language.http_statuses[http_status]
            yield Finding(name="http", path="HTTP status", value=str(http_status), meaning=status)
        elif word is None and language.absent is not None:
            yield Finding(name="absent", path="", value=None, meaning=language.absent)
        for name, paths in (("type", language.type), ("error", language.error)):
            yield from (_finding(name, path, whole) for path in paths)
        for name, paths in language.fields.items():
            yield from (_finding(name, path, whole) for path in paths)


def _meaning(status: str | None, decided: bool) -> str | None:
    if status is None or decided:
        return None
    return status if status in KNOWN_STATUSES else f"{status or 'no status'} (not mapped!)"


def _rule(number: int, rule: Rule, whole: object, *, applies: bool) -> Finding:
    values = (value_at(whole, path) for path in rule.when)
    return Finding(
        name=f"rules[{number}]",
        path=rule.text,
        value=", ".join(_shown(value) or "absent" for value in values),
        meaning=f"{rule.status} (applies)" if applies else None,
    )


def _finding(name: str, path: Path, whole: object, meaning: str | None = None) -> Finding:
    value = _shown(value_at(whole, path))
    return Finding(name=name, path=path_text(path), value=value, meaning=meaning)


def _shown(value: object) -> str | None:
    if value is None:
        return None
    return cut(SECRETS.text(msgspec.json.encode(value).decode()), _VALUE_SHOWN)


def _request(request: str, reply: Reply, seconds: float) -> str:
    size = len(reply.body) / 1024
    return f"{request} → {reply.status} in {seconds * 1000:.0f} ms, {size:.1f} KiB"


def _limit(limit: RateLimit) -> str:
    parts = []
    if limit.limit is not None:
        window = "" if limit.window is None else f" in {limit.window:g} s"
        parts.append(f"{limit.limit:g} requests{window}")
    if limit.remaining is not None:
        parts.append(f"{limit.remaining:g} remaining")
    if limit.reset_after is not None:
        parts.append(f"reset in {limit.reset_after:.0f} s")
    return ", ".join(parts)


async def explain_list(
    pages: AsyncIterator[tuple[Page, Position | None]], task_id: str, route: str
) -> str:
    """Return one line about the list: its size, whether the task is on it, the words seen."""
    words: Counter[str] = Counter()
    unmapped: set[str] = set()
    items = read = 0
    on_page, more = None, False
    try:
        async for page, following in pages:
            read, items, more = read + 1, items + page.count, following is not None
            for task in page.tasks:
                if isinstance(task, Observation):
                    word = task.detail().upstream_status or task.status
                    words[word] += 1
                    unmapped |= {word} if task.status not in KNOWN_STATUSES else set()
                on_page = read if task.task_id == task_id and on_page is None else on_page
            if on_page is not None:
                break
    except SourceError as error:
        return f"{route} fails: {error}"
    pages_read = "the page" if read == 1 else f"any of {read} pages"
    place = f"this task is on page {on_page}" if on_page else f"this task is not on {pages_read}"
    return f"{route}: {items} items{', more' if more else ''}; {place}; {_words(words, unmapped)}"


def _words(words: Counter[str], unmapped: set[str]) -> str:
    shown: Sequence[tuple[str, int]] = words.most_common(_WORDS_SHOWN)
    texts = (
        f"{word} {count}{' (not mapped!)' if word in unmapped else ''}" for word, count in shown
    )
    return f"words seen: {', '.join(texts) or 'none'}"
