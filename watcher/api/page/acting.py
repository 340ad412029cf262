"""What all actions of the page share: a question as a page, and an answer as a redirect."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Depends, Request, Response
from pydantic import BaseModel, ValidationError

from watcher.api.dependencies import Daemon, Running
from watcher.api.page import session
from watcher.api.page.access import raw_path, session_of
from watcher.api.page.flash import flash_query
from watcher.api.page.frame import show
from watcher.api.page.login import form_of, redirect
from watcher.api.page.paths import address, root_of
from watcher.api.peers import Log, Logged
from watcher.api.problems import Problem

TYPED = "typed"
"""The field in which people repeat the name of what an action ends."""

Options = TypeVar("Options", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field of a form; with `choices` one of these."""

    name: str
    label: str
    value: str = ""
    hint: str = ""
    choices: Sequence[str] = ()
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What an action would do. `back` is the address of the page that it is about, relative to the
    overview; `then` that of the next question, where there is one: nothing is done yet.
    """

    title: str
    lines: Sequence[str]
    submit: str
    back: str
    fields: Sequence[Field] = ()
    hidden: Mapping[str, str] = field(default_factory=dict)
    ends: bool = False
    """Whether it ends or deletes something for ever."""
    then: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A request to act, of someone who may. `log` names the session."""

    request: Request
    daemon: Daemon
    log: Log
    token: str

    async def confirm(self, question: Question, *, status: int = 200) -> Response:
        """Return the page with a question."""
        return await show(
            self.request,
            self.daemon,
            "confirm.html",
            status=status,
            title=question.title,
            here="",
            question=question,
        )

    async def form(self) -> Mapping[str, str]:
        """Return the fields of the form."""
        return await form_of(self.request)

    async def confirmed(self, question: Question, name: str) -> Response | None:
        """Return the question again unless `name` was typed; None if it was."""
        if (await self.form()).get(TYPED, "").strip() == name:
            return None
        return await self.confirm(replace(question, error=f"Type {name} to confirm."), status=422)

    def done(self, path: str, text: str) -> Response:
        """Lead to the page at `path`, relative to the overview, which says what was done."""
        self.daemon.forget_status()
        place, hash_sign, fragment = path.partition("#")
        place, _, query = place.partition("?")
        said = address(place, flash_query(text, self.token))
        root = root_of(raw_path(self.request.scope))
        return redirect(f"{root}{said}{'&' if query else ''}{query}{hash_sign}{fragment}")


async def _action(request: Request, daemon: Running, log: Logged) -> Action:
    token = daemon.settings.server.api_token
    if token is None:
        raise Problem(403, "set server.api_token to act from this page")
    value = session_of(request.scope, token)
    who = "with the API token" if value is None else f"in page session {session.name_of(value)}"

    def log_with_session(text: str, *values: object, **about: Any) -> None:
        log(f"{text}, %s", *values, who, **about)

    return Action(
        request=request, daemon=daemon, log=log_with_session, token=token.get_secret_value()
    )


Acting = Annotated[Action, Depends(_action)]
"""An action of someone who has the API's token. Raises `Problem` where there is no token."""


def options_of(view: type[Options], **values: object) -> Options:
    """Return the options of a call of the API. Raises `Problem` for the first that is invalid."""
    try:
        return view.model_validate({name: one for name, one in values.items() if one is not None})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise Problem(422, f"{place}: {first['msg']}") from None


def answer_of(response: Response) -> dict[str, Any]:
    """Return what the API answered."""
    answer: dict[str, Any] = msgspec.json.decode(response.body)
    return answer
